//! The topological order of steps: each step after the steps that it needs.

/// A cycle of steps, in which each step needs the next.
#[derive(Debug, PartialEq, Eq)]
pub struct Circle(pub Vec<usize>);

/// An order in which each step follows its needs. Otherwise the order of the file is kept.
///
/// Kahn's algorithm (Communications of the ACM 5, 1962), taking the smallest number first. `needs` must have valid
/// indices.
pub fn order(needs: &[Vec<usize>]) -> Result<Vec<usize>, Circle> {
    let mut unmet: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut successors = vec![Vec::new(); needs.len()];
    for (step, own) in needs.iter().enumerate() {
        own.iter().for_each(|need| successors[*need].push(step));
    }
    let free = |unmet: &[usize]| (0..needs.len()).filter(|it| unmet[*it] == 0).collect();
    let mut ready: std::collections::BTreeSet<usize> = free(&unmet);
    let mut ordered = Vec::with_capacity(needs.len());
    while let Some(step) = ready.pop_first() {
        ordered.push(step);
        for next in &successors[step] {
            unmet[*next] -= 1;
            if unmet[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    if ordered.len() == needs.len() { Ok(ordered) } else { Err(circle(needs, &unmet)) }
}

/// Each step with unmet needs has a need that also has unmet needs. Following these leads into a cycle.
fn circle(needs: &[Vec<usize>], unmet: &[usize]) -> Circle {
    let mut path: Vec<usize> = Vec::new();
    let mut here = unmet.iter().position(|it| *it > 0);
    while let Some(step) = here {
        if let Some(at) = path.iter().position(|it| *it == step) {
            return Circle(path.split_off(at));
        }
        path.push(step);
        here = needs[step].iter().copied().find(|need| unmet[*need] > 0);
    }
    Circle(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_order_of_the_file_is_kept_where_needs_allow() {
        assert_eq!(order(&[vec![], vec![0], vec![1]]), Ok(vec![0, 1, 2]));
        assert_eq!(order(&[vec![2], vec![], vec![1]]), Ok(vec![1, 2, 0]));
        assert_eq!(order(&[vec![], vec![], vec![0, 1]]), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn a_circle_is_named() {
        assert_eq!(order(&[vec![], vec![0, 3], vec![1], vec![2], vec![3]]), Err(Circle(vec![1, 3, 2])));
        assert_eq!(order(&[vec![0]]), Err(Circle(vec![0])));
    }

    proptest! {
        #[test]
        fn needs_point_backwards(edges in prop::collection::vec((0usize..12, 0usize..12), 0..30)) {
            let mut needs = vec![Vec::new(); 12];
            edges.iter().for_each(|(step, need)| needs[*step].push(*need));
            match order(&needs) {
                Ok(ordered) => {
                    let place = |step: usize| ordered.iter().position(|it| *it == step).unwrap();
                    prop_assert!(edges.iter().all(|(step, need)| place(*need) < place(*step)));
                }
                Err(Circle(path)) => {
                    prop_assert!(!path.is_empty());
                    let next = path.iter().cycle().skip(1);
                    prop_assert!(path.iter().zip(next).all(|(step, need)| needs[*step].contains(need)));
                }
            }
        }
    }
}

//! Which steps run again when an ended run is restarted at one of them.

use super::flow::{Facts, OPEN, lost_need, reopened};
use crate::model::{Shape, StepState};
use std::collections::BTreeSet;

/// The steps that run again, ascending, when an ended run restarts at step `no`: that step and its dependents. If a
/// step that it needs is lost, the steps that a retry of the whole run would reopen are included. A dependent that also
/// needs another lost step stays as it is.
pub fn from(before: &Shape, shape: &Shape, facts: &[Facts], no: usize) -> Vec<usize> {
    let mut facts = facts.to_vec();
    let mut again = BTreeSet::new();
    if lost_need(shape, &facts, no).is_some() {
        let states: Vec<StepState> = facts.iter().map(|it| it.state).collect();
        again.extend(reopened(before, shape, &states));
        again.iter().for_each(|&at| facts[at] = OPEN);
    }
    again.insert(no);
    facts[no] = OPEN;
    for at in shape.dependents(no) {
        if lost_need(shape, &facts, at).is_none() {
            again.insert(at);
            facts[at] = OPEN;
        }
    }
    again.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ShapeStep;
    use StepState::{Cancelled, Completed, Failed};

    #[test]
    fn a_run_begins_again_at_a_step_with_what_is_behind_it_and_what_that_lacked() {
        let step = |needs: &[usize]| ShapeStep { needs: needs.to_vec(), ..ShapeStep::default() };
        // 0 precedes 1 and 2, and 3 joins them. 4 is independent, and 5 needs 1 and 4.
        let steps = vec![step(&[]), step(&[0]), step(&[0]), step(&[1, 2]), step(&[]), step(&[1, 4])];
        let shape = Shape { steps, hooks: vec![] };
        let all = [Completed; 6];
        for (no, states, again) in [
            (1, all, vec![1, 3, 5]),
            (4, all, vec![4, 5]),
            (3, all, vec![3]),
            // A dependent that also needs another lost step stays as it is.
            (1, [Completed, Completed, Completed, Completed, Failed, Cancelled], vec![1, 3]),
            // The lost step that it needs is reopened too.
            (3, [Completed, Failed, Completed, Cancelled, Completed, Cancelled], vec![1, 3, 5]),
        ] {
            let facts = states.map(|state| Facts { state, ..OPEN });
            assert_eq!(from(&shape, &shape, &facts, no), again, "from {no} of {states:?}");
        }
    }
}

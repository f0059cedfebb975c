//! What the store needs to know of a workflow definition: the order of its steps and who listens.

use super::EventKind;
use serde::{Deserialize, Serialize};

/// The steps of a definition as a graph; needs only point backwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub steps: Vec<ShapeStep>,
    /// Hooks in the order of the definition.
    #[serde(default)]
    pub hooks: Vec<ShapeHook>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeStep {
    /// The pool that runs it.
    #[serde(rename = "type")]
    pub step_type: String,
    /// Numbers of the steps that must complete before.
    pub needs: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeHook {
    #[serde(with = "super::event::by_name")]
    pub event: EventKind,
    pub name: String,
}

impl Shape {
    /// Whether each step needs exactly the one before it: such a run ends with its last step, so nothing is counted.
    pub fn is_chain(&self) -> bool {
        self.steps.iter().enumerate().all(|(no, step)| match no {
            0 => step.needs.is_empty(),
            _ => step.needs == [no - 1],
        })
    }

    /// The steps that need step `no` directly.
    pub fn successors(&self, no: usize) -> impl Iterator<Item = usize> + '_ {
        self.steps.iter().enumerate().filter(move |(_, it)| it.needs.contains(&no)).map(|(no, _)| no)
    }

    /// All steps that need step `no`, directly or through others, ascending.
    pub fn dependents(&self, no: usize) -> Vec<usize> {
        let mut found = vec![false; self.steps.len()];
        for (at, step) in self.steps.iter().enumerate() {
            found[at] = step.needs.iter().any(|&need| need == no || found[need]);
        }
        (0..found.len()).filter(|&at| found[at]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(needs: &[&[usize]]) -> Shape {
        let steps = needs.iter().map(|it| ShapeStep { step_type: "t".into(), needs: it.to_vec() }).collect();
        Shape { steps, hooks: vec![] }
    }

    #[test]
    fn a_chain_is_told_from_a_graph() {
        assert!(shape(&[&[], &[0], &[1]]).is_chain());
        assert!(!shape(&[&[], &[0], &[0]]).is_chain());
        assert!(!shape(&[&[], &[]]).is_chain());
    }

    #[test]
    fn dependents_are_found_through_others() {
        let diamond = shape(&[&[], &[0], &[0], &[1, 2], &[]]);
        assert_eq!(diamond.dependents(0), [1, 2, 3]);
        assert_eq!(diamond.dependents(1), [3]);
        assert_eq!(diamond.dependents(4), Vec::<usize>::new());
        assert_eq!(diamond.successors(0).collect::<Vec<_>>(), [1, 2]);
    }
}

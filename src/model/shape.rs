//! The part of a workflow definition that the store needs: the order of its steps, and its hooks.

use super::EventKind;
use serde::{Deserialize, Serialize};

/// The type of every hook, and the name of the pool that runs them.
pub const HOOK_TYPE: &str = "hooks";

/// The steps of a definition as a graph. A step can only need earlier steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub steps: Vec<ShapeStep>,
    /// Hooks in the order of the definition.
    #[serde(default)]
    pub hooks: Vec<ShapeHook>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeStep {
    /// The pool that runs it.
    #[serde(rename = "type")]
    pub step_type: String,
    /// The numbers of the steps that must end first.
    pub needs: Vec<usize>,
    #[serde(default, skip_serializing_if = "After::is_usual")]
    pub after: After,
    /// Whether the run, and the steps that need this one, ignore its failure.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_failure: bool,
    /// Whether it runs even if its group, its run or a step that it needs is cancelled.
    #[serde(default, skip_serializing_if = "is_false")]
    pub on_cancel_run: bool,
}

/// Which endings of the needed steps make a step start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// None of them failed or was cancelled.
    #[default]
    Success,
    /// One of them failed, or was cancelled because of a failure. Otherwise the step is skipped.
    Failure,
    /// Any.
    Always,
}

impl After {
    pub fn is_usual(&self) -> bool {
        *self == After::Success
    }
}

fn is_false(it: &bool) -> bool {
    !it
}

impl ShapeStep {
    /// Whether the step starts only after success, its failure counts, and a cancel ends it.
    pub fn is_plain(&self) -> bool {
        self.after.is_usual() && !self.allow_failure && !self.on_cancel_run
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeHook {
    #[serde(with = "super::event::by_name")]
    pub event: EventKind,
    pub name: String,
    /// The resource key that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Shape {
    /// Whether each step needs exactly the one before it and all are plain. Such a run ends with its last step, so no
    /// counters are needed.
    pub fn is_chain(&self) -> bool {
        let needs_the_one_before = |(no, step): (usize, &ShapeStep)| match no {
            0 => step.needs.is_empty(),
            _ => step.needs == [no - 1],
        };
        self.is_plain() && self.steps.iter().enumerate().all(needs_the_one_before)
    }

    /// Whether every step is plain.
    pub fn is_plain(&self) -> bool {
        self.steps.iter().all(ShapeStep::is_plain)
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
        let steps = needs
            .iter()
            .map(|it| ShapeStep { step_type: "t".into(), needs: it.to_vec(), ..ShapeStep::default() })
            .collect();
        Shape { steps, hooks: vec![] }
    }

    #[test]
    fn a_chain_is_told_from_a_graph() {
        assert!(shape(&[&[], &[0], &[1]]).is_chain());
        assert!(!shape(&[&[], &[0], &[0]]).is_chain());
        assert!(!shape(&[&[], &[]]).is_chain());
        let mut cleaned = shape(&[&[], &[0]]);
        cleaned.steps[1].after = After::Always;
        assert!(!cleaned.is_chain(), "it goes on after a failure");
    }

    #[test]
    fn what_is_not_used_is_not_written_and_old_texts_still_parse() {
        let plain = shape(&[&[], &[0]]);
        let text = serde_json::to_string(&plain).unwrap();
        assert_eq!(text, r#"{"steps":[{"type":"t","needs":[]},{"type":"t","needs":[0]}],"hooks":[]}"#);
        assert_eq!(serde_json::from_str::<Shape>(&text).unwrap(), plain);
        let mut used = plain;
        used.steps[1] =
            ShapeStep { after: After::Failure, allow_failure: true, on_cancel_run: true, ..used.steps[1].clone() };
        let text = serde_json::to_string(&used).unwrap();
        assert!(text.contains(r#""after":"failure","allow_failure":true,"on_cancel_run":true"#), "{text}");
        assert_eq!(serde_json::from_str::<Shape>(&text).unwrap(), used);
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

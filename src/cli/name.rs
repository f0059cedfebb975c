//! Ids with a letter that gives their kind: `g12`, `r34`, `s56`.

use super::failure::Failure;
use crate::model::{GroupId, RunId, StepId, WorkerId};
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Group(GroupId),
    Run(RunId),
    Step(StepId),
    Worker(WorkerId),
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Name, String> {
        let first = text.chars().next();
        match first {
            Some('g') => text.parse().map(Name::Group),
            Some('r') => text.parse().map(Name::Run),
            Some('s') => text.parse().map(Name::Step),
            Some('w') => text.parse().map(Name::Worker),
            Some('0'..='9') => {
                Err(format!("`{text}` could be a group, a run or a step; write g{text}, r{text} or s{text}"))
            }
            _ => Err(format!("`{text}` is not an id such as g12 (group), r34 (run), s56 (step) or w7 (worker)")),
        }
    }
}

impl Name {
    pub fn number(self) -> i64 {
        match self {
            Name::Group(id) => id.0,
            Name::Run(id) => id.0,
            Name::Step(id) => id.0,
            Name::Worker(id) => id.0,
        }
    }

    /// The error of a command that does not accept this kind of id.
    pub fn refused(self, verb: &str, instead: &str) -> Failure {
        Failure::usage(format!("can't {verb} {self}")).hint(instead)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Group(id) => id.fmt(f),
            Name::Run(id) => id.fmt(f),
            Name::Step(id) => id.fmt(f),
            Name::Worker(id) => id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letter_tells_the_kind() {
        assert_eq!("g12".parse(), Ok(Name::Group(GroupId(12))));
        assert_eq!("s5".parse(), Ok(Name::Step(StepId(5))));
        assert!("12".parse::<Name>().unwrap_err().contains("g12, r12 or s12"));
        for wrong in ["", "x1", "g", "g-1", "g0"] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
    }
}

//! Identifiers: one type per noun, so that a run can't be mistaken for a step.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub i64);
    };
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        id!($(#[$doc])* $name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }

        /// Reads the printed form. A bare number is accepted too.
        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let digits = text.strip_prefix($letter).unwrap_or(text);
                match digits.parse::<i64>() {
                    Ok(number) if number > 0 => Ok($name(number)),
                    _ => Err(format!("`{text}` is not an id such as `{}12`", $letter)),
                }
            }
        }
    };
}

id!(/// A group: one submission. Printed `g12`.
    GroupId, "g");
id!(/// A run: one item through the workflow. Printed `r34`.
    RunId, "r");
id!(/// A step: one stage of a run. Printed `s56`.
    StepId, "s");
id!(/// A worker. Printed `w7`.
    WorkerId, "w");
id!(/// A row of `definition`.
    DefinitionId);
id!(/// A row of `step_type`: an interned step type.
    TypeId);
id!(/// A row of `resource_key`: an interned resource key.
    KeyId);
id!(/// A row of `resource`: a counted resource, or a rate.
    ResourceId);
id!(/// A row of `demand`: what a step takes.
    DemandId);
id!(/// A row of `artifact`.
    ArtifactId);
id!(/// A row of `output`.
    OutputId);
id!(/// A lease token, from a counter that only grows: never reused.
    Token);

impl GroupId {
    /// Stands for the group of events that are about none: a schedule's.
    pub const NONE: GroupId = GroupId(i64::MAX);

    /// The hidden group of the hooks that tell of this group. They are steps of it, so that they neither keep this group open nor
    /// count in it.
    pub const fn hooks(self) -> GroupId {
        GroupId(-self.0)
    }

    /// Whether its steps are hooks.
    pub const fn is_of_hooks(self) -> bool {
        self.0 < 0
    }

    /// The group that people see: the owner of a group of hooks, or the group itself.
    pub const fn owner(self) -> GroupId {
        if self.0 == GroupId::NONE.hooks().0 { GroupId(0) } else { GroupId(self.0.abs()) }
    }
}

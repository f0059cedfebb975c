//! The roles of the processes of a drill, and how one is started.

use super::trace::Mine;
use std::path::Path;

/// The first word of a tormented process.
pub(super) const WORD: &str = "__prove";
/// What a process of the drill is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Worker,
    Client,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Worker => "worker",
            Role::Client => "client",
        }
    }
}

/// The arguments that start a role.
pub fn arguments(role: Role, root: &Path, process: u32, seed: u64, mine: Option<Mine>) -> Vec<std::ffi::OsString> {
    let mut args = vec![WORD.into(), role.name().into(), root.into()];
    args.extend([process.to_string().into(), seed.to_string().into()]);
    args.extend(mine.map(|it| it.to_string().into()));
    args
}

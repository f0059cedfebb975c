//! The roles of the processes in a drill, and how to start one.

use super::trace::Mine;
use std::path::Path;

/// The first argument of a process under test.
pub(super) const WORD: &str = "__prove";
/// The role of a process in the drill.
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

/// The arguments that start a process in a role.
pub fn arguments(role: Role, root: &Path, process: u32, seed: u64, mine: Option<Mine>) -> Vec<std::ffi::OsString> {
    let mut args = vec![WORD.into(), role.name().into(), root.into()];
    args.extend([process.to_string().into(), seed.to_string().into()]);
    args.extend(mine.map(|it| it.to_string().into()));
    args
}

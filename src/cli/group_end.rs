//! The end of a group as `wait` and `run` report it.

use super::failure::{Exit, Failure, Result};
use crate::{engine::GroupEnd, model::Status};

/// The end of a group in `--json`.
pub fn as_json(end: &GroupEnd) -> serde_json::Value {
    serde_json::json!({
        "group": end.group, "status": end.status, "failed": end.failed, "cancelled": end.cancelled, "ended": end.ended,
    })
}

/// The exit code for groups with these statuses: failed outranks cancelled, which outranks completed.
pub fn exit_of(statuses: impl Iterator<Item = Status>) -> Result<()> {
    match statuses.max_by_key(|it| (*it == Status::Failed, *it == Status::Cancelled)) {
        Some(Status::Failed) => Err(Failure::quiet(Exit::WorkFailed)),
        Some(Status::Cancelled) => Err(Failure::quiet(Exit::Cancelled)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_end_gives_the_exit_code() {
        use Status::*;
        assert!(exit_of([Completed, Completed].into_iter()).is_ok());
        assert_eq!(exit_of([Completed, Cancelled].into_iter()).unwrap_err().exit, Exit::Cancelled);
        assert_eq!(exit_of([Failed, Cancelled, Completed].into_iter()).unwrap_err().exit, Exit::WorkFailed);
    }
}

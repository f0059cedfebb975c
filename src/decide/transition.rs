//! The legal moves of a step. What is not here is refused.

use crate::model::Status;

/// A move of a step, named after the verb that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    Claim,
    Complete,
    /// Its result was found in the step cache.
    CompleteCached,
    /// Failed, will be retried.
    Error,
    Fail,
    Release,
    Reap,
    Cancel,
    /// The retry command re-opens it.
    Retry,
    /// Its artifact turned out corrupt: it must run again.
    Redo,
}

/// A move that the rule refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {from} step cannot {}", verb(*attempted))]
pub struct Illegal {
    pub from: Status,
    pub attempted: Move,
}

impl Move {
    pub const ALL: [Move; 10] = [
        Move::Claim,
        Move::Complete,
        Move::CompleteCached,
        Move::Error,
        Move::Fail,
        Move::Release,
        Move::Reap,
        Move::Cancel,
        Move::Retry,
        Move::Redo,
    ];
}

/// The status after the move, or why there is none.
pub fn after(from: Status, attempted: Move) -> Result<Status, Illegal> {
    use Status::{Cancelled, Completed, Error, Failed, Pending, Running};
    match (from, attempted) {
        (Pending | Error, Move::Claim) => Ok(Running),
        (Running, Move::Complete) | (Pending, Move::CompleteCached) => Ok(Completed),
        (Running, Move::Error) => Ok(Error),
        (Running, Move::Fail) => Ok(Failed),
        (Running, Move::Release | Move::Reap) => Ok(Pending),
        (Pending | Error | Running, Move::Cancel) => Ok(Cancelled),
        (Failed | Cancelled, Move::Retry) => Ok(Pending),
        (Completed, Move::Redo) => Ok(Pending),
        _ => Err(Illegal { from, attempted }),
    }
}

/// Whether any move leads from one status to the other.
pub fn is_legal(from: Status, to: Status) -> bool {
    Move::ALL.into_iter().any(|attempted| after(from, attempted) == Ok(to))
}

fn verb(attempted: Move) -> &'static str {
    match attempted {
        Move::Claim => "be claimed",
        Move::Complete => "be completed",
        Move::CompleteCached => "be completed from the cache",
        Move::Error => "be put up for a retry",
        Move::Fail => "fail",
        Move::Release => "be released",
        Move::Reap => "be reaped",
        Move::Cancel => "be cancelled",
        Move::Retry => "be retried",
        Move::Redo => "be done again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Cancelled, Completed, Error, Failed, Pending, Running};

    #[test]
    fn exactly_these_moves_are_legal() {
        let legal = [
            (Pending, Running),
            (Error, Running),
            (Pending, Completed),
            (Running, Completed),
            (Running, Error),
            (Running, Failed),
            (Running, Pending),
            (Running, Cancelled),
            (Pending, Cancelled),
            (Error, Cancelled),
            (Failed, Pending),
            (Cancelled, Pending),
            (Completed, Pending),
        ];
        for from in Status::ALL {
            for to in Status::ALL {
                assert_eq!(is_legal(from, to), legal.contains(&(from, to)), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn a_terminal_step_is_left_only_by_a_command() {
        for from in Status::ALL.into_iter().filter(|it| it.is_terminal()) {
            for attempted in Move::ALL.into_iter().filter(|it| after(from, *it).is_ok()) {
                assert!(matches!(attempted, Move::Retry | Move::Redo), "{from} {attempted:?}");
            }
        }
    }

    #[test]
    fn a_refusal_says_what_was_tried() {
        let refused = after(Completed, Move::Cancel).unwrap_err();
        assert_eq!(refused.to_string(), "a COMPLETED step cannot be cancelled");
    }
}

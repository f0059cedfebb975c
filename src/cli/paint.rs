//! The colours of the output, named by their meaning.

use crate::model::Status;

/// The meaning of a piece of text, which determines its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Bold,
    Dim,
    Good,
    Bad,
    Busy,
    Warn,
}

/// The colour of a status, the same in all tables.
pub fn status_paint(status: Status) -> Paint {
    match status {
        Status::Pending | Status::Skipped => Paint::Dim,
        Status::Running | Status::Waiting => Paint::Busy,
        Status::Completed => Paint::Good,
        Status::Error => Paint::Warn,
        Status::Failed => Paint::Bad,
        Status::Cancelled => Paint::Warn,
    }
}

//! Ends waits: because of a timeout, or because the awaited event came.

use crate::decide::wait::{self, End};
use crate::model::StepId;
use crate::store::{error::Result, settle, tx::WriteTx, waiting};
use serde_json::Value;

/// Ends a waiting step and applies the consequences, as for a step that ran. `answer` is a JSON object that its attempt
/// records. False: it does not wait, or no longer waits.
pub fn end(tx: &WriteTx, step: StepId, end: &End, answer: Option<&Value>) -> Result<bool> {
    let Some((_, live)) = waiting::take(tx, step)? else { return Ok(false) };
    settle::end_wait(tx, &live, end, answer)?;
    Ok(true)
}

/// Returns a waiting step to the queue that it was claimed from, with its attempt given back. False: it does not wait.
pub fn put_back(tx: &WriteTx, step: StepId) -> Result<bool> {
    let Some((_, live)) = waiting::take(tx, step)? else { return Ok(false) };
    settle::give_back(tx, &live, live.due, false)?;
    Ok(true)
}

/// Ends up to `limit` expired waits, oldest first.
pub(in crate::store) fn expire(tx: &WriteTx, limit: usize) -> Result<()> {
    for step in waiting::due(tx, limit)? {
        let Some((row, live)) = waiting::take(tx, step)? else { continue };
        settle::end_wait(tx, &live, &wait::time_is_up(row.kind, row.otherwise, row.detail.within, &row.signal), None)?;
    }
    Ok(())
}

//! Ends a step together with the group that it waits for, in the same transaction.

use crate::model::GroupId;
use crate::store::{
    attempt,
    child_group::{self, Ending},
    error::Result,
    settle,
    tx::WriteTx,
    wait_end, waiting,
};

/// Ends the step that waits for a group that has just ended. A step that was asked to stop is CANCELLED; a step that
/// was retried in the meantime starts again.
pub(in crate::store) fn ended(tx: &WriteTx, group: GroupId) -> Result<()> {
    if !tx.memory().families {
        return Ok(());
    }
    tx.memory().limited.remove(&group);
    let Some(waits) = waiting::of_children(tx, group)? else { return Ok(()) };
    match child_group::ending(tx, group)? {
        Ending::NotYet => Ok(()),
        Ending::Again => wait_end::put_back(tx, waits.step).map(|_| ()),
        Ending::Cancelled => {
            let Some((_, live)) = waiting::take(tx, waits.step)? else { return Ok(()) };
            attempt::record(tx, &live, Some(&attempt::Record::cancelled()))?;
            settle::cancelled(tx, &live)
        }
        Ending::Ends(end, answer) => wait_end::end(tx, waits.step, &end, Some(&answer)).map(|_| ()),
    }
}

//! Table `rate_start`: the last starts under a rate, across restarts and processes. `decide::resource` has the rule.

use crate::decide::resource::{self as rule, Start};
use crate::model::{Millis, Monotonic, Rate, ResourceId, Timestamp};
use crate::os::boot_id;
use crate::store::{error::Result, params::params, row::Row, tx::WriteTx};

/// The time until a rate allows the next start.
pub(in crate::store) fn wait(tx: &WriteTx, resource: ResourceId, rate: Rate) -> Result<Millis> {
    let last = last(tx, resource)?;
    let before = tx.row(START, [resource.0, last - rate.starts + 1], read)?;
    Ok(rule::wait(rate, before.as_ref(), tx.now(), tx.monotonic()))
}

pub(in crate::store) const START: &str =
    "SELECT at, monotonic, boot FROM rate_start WHERE resource_id = ?1 AND no = ?2";

fn last(tx: &WriteTx, resource: ResourceId) -> Result<i64> {
    Ok(tx.row("SELECT held FROM resource WHERE id = ?1", [resource.0], |row| row.get(0))?.unwrap_or(0))
}

/// Records a start. Keeps as many as the largest rate needs.
pub(in crate::store) fn note(tx: &WriteTx, resource: ResourceId) -> Result<()> {
    let noted =
        tx.change("UPDATE resource SET held = held + 1 WHERE id = ?1 RETURNING held, capacity", [resource.0], |row| {
            Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))
        })?;
    let Some((no, kept)) = noted else { return Ok(()) };
    tx.execute(
        "INSERT INTO rate_start(resource_id, no, at, monotonic, boot) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![resource.0, no, tx.now().0, tx.monotonic().0, boot_id()],
    )?;
    tx.execute(FORGET, [resource.0, no - kept])?;
    Ok(())
}

pub(in crate::store) const FORGET: &str = "DELETE FROM rate_start WHERE resource_id = ?1 AND no <= ?2";

fn read(row: &Row) -> Result<Start> {
    Ok(Start {
        at: Timestamp(row.get(0)?),
        monotonic: Monotonic(row.get(1)?),
        this_boot: row.get::<String>(2)? == boot_id(),
    })
}

//! Table `lease`: which worker runs which step, under which token.

use crate::failpoint::{Failpoint, is_active};
use crate::model::{GroupId, KeyId, Lease, RunId, StepId, Timestamp, Token, WorkerId};
use crate::store::{error::Result, params::params, ready::ReadyRow, row::Row, tx::WriteTx};

/// A running step.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Live {
    pub lease: Lease,
    pub worker: WorkerId,
    pub started: Timestamp,
    pub run: RunId,
    pub group: GroupId,
    pub due: Timestamp,
    pub key: Option<KeyId>,
    pub attempts: i64,
}

pub(in crate::store) fn insert(tx: &WriteTx, row: &ReadyRow, token: Token, worker: WorkerId) -> Result<()> {
    tx.execute(
        "INSERT INTO lease(step_id, token, worker, started, type_id, run_id, group_id, due, key_id, attempts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            row.step.0,
            token.0,
            worker.0,
            tx.now().0,
            row.step_type.0,
            row.run.0,
            row.group.0,
            row.due,
            row.key.map(|it| it.0),
            row.attempts
        ],
    )?;
    Ok(())
}

/// Ends a lease if it is still valid. None: the step was given away, and the caller drops its result.
pub(in crate::store) fn take(tx: &WriteTx, lease: Lease) -> Result<Option<Live>> {
    if is_active(Failpoint::UnfencedSettle) {
        let live = tx.row(
            "SELECT step_id, token, worker, started, run_id, group_id, due, key_id, attempts
                             FROM lease WHERE step_id = ?1",
            [lease.step.0],
            read,
        )?;
        tx.execute("DELETE FROM lease WHERE step_id = ?1", [lease.step.0])?;
        return Ok(live);
    }
    let live = tx.row(TAKE, params![lease.step.0, lease.token.0], read)?;
    if live.is_some() {
        tx.execute(DELETE, params![lease.step.0, lease.token.0])?;
    }
    Ok(live)
}

/// S1.
pub(in crate::store) const TAKE: &str =
    "SELECT step_id, token, worker, started, run_id, group_id, due, key_id, attempts
   FROM lease WHERE step_id = ?1 AND token = ?2";
pub(in crate::store) const DELETE: &str = "DELETE FROM lease WHERE step_id = ?1 AND token = ?2";

/// The steps that a worker runs. A scan is fine, because the table holds only running steps.
pub(in crate::store) fn of_worker(tx: &WriteTx, worker: WorkerId, limit: usize) -> Result<Vec<Live>> {
    tx.rows(
        "SELECT step_id, token, worker, started, run_id, group_id, due, key_id, attempts
           FROM lease WHERE worker = ?1 LIMIT ?2",
        params![worker.0, limit as i64],
        read,
    )
}

fn read(row: &Row) -> Result<Live> {
    Ok(Live {
        lease: Lease { step: StepId(row.get(0)?), token: Token(row.get(1)?) },
        worker: WorkerId(row.get(2)?),
        started: Timestamp(row.get(3)?),
        run: RunId(row.get(4)?),
        group: GroupId(row.get(5)?),
        due: Timestamp(row.get(6)?),
        key: row.get::<Option<i64>>(7)?.map(KeyId),
        attempts: row.get(8)?,
    })
}

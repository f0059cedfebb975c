//! Table `worker`: the registered workers.

use crate::model::{GroupId, ProcessIdentity, Scope, Timestamp, WorkerId};
use crate::store::{
    SCHEMA_VERSION,
    error::{Error, Result},
    params::params,
    tx::{ReadTx, WriteTx},
};
use serde::Serialize;

/// A new worker. `pools` is JSON: {"parse": 4, "*": 2}.
#[derive(Debug, Clone)]
pub struct NewWorker {
    pub identity: ProcessIdentity,
    pub version: String,
    pub pools: String,
    pub scope: Scope,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WorkerRow {
    pub id: WorkerId,
    pub identity: ProcessIdentity,
    pub version: String,
    pub pools: serde_json::Value,
    /// The only group that it works for. Null: it works for all groups.
    pub scope: Option<GroupId>,
    pub registered: Timestamp,
    /// The number of steps that it runs.
    pub running: i64,
    /// The health of its worker processes, as last reported: a list of objects with `pool`, `pid`, `age`, `rss_bytes`,
    /// `open_fds`, `units`, `busy`, `last_recycle`.
    pub processes: serde_json::Value,
}

/// Reserves an id for a worker, which can then take its liveness lock before other processes see the worker.
pub fn reserve(tx: &WriteTx) -> Result<WorkerId> {
    let id = tx.insert(
        "INSERT INTO worker(identity, boot_id, version, schema, pools, registered)
         VALUES ('null', '', '', 0, '{}', 0) RETURNING id",
        [],
    )?;
    let id = WorkerId(id);
    tx.execute("DELETE FROM worker WHERE id = ?1", [id.0])?;
    Ok(id)
}

/// Registers a worker. It must already hold its liveness lock.
pub fn register(tx: &WriteTx, id: WorkerId, new: &NewWorker) -> Result<()> {
    let identity = serde_json::to_string(&new.identity).map_err(|error| Error::Sqlite { reason: error.to_string() })?;
    let scope = match new.scope {
        Scope::Everything => 0,
        Scope::Group(group) => group.0,
    };
    tx.execute(
        "INSERT INTO worker(id, identity, boot_id, version, schema, pools, scope, registered)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![id.0, identity, new.identity.boot_id, new.version, SCHEMA_VERSION, new.pools, scope, tx.now().0],
    )?;
    Ok(())
}

/// Stores the health of a worker's processes; `processes` is JSON.
pub fn tell_processes(tx: &WriteTx, id: WorkerId, processes: &str) -> Result<()> {
    tx.execute("UPDATE worker SET processes = ?2 WHERE id = ?1", params![id.0, processes])?;
    Ok(())
}

/// Removes a worker that stopped. False: it still holds leases, which must be reaped, or it was no longer registered.
pub fn leave(tx: &WriteTx, id: WorkerId) -> Result<bool> {
    let sql = "DELETE FROM worker WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM lease WHERE worker = ?1)";
    Ok(tx.execute(sql, [id.0])? == 1)
}

pub fn is_registered(tx: &ReadTx, id: WorkerId) -> Result<bool> {
    Ok(tx.row("SELECT 1 FROM worker WHERE id = ?1", [id.0], |_| Ok(()))?.is_some())
}

pub fn list(tx: &ReadTx) -> Result<Vec<WorkerRow>> {
    tx.rows(
        "SELECT id, identity, version, pools, registered, (SELECT count(*) FROM lease WHERE lease.worker = worker.id),
                processes, scope
           FROM worker ORDER BY id",
        [],
        |row| {
            Ok((
                WorkerId(row.get(0)?),
                row.get::<String>(1)?,
                row.get(2)?,
                row.get::<String>(3)?,
                Timestamp(row.get(4)?),
                row.get(5)?,
                row.get::<String>(6)?,
                Some(row.get(7)?).filter(|it| *it > 0).map(GroupId),
            ))
        },
    )
    .map(|rows| {
        rows.into_iter()
            .filter_map(|(id, identity, version, pools, registered, running, processes, scope)| {
                let identity = serde_json::from_str(&identity).ok()?;
                let pools = serde_json::from_str(&pools).unwrap_or_default();
                let processes = serde_json::from_str(&processes).unwrap_or_default();
                Some(WorkerRow { id, identity, version, pools, scope, registered, running, processes })
            })
            .collect()
    })
}

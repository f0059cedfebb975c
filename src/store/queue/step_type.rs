//! Table `step_type`: interned step types and their queues.

use crate::model::{HOOK_TYPE, TypeId};
use crate::store::{
    error::Result,
    line,
    memory::KnownType,
    params::params,
    tx::{ReadTx, WriteTx},
};

pub fn intern(tx: &WriteTx, name: &str) -> Result<TypeId> {
    if let Some(id) = find(tx, name)? {
        return Ok(id);
    }
    let id = TypeId(tx.insert("INSERT INTO step_type(name) VALUES (?1) RETURNING id", [name])?);
    let mut memory = tx.memory();
    memory.types.insert(id, KnownType { queue: 0, paused: false });
    if name == HOOK_TYPE {
        memory.hook_type = Some(id);
    }
    Ok(id)
}

pub fn find(tx: &ReadTx, name: &str) -> Result<Option<TypeId>> {
    tx.row("SELECT id FROM step_type WHERE name = ?1", [name], |row| row.get(0).map(TypeId))
}

/// The type and its queue. 0 means the shared queue; it is also returned while rows of the type may still be there.
pub fn find_with_queue(tx: &ReadTx, name: &str) -> Result<Option<(TypeId, i64)>> {
    tx.row("SELECT id, CASE moving WHEN 0 THEN queue ELSE 0 END FROM step_type WHERE name = ?1", [name], |row| {
        Ok((TypeId(row.get(0)?), row.get(1)?))
    })
}

#[cfg(any(test, feature = "internals"))]
pub fn name(tx: &ReadTx, id: TypeId) -> Result<Option<String>> {
    tx.row("SELECT name FROM step_type WHERE id = ?1", [id.0], |row| row.get(0))
}

/// The names of all types.
pub fn names(tx: &ReadTx) -> Result<Vec<String>> {
    tx.rows("SELECT name FROM step_type ORDER BY name", [], |row| row.get(0))
}

/// Gives a type a permanent queue of its own. True: rows of it may still be in the shared queue, and
/// `claim::move_queue` moves them. Also true again after a crash during the move, and if a pause created the queue.
pub fn open_queue(tx: &WriteTx, id: TypeId) -> Result<bool> {
    let changed = tx.execute("UPDATE step_type SET queue = id, moving = 1 WHERE id = ?1 AND queue = 0", [id.0])?;
    if changed == 1
        && let Some(known) = tx.memory().types.get_mut(&id)
    {
        known.queue = id.0;
    }
    if changed == 1 {
        line::change_queue(tx, id, id.0)?;
    }
    Ok(tx.row("SELECT moving FROM step_type WHERE id = ?1", [id.0], |row| row.get(0))?.unwrap_or(false))
}

/// Records that the shared queue has no more rows of the type.
pub(in crate::store) fn moved(tx: &WriteTx, id: TypeId) -> Result<()> {
    tx.execute("UPDATE step_type SET moving = 0 WHERE id = ?1 AND moving = 1", [id.0])?;
    Ok(())
}

/// Pauses a type: none of its steps is claimed. It gets a queue from which no pool claims.
pub fn set_paused(tx: &WriteTx, id: TypeId, paused: bool) -> Result<()> {
    open_queue(tx, id)?;
    tx.execute("UPDATE step_type SET paused = ?2 WHERE id = ?1", params![id.0, paused])?;
    let mut memory = tx.memory();
    if let Some(known) = memory.types.get_mut(&id) {
        known.paused = paused;
    }
    memory.woke = true;
    Ok(())
}

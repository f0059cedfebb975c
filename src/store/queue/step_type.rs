//! Table `step_type`: interned types and their queues.

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

/// The type and its queue; 0 for the shared one, and while rows of the type may still wait in that.
pub fn find_with_queue(tx: &ReadTx, name: &str) -> Result<Option<(TypeId, i64)>> {
    tx.row("SELECT id, CASE moving WHEN 0 THEN queue ELSE 0 END FROM step_type WHERE name = ?1", [name], |row| {
        Ok((TypeId(row.get(0)?), row.get(1)?))
    })
}

#[cfg(any(test, feature = "internals"))]
pub fn name(tx: &ReadTx, id: TypeId) -> Result<Option<String>> {
    tx.row("SELECT name FROM step_type WHERE id = ?1", [id.0], |row| row.get(0))
}

/// All types there are, by name.
pub fn names(tx: &ReadTx) -> Result<Vec<String>> {
    tx.rows("SELECT name FROM step_type ORDER BY name", [], |row| row.get(0))
}

/// Gives a type a queue of its own, for good. True: rows of it may still be in the shared one, `claim::move_queue` moves them. It is
/// true again after a crash came between, and after a pause gave the type its queue.
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

/// The shared queue has no more rows of the type.
pub(in crate::store) fn moved(tx: &WriteTx, id: TypeId) -> Result<()> {
    tx.execute("UPDATE step_type SET moving = 0 WHERE id = ?1 AND moving = 1", [id.0])?;
    Ok(())
}

/// Nothing of a paused type is claimed. The type gets a queue that no pool claims from.
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

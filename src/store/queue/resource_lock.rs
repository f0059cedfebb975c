//! Table `resource_lock`: the database part of a resource lock. `engine::resource_lock` has the file lock.

use crate::model::code::HOLDER_STEP;
use crate::model::{
    EventKind, Holder, HolderKind, KeyId, Monotonic, ProcessIdentity, ResourceKey, StepId, Timestamp, Token,
};
use crate::store::{
    Held, blocked,
    error::Result,
    event::{self, About},
    params::params,
    request::Claim,
    resource_key,
    row::Row,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use serde::Serialize;

/// A held key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LockRow {
    pub key: ResourceKey,
    pub holder: Holder,
    pub token: Token,
    pub identity: Option<ProcessIdentity>,
    pub acquired: Timestamp,
    pub boot_id: String,
    pub deadline: Monotonic,
}

impl LockRow {
    /// The holder, for people: `step s12 (process 4711)`.
    pub fn holder_words(&self) -> String {
        let process = self.identity.as_ref().map(|it| format!(" (process {})", it.pid)).unwrap_or_default();
        match self.holder.kind {
            HolderKind::Step => format!("step s{}{process}", self.holder.id),
            HolderKind::Hook => format!("hook {}{process}", self.holder.id),
            HolderKind::Cli => format!("the command line{process}"),
            HolderKind::Web => format!("a web request{process}"),
        }
    }
}

/// A holder of a key that is not a step. Its lock expires at a monotonic time of this boot unless refreshed.
#[derive(Debug, Clone)]
pub struct Taker {
    pub holder: Holder,
    /// JSON of the holding process.
    pub identity: String,
    pub boot_id: String,
    pub deadline: Monotonic,
}

pub(in crate::store) fn take_for_step(
    tx: &WriteTx,
    key: KeyId,
    step: StepId,
    token: Token,
    claim: &Claim,
) -> Result<bool> {
    let changed = tx.execute(
        "INSERT INTO resource_lock(key_id, holder_kind, holder, token, identity, acquired, boot_id, deadline)
         VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        params![key.0, step.0, token.0, &*claim.identity, tx.now().0, &*claim.boot_id, claim.lock_deadline.0],
    )?;
    Ok(changed == 1)
}

/// Releases a key when its step settles: removes the row if it still belongs to this lease, and makes the next steps
/// that the key blocks claimable.
pub(in crate::store) fn release_for_step(tx: &WriteTx, key: KeyId, token: Token) -> Result<()> {
    let changed = tx.execute("DELETE FROM resource_lock WHERE key_id = ?1 AND token = ?2", params![key.0, token.0])?;
    match changed {
        0 => Ok(()),
        _ => blocked::unblock(tx, key),
    }
}

/// Blocks the step again. The row stays as expired, until the file lock of the key is free.
pub(in crate::store) fn leave_behind(tx: &WriteTx, key: KeyId, token: Token) -> Result<()> {
    tx.execute("UPDATE resource_lock SET deadline = 0 WHERE key_id = ?1 AND token = ?2", params![key.0, token.0])?;
    Ok(())
}

/// Rows of steps that no longer run. Only the file locks of their keys still exclude others.
pub fn left_behind(tx: &ReadTx) -> Result<Vec<LockRow>> {
    tx.rows(&format!("{HELD} WHERE {LEFT}"), [], read)
}

/// Whether only the file lock of this key excludes others.
pub(in crate::store) fn is_left_behind(tx: &ReadTx, key: KeyId) -> Result<bool> {
    Ok(tx.row(&format!("{HELD} WHERE l.key_id = ?1 AND {LEFT}"), [key.0], read)?.is_some())
}

/// Takes a key for a holder that is not a step. Idempotent for the same holder. None: another holder has it.
pub fn acquire(tx: &WriteTx, key: &ResourceKey, taker: &Taker) -> Result<Option<Token>> {
    let id = resource_key::intern(tx, &key.0)?;
    let mine = tx.row(
        "SELECT token FROM resource_lock WHERE key_id = ?1 AND holder_kind = ?2 AND holder = ?3 AND identity = ?4",
        params![id.0, taker.holder.kind.code(), taker.holder.id, taker.identity],
        |row| row.get(0).map(Token),
    )?;
    if let Some(token) = mine {
        refresh(tx, key, token, &taker.boot_id, taker.deadline)?;
        return Ok(Some(token));
    }
    let token = tx.next_token();
    let changed = tx.execute(
        "INSERT INTO resource_lock(key_id, holder_kind, holder, token, identity, acquired, boot_id, deadline)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        params![
            id.0,
            taker.holder.kind.code(),
            taker.holder.id,
            token.0,
            taker.identity,
            tx.now().0,
            taker.boot_id,
            taker.deadline.0
        ],
    )?;
    Ok((changed == 1).then_some(token))
}

/// Extends a held key. `Lost`: it was taken away by force or swept.
pub fn refresh(tx: &WriteTx, key: &ResourceKey, token: Token, boot_id: &str, deadline: Monotonic) -> Result<Held> {
    let changed = tx.execute(
        "UPDATE resource_lock SET deadline = ?3, boot_id = ?4
          WHERE key_id = (SELECT id FROM resource_key WHERE name = ?1) AND token = ?2",
        params![key.0, token.0, deadline.0, boot_id],
    )?;
    Ok(if changed == 1 { Held::Yes } else { Held::Lost })
}

/// Whether `token` still holds the key. Checked again after the file lock was acquired.
pub fn holds(tx: &ReadTx, key: &ResourceKey, token: Token) -> Result<bool> {
    let row = tx.row(
        "SELECT 1 FROM resource_lock WHERE key_id = (SELECT id FROM resource_key WHERE name = ?1) AND token = ?2",
        params![key.0, token.0],
        |_| Ok(()),
    )?;
    Ok(row.is_some())
}

pub fn release(tx: &WriteTx, key: &ResourceKey, token: Token) -> Result<Held> {
    let Some(id) = resource_key::find(tx, &key.0)? else { return Ok(Held::Lost) };
    let changed = tx.execute("DELETE FROM resource_lock WHERE key_id = ?1 AND token = ?2", params![id.0, token.0])?;
    if changed == 0 {
        return Ok(Held::Lost);
    }
    blocked::unblock(tx, id)?;
    Ok(Held::Yes)
}

/// The history entry for a key that was taken away by force.
#[derive(Debug, Clone)]
pub struct Forced {
    pub key: ResourceKey,
    pub why: String,
    /// Who took it: user, process and command.
    pub by: String,
}

/// Clears a key's row, whatever holds it. The history records who did it, why, and the holder, if any. False: the key
/// was not held.
pub fn force_release(tx: &WriteTx, forced: &Forced) -> Result<bool> {
    let Forced { key, why, by } = forced;
    let held = holder_of(tx, &key.0)?;
    let holder = match &held {
        Some(row) => format!("it was held by {}", row.holder_words()),
        None => "it was not held".to_string(),
    };
    event::note_with(tx, EventKind::LockForced, About::default(), format!("{key}: {why} (by {by}; {holder})"))?;
    let (Some(_), Some(id)) = (held, resource_key::find(tx, &key.0)?) else { return Ok(false) };
    clear(tx, id)?;
    blocked::unblock(tx, id)?;
    Ok(true)
}

/// Removes the row of a key; the caller unblocks its steps.
pub(in crate::store) fn clear(tx: &WriteTx, key: KeyId) -> Result<()> {
    tx.execute("DELETE FROM resource_lock WHERE key_id = ?1", [key.0])?;
    Ok(())
}

/// Removes an expired row, unless its holder is a live step. The caller has checked that the file lock is free.
pub fn sweep(tx: &WriteTx, row: &LockRow) -> Result<bool> {
    let Some(id) = resource_key::find(tx, &row.key.0)? else { return Ok(false) };
    let changed = tx.execute(
        formatcp!(
            "DELETE FROM resource_lock WHERE key_id = ?1 AND token = ?2 AND deadline = ?3
            AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.step_id = resource_lock.holder
                               AND l.token = resource_lock.token AND resource_lock.holder_kind = {HOLDER_STEP})"
        ),
        params![id.0, row.token.0, row.deadline.0],
    )?;
    if changed == 1 {
        blocked::unblock(tx, id)?;
    }
    Ok(changed == 1)
}

/// All held keys, by name.
pub fn list(tx: &ReadTx) -> Result<Vec<LockRow>> {
    tx.rows(&format!("{HELD} ORDER BY k.name"), [], read)
}

/// The holder of a key, if any.
pub fn holder_of(tx: &ReadTx, key: &str) -> Result<Option<LockRow>> {
    tx.row(&format!("{HELD} WHERE k.name = ?1"), [key], read)
}

const HELD: &str = "SELECT k.name, l.holder_kind, l.holder, l.token, l.identity, l.acquired, l.boot_id, l.deadline
   FROM resource_lock l JOIN resource_key k ON k.id = l.key_id";

const LEFT: &str = formatcp!(
    "l.holder_kind = {HOLDER_STEP}
    AND NOT EXISTS (SELECT 1 FROM lease q WHERE q.step_id = l.holder AND q.token = l.token)"
);

fn read(row: &Row) -> Result<LockRow> {
    Ok(LockRow {
        key: ResourceKey(row.get(0)?),
        holder: Holder { kind: kind(row.get(1)?), id: row.get(2)? },
        token: Token(row.get(3)?),
        identity: serde_json::from_str(&row.get::<String>(4)?).ok(),
        acquired: Timestamp(row.get(5)?),
        boot_id: row.get(6)?,
        deadline: Monotonic(row.get(7)?),
    })
}

fn kind(code: i64) -> HolderKind {
    HolderKind::from_code(code).unwrap_or(HolderKind::Hook)
}

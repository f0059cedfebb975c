//! Table `hook`: durable hooks. There is a row only if a hook is subscribed: `event::note` queues it with the event, and it
//! runs later.

use crate::model::code::{HOOK_RUNNING, HOOK_WAITING};
use crate::model::{DefinitionId, EventKind, GroupId, HookState, RunId, Scope, StepId, Timestamp, Token, WorkerId};
use crate::store::{
    error::Result,
    event::{self, About},
    params::params,
    row::Row,
    tx::{ReadTx, WriteTx},
    worker,
};
use const_format::formatcp;

/// A hook that a worker may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    pub id: i64,
    pub name: String,
    /// Its place in the definition's list of hooks.
    pub no: usize,
    /// The definition of that list; None: the group's.
    pub definition: Option<DefinitionId>,
    pub group: GroupId,
    pub run: Option<RunId>,
    pub step: Option<StepId>,
    pub attempts: i64,
    pub token: Token,
}

/// Claims due hooks of a scope, at most `limit`; each under a fresh token. None for a worker that was reaped meanwhile.
pub fn claim(tx: &WriteTx, id: WorkerId, scope: Scope, limit: usize) -> Result<Vec<Hook>> {
    if !worker::is_registered(tx, id)? {
        return Ok(Vec::new());
    }
    let group = scope_number(scope);
    let due = tx.rows(
        formatcp!(
            "SELECT id, name, no, group_id, run_id, step_id, attempts, definition_id FROM hook
          WHERE state = {HOOK_WAITING} AND due <= ?1 AND (?2 = 0 OR group_id = ?2) ORDER BY due, id LIMIT ?3"
        ),
        params![tx.now().0, group, limit as i64],
        read,
    )?;
    let mut claimed = Vec::new();
    for hook in due {
        let token = tx.next_token();
        tx.execute(
            formatcp!(
                "UPDATE hook SET state = {HOOK_RUNNING}, token = ?2, worker = ?3, started = ?4, attempts = attempts + 1
              WHERE id = ?1 AND state = {HOOK_WAITING}"
            ),
            params![hook.id, token.0, id.0, tx.now().0],
        )?;
        claimed.push(Hook { token, attempts: hook.attempts + 1, ..hook });
    }
    Ok(claimed)
}

fn scope_number(scope: Scope) -> i64 {
    match scope {
        Scope::Everything => 0,
        Scope::Group(group) => group.0,
    }
}

fn read(row: &Row) -> Result<Hook> {
    let some = |id: i64| Some(id).filter(|it| *it > 0);
    Ok(Hook {
        id: row.get(0)?,
        name: row.get(1)?,
        no: row.get::<i64>(2)? as usize,
        definition: some(row.get(7)?).map(DefinitionId),
        group: GroupId(row.get(3)?),
        run: some(row.get(4)?).map(RunId),
        step: some(row.get(5)?).map(StepId),
        attempts: row.get(6)?,
        token: Token(0),
    })
}

/// How a hook's attempt ended.
#[derive(Debug, Clone)]
pub enum HookEnd {
    Done(String),
    /// Again at this time, for this reason.
    RetryAt(Timestamp, String),
    Failed(String),
    /// Given back unspent.
    Released,
    /// Given back unspent until this time, for this reason.
    PutOff(Timestamp, String),
}

/// Settles a hook, if `token` still holds it.
pub fn settle(tx: &WriteTx, hook: &Hook, end: &HookEnd) -> Result<crate::store::Held> {
    let (state, due, detail, ended, spent): (_, _, _, _, i64) = match end {
        HookEnd::Done(detail) => (HookState::Done, None, detail.as_str(), true, 0),
        HookEnd::Failed(detail) => (HookState::Failed, None, detail.as_str(), true, 0),
        HookEnd::RetryAt(due, detail) => (HookState::Waiting, Some(due.0), detail.as_str(), false, 0),
        HookEnd::Released => (HookState::Waiting, None, "", false, 1),
        HookEnd::PutOff(due, reason) => (HookState::Waiting, Some(due.0), reason.as_str(), false, 1),
    };
    let changed = tx.execute(
        formatcp!(
            "UPDATE hook SET state = ?3, due = coalesce(?4, due), detail = ?5, ended = ?6, token = NULL, worker = NULL,
                attempts = attempts - ?7 WHERE id = ?1 AND token = ?2 AND state = {HOOK_RUNNING}"
        ),
        params![hook.id, hook.token.0, state.code(), due, detail, ended.then_some(tx.now().0), spent],
    )?;
    if changed == 0 {
        return Ok(crate::store::Held::Lost);
    }
    let about = About { group: Some(hook.group), run: hook.run, step: hook.step, token: None };
    match end {
        HookEnd::Done(_) => event::note_with(tx, EventKind::HookEnd, about, hook.name.clone())?,
        HookEnd::Failed(why) => {
            event::note_with(tx, EventKind::HookFailed, about, format!("{}: {why}", hook.name))?;
        }
        HookEnd::RetryAt(..) | HookEnd::Released | HookEnd::PutOff(..) => tx.memory().woke = true,
    }
    Ok(crate::store::Held::Yes)
}

/// Hooks of a dead worker become due again; the attempt counts, since its effect may have happened.
pub(in crate::store) fn reap(tx: &WriteTx, worker: WorkerId) -> Result<usize> {
    let changed = tx.execute(
        formatcp!(
            "UPDATE hook SET state = {HOOK_WAITING}, token = NULL, worker = NULL WHERE worker = ?1
                  AND state = {HOOK_RUNNING}"
        ),
        [worker.0],
    )?;
    tx.memory().woke |= changed > 0;
    Ok(changed)
}

/// When the next waiting hook of a scope is due; None when none waits.
pub fn next_due(tx: &ReadTx, scope: Scope) -> Result<Option<Timestamp>> {
    tx.row(
        formatcp!("SELECT min(due) FROM hook WHERE state = {HOOK_WAITING} AND (?1 = 0 OR group_id = ?1)"),
        [scope_number(scope)],
        |row| row.get::<Option<i64>>(0),
    )
    .map(|it| it.flatten().map(Timestamp))
}

/// Hooks of a scope that run now.
pub fn running(tx: &ReadTx, scope: Scope) -> Result<i64> {
    Ok(tx
        .row(
            formatcp!("SELECT count(*) FROM hook WHERE state = {HOOK_RUNNING} AND (?1 = 0 OR group_id = ?1)"),
            [scope_number(scope)],
            |row| row.get(0),
        )?
        .unwrap_or(0))
}

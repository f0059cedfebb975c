//! Table `hook`: the event that each hook reports. A hook is the only step of a run of its own, so the engine claims,
//! runs, retries and settles it like any other step.
//!
//! The runs of the hooks for group 12 are in a hidden group, -12. They do not keep group 12 open, are not counted in
//! it, and run even if it has ended or is cancelled. `event` makes a hook due in the event's transaction.

use crate::model::code::PHASE_LIVE;
use crate::model::{
    DefinitionId, Event, EventKind, GroupId, HOOK_TYPE, RunId, Shape, ShapeHook, ShapeStep, StepId, Timestamp, Token,
    TypeId,
};
use crate::store::{
    attempt,
    definition::{self, NewDefinition},
    error::{Error, Result},
    memory,
    params::params,
    place, resource_key,
    row::Row,
    step::{self, NewStep},
    step_type,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

/// The definition of all hook runs. What a hook does is in the definition of the workflow that it belongs to.
pub const DEFINITION: &str = "windlass/hook";
/// Its canonical JSON and the hash of that; `scripts/upgrade/006-to-007.sql` contains both.
pub const BODY: &str = concat!(
    r#"{"hooks":{},"id":"windlass/hook","name":"windlass/hook","steps":[{"action":{"uses":"windlass/noop"},"backoff":{"factor":2.0,"initial":"1s","jitter":0.2,"max":"5m"},"cache":null,"env":{},"#,
    r#""limits":{"cpu":null,"memory":null,"open_files":null},"max_crashes":3,"name":"hook","needs":[],"permanent_exits":[],"resource_key":null,"retries":0,"step_type":"hooks","timeout":null,"unit":"step","with":null}],"workers":{}}"#
);
pub const HASH: [u8; 32] = [
    0x72, 0x06, 0x07, 0xc8, 0xd6, 0x85, 0xfa, 0xb8, 0x8f, 0xfd, 0xfb, 0xa4, 0x3b, 0x7f, 0x23, 0x3b, 0x81, 0x4b, 0x72,
    0x96, 0x21, 0x34, 0x63, 0x6e, 0xe7, 0x9f, 0xfb, 0xb5, 0xe1, 0xf6, 0x17, 0xa0,
];

/// A hook, with its owner and the event that started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The definition that contains it, and its index in the list of hooks there.
    pub definition: DefinitionId,
    pub no: usize,
    pub event: String,
    pub name: String,
    /// The group that it reports on and, for an event of one, the run and the step. 0: it reports on a schedule.
    pub group: GroupId,
    pub run: Option<RunId>,
    pub step: Option<StepId>,
    /// The token of the attempt, or the id of the schedule, that it reports on.
    pub subject: i64,
}

const COLUMNS: &str = "definition_id, no, event, name, group_id, run_id, step_id, subject";

fn read(row: &Row) -> Result<Hook> {
    let some = |id: i64| Some(id).filter(|it| *it > 0);
    Ok(Hook {
        definition: DefinitionId(row.get(0)?),
        no: row.get::<i64>(1)? as usize,
        event: row.get(2)?,
        name: row.get(3)?,
        group: GroupId(row.get(4)?),
        run: some(row.get(5)?).map(RunId),
        step: some(row.get(6)?).map(StepId),
        subject: row.get(7)?,
    })
}

/// The hook that a step runs. None if it is not a hook.
pub fn of_step(tx: &ReadTx, id: StepId) -> Result<Option<Hook>> {
    tx.row(formatcp!("SELECT {COLUMNS} FROM hook WHERE id = ?1"), [id.0], read)
}

/// Whether a hook may be claimable: one is in the queue, or a step is due.
pub fn may_wait(tx: &ReadTx, queue: TypeId, now: Timestamp) -> Result<bool> {
    let ready = tx.row("SELECT 1 FROM ready WHERE queue = ?1 LIMIT 1", [queue.0], |_| Ok(()))?;
    Ok(ready.is_some() || memory::earliest_due(tx)?.is_some_and(|due| due <= now))
}

/// What a hook that becomes due reports on.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Subject {
    pub group: GroupId,
    pub run: Option<RunId>,
    pub step: Option<StepId>,
    /// The attempt, if the event is about one.
    pub token: Option<Token>,
    /// The schedule, if the event is about one. The group is then `GroupId::NONE`.
    pub schedule: Option<i64>,
}

/// Makes the hooks of a definition due that subscribe to an event.
pub(in crate::store) fn queue_all(tx: &WriteTx, id: DefinitionId, kind: EventKind, of: &Subject) -> Result<()> {
    let shape = tx.memory().shape(tx, id)?;
    let subscribed = shape.shape.hooks.iter().enumerate().filter(|(_, it)| it.event == kind);
    subscribed.into_iter().try_for_each(|(no, it)| queue(tx, (id, no, it), of))
}

/// Makes hook `no` of a definition due.
fn queue(tx: &WriteTx, (definition, no, hook): (DefinitionId, usize, &ShapeHook), of: &Subject) -> Result<()> {
    let (own_definition, step_type) = known(tx)?;
    let (priority, scope) = open(tx, of.group, own_definition)?;
    let (run, id) = {
        let mut memory = tx.memory();
        (RunId(memory.counters.run.next()), StepId(memory.counters.step.next()))
    };
    let hooks = of.group.hooks();
    tx.execute(
        "INSERT INTO run(id, group_id, definition_id, first_step, unfinished) VALUES (?1, ?2, ?3, ?4, 1)",
        params![run.0, hooks.0, own_definition.0, id.0],
    )?;
    tx.execute("INSERT INTO item(run_id, item) VALUES (?1, ?2)", params![run.0, hook.name])?;
    // A missed instant is reported once, so the id of its hook can serve as the epoch.
    let epoch = tx.row("SELECT epoch FROM run_group WHERE id = ?1", [of.group.0], |row| row.get(0))?.unwrap_or(id.0);
    tx.execute(
        "INSERT INTO hook(id, definition_id, event, name, no, group_id, run_id, step_id, epoch, subject)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            id.0,
            definition.0,
            hook.event.name(),
            hook.name,
            no as i64,
            hooks.owner().0,
            of.run.map_or(0, |run| run.0),
            of.step.map_or(0, |step| step.0),
            epoch,
            of.schedule.unwrap_or(of.token.map_or(0, |token| token.0))
        ],
    )?;
    let key = hook.key.as_deref().map(|it| resource_key::intern(tx, it)).transpose()?;
    let (due, no, unmet) = (tx.now(), 0, 0);
    step::insert(
        tx,
        id,
        &NewStep { run, group: hooks, no, step_type, priority, due, unmet, key, scope, demand: None },
    )?;
    tx.execute(
        "UPDATE group_detail SET runs = runs + 1, opened = ?2, open_until = ?2 WHERE group_id = ?1",
        [hooks.0, run.0],
    )?;
    place::enter(tx, id, step_type).map(|_| ())
}

/// The definition and the type of hooks, created with the first hook.
fn known(tx: &WriteTx) -> Result<(DefinitionId, TypeId)> {
    let (definition, step_type) = {
        let memory = tx.memory();
        (memory.hook_definition, memory.hook_type)
    };
    if let (Some(definition), Some(step_type)) = (definition, step_type) {
        return Ok((definition, step_type));
    }
    let steps = vec![ShapeStep { step_type: HOOK_TYPE.into(), ..ShapeStep::default() }];
    let new = NewDefinition {
        hash: HASH,
        name: DEFINITION.into(),
        title: DEFINITION.into(),
        body: BODY.into(),
        shape: Shape { steps, hooks: vec![] },
    };
    let (definition, step_type) = (definition::intern(tx, &new)?, step_type::intern(tx, HOOK_TYPE)?);
    tx.memory().hook_definition = Some(definition);
    Ok((definition, step_type))
}

/// Counts one more open run in the hidden group of a group; creates the hidden group with its first hook. Returns its
/// priority and scope.
fn open(tx: &WriteTx, owner: GroupId, definition: DefinitionId) -> Result<(i64, i64)> {
    let hooks = owner.hooks();
    // Its steps get the current scope of the other group.
    let opened = tx.execute(
        formatcp!(
            "UPDATE run_group SET unfinished = unfinished + 1, ended = NULL WHERE id = ?1 AND phase = {PHASE_LIVE}"
        ),
        [hooks.0],
    )?;
    if opened == 0 {
        tx.execute(formatcp!("INSERT INTO run_group(id, unfinished, phase) VALUES (?1, 1, {PHASE_LIVE})"), [hooks.0])?;
        tx.execute(
            "INSERT INTO group_detail(group_id, definition_id, name, params, directory, priority, created)
             SELECT -?1, ?2, '', '{}', '', coalesce((SELECT priority FROM group_detail WHERE group_id = ?1), 0), ?3",
            params![owner.0, definition.0, tx.now().0],
        )?;
    }
    if owner == GroupId::NONE {
        return Ok((0, 0));
    }
    // The hooks of a group that a step started are run by whoever runs that step.
    let place = "SELECT d.priority, coalesce((SELECT s.scope FROM child_group c JOIN step s ON s.id = c.step_id
                                               WHERE c.group_id = g.id), -g.scope)
                   FROM run_group g JOIN group_detail d ON d.group_id = g.id WHERE g.id = ?1";
    tx.row(place, [owner.0], |row| Ok((row.get(0)?, row.get(1)?)))?.ok_or_else(|| Error::not_found(owner))
}

/// What an event about a hook's step means for the group that the hook reports on: the end of the hook, or nothing.
pub(in crate::store) fn event_of(tx: &WriteTx, kind: EventKind, id: Option<StepId>) -> Result<Option<Event>> {
    if !matches!(kind, EventKind::StepEnd | EventKind::StepFailed | EventKind::Cancel) {
        return Ok(None);
    }
    let Some(id) = id else { return Ok(None) };
    let Some(hook) = of_step(tx, id)? else { return Ok(None) };
    let (kind, detail) = match kind {
        EventKind::StepEnd => (EventKind::HookEnd, hook.name),
        EventKind::StepFailed => {
            let reason = attempt::last_reason(tx, id)?.unwrap_or_default();
            (EventKind::HookFailed, format!("{}: {reason}", hook.name))
        }
        // A running step was only asked to stop.
        _ if step::get(tx, id)?.is_some_and(|it| !it.state.is_terminal()) => return Ok(None),
        _ => (EventKind::HookFailed, format!("{}: cancelled", hook.name)),
    };
    let group = Some(hook.group).filter(|it| it.0 > 0);
    Ok(Some(Event { at: tx.now(), kind, group, run: hook.run, step: hook.step, detail }))
}

/// A hook's step, its run, and whether it is running.
pub(in crate::store) struct Own {
    pub step: StepId,
    pub run: RunId,
    pub runs: bool,
}

/// The hooks that report on a run.
pub(in crate::store) fn of_run(tx: &ReadTx, group: GroupId, run: RunId) -> Result<Vec<Own>> {
    tx.rows(
        "SELECT h.id, s.run_id, EXISTS (SELECT 1 FROM lease l WHERE l.step_id = h.id) FROM hook h JOIN step s ON s.id = h.id
          WHERE h.group_id = ?1 AND h.run_id = ?2",
        [group.0, run.0],
        |row| Ok(Own { step: StepId(row.get(0)?), run: RunId(row.get(1)?), runs: row.get(2)? }),
    )
}

/// Deletes a hook that is not running, and removes it from the counts of its hidden group.
pub(in crate::store) fn remove(tx: &WriteTx, group: GroupId, run: RunId, id: StepId) -> Result<()> {
    if tx.row("SELECT 1 FROM run WHERE id = ?1 AND ended IS NULL", [run.0], |_| Ok(()))?.is_some() {
        tx.sum(group.hooks(), |sums| sums.ended += 1);
    }
    tx.execute(
        "UPDATE run_group SET failed = failed - (SELECT failed > 0 FROM run WHERE id = ?2),
                cancelled = cancelled - (SELECT failed = 0 AND cancelled > 0 FROM run WHERE id = ?2) WHERE id = ?1",
        [group.hooks().0, run.0],
    )?;
    tx.execute("UPDATE group_detail SET runs = runs - 1 WHERE group_id = ?1", [group.hooks().0])?;
    for sql in [
        "DELETE FROM attempt_log WHERE step_id = ?1",
        "DELETE FROM attempt WHERE step_id = ?1",
        "DELETE FROM step WHERE id = ?1",
        "DELETE FROM hook WHERE id = ?1",
    ] {
        tx.execute(sql, [id.0])?;
    }
    tx.execute("DELETE FROM item WHERE run_id = ?1", [run.0])?;
    tx.execute("DELETE FROM run WHERE id = ?1", [run.0])?;
    Ok(())
}

/// Deletes hooks of schedules that ended by then; the hooks of a group are deleted with it. Returns the number. Fewer
/// than `limit` means that none are left.
pub fn prune_slice(tx: &WriteTx, before: Timestamp, limit: usize) -> Result<usize> {
    let ended = tx.rows(
        "SELECT id, first_step FROM run WHERE group_id = ?1 AND ended <= ?2 ORDER BY id LIMIT ?3",
        params![GroupId::NONE.hooks().0, before.0, limit as i64],
        |row| Ok((RunId(row.get(0)?), StepId(row.get(1)?))),
    )?;
    ended.iter().try_for_each(|(run, id)| remove(tx, GroupId::NONE, *run, *id))?;
    Ok(ended.len())
}

/// Due hooks of ended groups, of groups that a user paused, and of schedules, each with its step.
pub(in crate::store) fn due_beside_work(tx: &ReadTx) -> Result<Vec<(Hook, StepId)>> {
    tx.rows(DUE_BESIDE_WORK, [], |row| Ok((read(row)?, StepId(row.get(8)?))))
}

const DUE_BESIDE_WORK: &str = formatcp!(
    "SELECT h.definition_id, h.no, h.event, h.name, h.group_id, h.run_id, h.step_id, h.subject, h.id
       FROM run_group o JOIN run r ON r.group_id = o.id AND r.ended IS NULL JOIN hook h ON h.id = r.first_step
       LEFT JOIN run_group g ON g.id = h.group_id LEFT JOIN group_detail d ON d.group_id = h.group_id
      WHERE o.id < 0 AND o.ended IS NULL AND (d.group_id IS NULL OR g.ended IS NOT NULL OR (g.paused = 1 AND d.paused_for = ''))
      ORDER BY h.id"
);

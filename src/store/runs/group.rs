//! Tables `run_group` and `group_detail`: one submission, from its first slice to its end.
//!
//! SQLite only: JSON functions.

use crate::model::code::{PHASE_BUILDING, PHASE_LIVE, PHASE_PRUNING, STEP_COMPLETED};
use crate::model::{
    ArtifactHash, Concurrency, DefinitionId, EventKind, GroupId, GroupPhase, ProcessIdentity, RunId, Scope, Status,
    StepId, Timestamp,
};
use crate::store::{
    batch_group::{self, OfBatch},
    capacity::{self, NewDemand},
    child_group::{self, NewChild},
    collect,
    concurrency::{self, Turn},
    document::{self, RunDocuments},
    document_removal,
    error::{Error, Result},
    event::{self, About},
    follow::{self, Graph},
    params::params,
    place, resource_key, step, submit_key,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

/// A submission before its first run is added.
#[derive(Debug, Clone)]
pub struct NewGroup {
    pub definition: DefinitionId,
    pub name: String,
    /// JSON.
    pub params: String,
    pub directory: String,
    /// The workflow file. Empty if there was none.
    pub file: String,
    /// Its place among groups that must not overlap.
    pub concurrency: Option<Turn>,
    pub priority: i64,
    /// Its share relative to other groups, from 1 to `decide::fairness::MAX_WEIGHT`.
    pub weight: i64,
    pub force: bool,
    /// Whether only its own worker takes its steps at first (`run`, `ingest`).
    pub scoped: bool,
    /// The idempotency key and the hash of the submission.
    pub key: Option<(String, [u8; 32])>,
    /// The definition whose hooks apply to it in addition to those of its workflow.
    pub alerts: Option<DefinitionId>,
    /// The process that builds it. While it lives, no other process changes an unsealed group.
    pub builder: ProcessIdentity,
    /// The batch of documents that it processes.
    pub of_batch: Option<OfBatch>,
    /// Its parent step.
    pub child: Option<NewChild>,
    /// The steps that run once all of its runs have ended.
    pub collect: Option<DefinitionId>,
}

/// The result of `create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    New(GroupId),
    /// The key was already used for the same content.
    Existing(GroupId),
    /// The same, but the group has been pruned; it had ended with this status.
    Gone(GroupId, Status),
    /// Nothing was submitted, because this group has the turn for the name and the policy is to skip.
    Skipped(GroupId),
    /// This process left the group of the key unfinished. It may be dead.
    Unfinished(GroupId, ProcessIdentity),
}

/// One item, with the rendered resource key of each step.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub item: String,
    pub keys: Vec<Option<String>>,
    /// The resources that each step takes; empty if no step takes any.
    pub demands: Vec<Option<NewDemand>>,
    /// The content that it processes, for a group of a batch.
    pub content: Option<ArtifactHash>,
    /// The rows for the table `document`.
    pub documents: Option<RunDocuments>,
}

/// Begins a group: unsealed, not claimable, and held open. Refused if the key was used for other content.
pub fn create(tx: &WriteTx, new: &NewGroup) -> Result<Created> {
    if let Some((key, content)) = &new.key
        && let Some(found) = submit_key::find(tx, key)?
    {
        if found.content != *content {
            return Err(Error::conflict(format!("key `{key}` is in use by {} with other content", found.group)));
        }
        if let Some(status) = found.ended_as {
            return Ok(Created::Gone(found.group, status));
        }
        return match builder(tx, found.group)? {
            Some(builder) => Ok(Created::Unfinished(found.group, builder)),
            None => Ok(Created::Existing(found.group)),
        };
    }
    if let Some(turn) = new.concurrency.as_ref().filter(|it| it.policy == Concurrency::Skip)
        && let Some(first) = concurrency::first(tx, &turn.name)?
    {
        // So that repeating the submission gets the same answer.
        if let Some((key, content)) = &new.key {
            submit_key::insert(tx, key, content, first)?;
        }
        return Ok(Created::Skipped(first));
    }
    let group = GroupId(tx.memory().counters.group.next());
    let scope = if new.scoped { group.0 } else { 0 };
    tx.execute("INSERT INTO run_group(id, unfinished, scope) VALUES (?1, 1, ?2)", params![group.0, scope])?;
    let builder = serde_json::to_string(&new.builder).unwrap_or_else(|_| "null".into());
    tx.execute(
        "INSERT INTO group_detail(group_id, definition_id, name, params, directory, priority, weight, force, builder, created,
                file, concurrency)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            group.0,
            new.definition.0,
            new.name,
            new.params,
            new.directory,
            new.priority,
            new.weight,
            new.force,
            builder,
            tx.now().0,
            new.file,
            new.concurrency.as_ref().map_or("", |it| &it.name)
        ],
    )?;
    if let Some(turn) = &new.concurrency {
        concurrency::enter(tx, group, turn)?;
    }
    if let Some(alerts) = new.alerts {
        tx.execute("INSERT INTO group_alert(group_id, definition_id) VALUES (?1, ?2)", [group.0, alerts.0])?;
    }
    if let Some(child) = &new.child {
        child_group::insert(tx, group, child)?;
    }
    if let Some(definition) = new.collect {
        collect::insert(tx, group, definition)?;
    }
    if let Some(of) = &new.of_batch {
        batch_group::insert(tx, group, of)?;
    }
    if let Some((key, content)) = &new.key {
        submit_key::insert(tx, key, content, group)?;
    }
    Ok(Created::New(group))
}

/// The builder of an unsealed group.
pub fn builder(tx: &ReadTx, group: GroupId) -> Result<Option<ProcessIdentity>> {
    let text = tx.row(
        formatcp!(
            "SELECT d.builder FROM run_group g JOIN group_detail d ON d.group_id = g.id WHERE g.id = ?1
                  AND g.phase = {PHASE_BUILDING}"
        ),
        [group.0],
        |row| row.get::<String>(0),
    )?;
    Ok(text.and_then(|it| serde_json::from_str(&it).ok()))
}

/// The group of a submission key, if all of it was submitted.
pub fn submitted_as(tx: &ReadTx, key: &str) -> Result<Option<GroupId>> {
    let Some(found) = submit_key::find(tx, key)? else { return Ok(None) };
    let whole = found.ended_as.is_some() || builder(tx, found.group)?.is_none();
    Ok(whole.then_some(found.group))
}

/// Adds runs to an unsealed group, at most 1,000 rows per call. Their ids are consecutive; returns the first.
pub fn add_runs(tx: &WriteTx, group: GroupId, runs: &[NewRun]) -> Result<Option<RunId>> {
    let found = tx.row(
        formatcp!(
            "SELECT d.definition_id, d.priority, coalesce((SELECT s.scope FROM child_group c JOIN step s ON s.id = c.step_id
                WHERE c.group_id = g.id), g.scope)
           FROM run_group g JOIN group_detail d ON d.group_id = g.id
          WHERE g.id = ?1 AND g.phase = {PHASE_BUILDING}"
        ),
        [group.0],
        |row| Ok((DefinitionId(row.get(0)?), row.get::<i64>(1)?, row.get::<i64>(2)?)),
    )?;
    let Some((definition, priority, scope)) = found else {
        return Err(Error::conflict(format!("{group} is not being built")));
    };
    let shape = tx.memory().shape(tx, definition)?;
    if shape.shape.steps.is_empty() {
        return Err(Error::refused("a workflow without steps has nothing to run"));
    }
    let mut first_run = None;
    let due = tx.now();
    for new in runs {
        let run = RunId(tx.memory().counters.run.next());
        first_run.get_or_insert(run);
        let first = StepId(tx.memory().counters.step.next());
        let count = shape.shape.steps.len();
        for _ in 1..count {
            tx.memory().counters.step.next();
        }
        tx.execute(
            "INSERT INTO run(id, group_id, definition_id, first_step, unfinished) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![run.0, group.0, definition.0, first.0, count as i64],
        )?;
        tx.execute("INSERT INTO item(run_id, item) VALUES (?1, ?2)", params![run.0, new.item])?;
        if let Some(content) = &new.content {
            if !document_removal::is_used(tx, content)? {
                return Err(Error::DocumentGone);
            }
            batch_group::insert_run(tx, run, content)?;
        }
        if let Some(documents) = &new.documents {
            document::keep(tx, run, documents)?;
        }
        for (no, kind) in shape.shape.steps.iter().enumerate() {
            let key = new.keys.get(no).and_then(Option::as_ref).map(|it| resource_key::intern(tx, it)).transpose()?;
            let new = step::NewStep {
                run,
                group,
                no,
                step_type: shape.types[no],
                priority,
                due,
                unmet: kind.needs.len(),
                key,
                scope,
                demand: capacity::of_step(tx, &new.demands, no)?,
            };
            step::insert(tx, StepId(first.0 + no as i64), &new)?;
        }
    }
    let count = runs.len() as i64;
    tx.execute("UPDATE run_group SET unfinished = unfinished + ?2 WHERE id = ?1", params![group.0, count])?;
    let last = tx.memory().counters.run;
    tx.execute(
        "UPDATE group_detail SET runs = runs + ?2, open_until = ?3 WHERE group_id = ?1",
        params![group.0, count, last.current()],
    )?;
    Ok(first_run)
}

/// Seals a group; from now on it is acknowledged. A group without runs ends immediately. Idempotent.
pub fn seal(tx: &WriteTx, group: GroupId) -> Result<()> {
    collect::add_run(tx, group)?;
    if !leave_phase(tx, group, GroupPhase::Building)? {
        return Ok(());
    }
    let starter = if tx.memory().families { child_group::step_of(tx, group)? } else { None };
    let detail = starter.map(|step| format!("started by {step}")).unwrap_or_default();
    event::note_with(tx, EventKind::GroupStart, About::group(group), detail)
}

/// Releases the hold that kept a group open while it was built or reopened, so that it can end. False: there was no
/// hold.
pub(in crate::store) fn leave_phase(tx: &WriteTx, group: GroupId, phase: GroupPhase) -> Result<bool> {
    let changed = tx.execute(
        formatcp!("UPDATE run_group SET phase = {PHASE_LIVE} WHERE id = ?1 AND phase = ?2"),
        params![group.0, phase.code()],
    )?;
    if changed == 1 {
        tx.sum(group, |sums| sums.ended += 1);
    }
    Ok(changed == 1)
}

/// Places the first steps of up to `limit` runs of a sealed group, which starts these runs and assigns their documents
/// to them. True while more are left. A group that waits for its turn has none left for now.
pub fn open_slice(tx: &WriteTx, group: GroupId, limit: usize) -> Result<bool> {
    if concurrency::is_held(tx, group)? {
        return Ok(false);
    }
    let found = tx.row(
        formatcp!(
            "SELECT d.opened, d.open_until, g.epoch > 1 FROM run_group g JOIN group_detail d ON d.group_id = g.id
          WHERE g.id = ?1 AND g.phase = {PHASE_LIVE} AND d.opened < d.open_until"
        ),
        [group.0],
        |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<bool>(2)?)),
    )?;
    let Some((opened, until, again)) = found else { return Ok(false) };
    let room = child_group::room(tx, group, limit)?;
    if room == 0 {
        return Ok(false);
    }
    let runs = tx.rows(
        "SELECT id, first_step, ended IS NOT NULL, definition_id FROM run
          WHERE group_id = ?1 AND id > ?2 AND id <= ?4 ORDER BY id LIMIT ?3",
        params![group.0, opened, limit as i64, until],
        |row| Ok((RunId(row.get(0)?), StepId(row.get(1)?), row.get::<bool>(2)?, DefinitionId(row.get(3)?))),
    )?;
    let (mut documents, mut last, mut active) = (0, None, 0);
    for (run, first, ended, definition) in &runs {
        // Runs that were cancelled before they began take no room.
        if active == room as i64 && !ended {
            break;
        }
        documents += document::begin(tx, *run)?;
        last = Some(*run);
        // It was cancelled before it began.
        if *ended {
            continue;
        }
        active += 1;
        let shape = tx.memory().shape(tx, *definition)?;
        // A reopened run has already begun.
        if !again || !follow::has_begun(tx, *first, shape.shape.steps.len())? {
            event::note(tx, EventKind::ItemStart, About::run(group, *run))?;
        }
        // A reopened run continues where it stopped.
        if again || !shape.plain {
            Graph { group, run: *run, first: *first, shape: &shape, opened: true }.start_first(tx)?;
        } else {
            for no in (0..shape.shape.steps.len()).filter(|&no| shape.shape.steps[no].needs.is_empty()) {
                place::enter(tx, StepId(first.0 + no as i64), shape.types[no])?;
            }
        }
        if documents >= limit {
            break;
        }
    }
    child_group::count_active(tx, group, active)?;
    let more = runs.len() == limit || last != runs.last().map(|it| it.0);
    let reached = if more { last.map_or(until, |it| it.0) } else { until };
    tx.execute("UPDATE group_detail SET opened = ?2 WHERE group_id = ?1", params![group.0, reached])?;
    Ok(more && reached < until)
}

/// Sealed groups whose first steps are not all placed, because of a crash. Groups that wait for their turn are not
/// included.
pub fn unopened(tx: &ReadTx) -> Result<Vec<GroupId>> {
    tx.rows(
        formatcp!(
            "SELECT d.group_id FROM group_detail d JOIN run_group g ON g.id = d.group_id
          WHERE d.opened < d.open_until AND g.phase = {PHASE_LIVE}
            AND NOT EXISTS (SELECT 1 FROM child_group c WHERE c.group_id = g.id AND c.active >= c.at_most)
            AND NOT EXISTS (SELECT 1 FROM concurrency c JOIN concurrency b ON b.name = c.name AND b.no < c.no
                             WHERE c.group_id = d.group_id)"
        ),
        [],
        |row| row.get(0).map(GroupId),
    )
}

/// Unsealed groups and their builders.
pub fn unsealed(tx: &ReadTx) -> Result<Vec<(GroupId, Option<ProcessIdentity>)>> {
    tx.rows(
        formatcp!(
            "SELECT g.id, d.builder FROM run_group g JOIN group_detail d ON d.group_id = g.id
          WHERE g.phase > {PHASE_LIVE} AND g.phase = {PHASE_BUILDING}"
        ),
        [],
        |row| Ok((GroupId(row.get(0)?), serde_json::from_str(&row.get::<String>(1)?).ok())),
    )
}

/// The facts about a step's group that a consumer needs. They never change, so they can be cached.
#[cfg_attr(not(any(test, feature = "internals")), allow(dead_code))]
#[derive(Debug, Clone)]
pub struct GroupDetail {
    pub id: GroupId,
    pub definition: DefinitionId,
    pub name: String,
    pub params: serde_json::Value,
    pub directory: String,
    pub priority: i64,
    pub force: bool,
    pub runs: i64,
    pub scope: Scope,
    pub created: Timestamp,
    pub weight: i64,
    /// The parent step.
    pub parent: Option<StepId>,
}

pub fn detail(tx: &ReadTx, group: GroupId) -> Result<GroupDetail> {
    tx.row(
        "SELECT d.definition_id, d.name, d.params, d.directory, d.priority, d.force, d.runs, g.scope, d.created, d.weight,
                (SELECT c.step_id FROM child_group c WHERE c.group_id = d.group_id)
           FROM group_detail d JOIN run_group g ON g.id = d.group_id WHERE d.group_id = ?1",
        [group.0],
        |row| {
            Ok(GroupDetail {
                id: group,
                definition: DefinitionId(row.get(0)?),
                name: row.get(1)?,
                params: serde_json::from_str(&row.get::<String>(2)?).unwrap_or_default(),
                directory: row.get(3)?,
                priority: row.get(4)?,
                force: row.get(5)?,
                runs: row.get(6)?,
                scope: match row.get::<i64>(7)? {
                    0 => Scope::Everything,
                    id => Scope::Group(GroupId(id)),
                },
                created: Timestamp(row.get(8)?),
                weight: row.get(9)?,
                parent: row.get::<Option<i64>>(10)?.map(StepId),
            })
        },
    )?
    .ok_or_else(|| Error::not_found(group))
}

/// The workflow file that a group was submitted from, and the definition that it had then.
pub fn file(tx: &ReadTx, group: GroupId) -> Result<Option<(String, DefinitionId)>> {
    let sql = "SELECT file, CASE submitted_as WHEN 0 THEN definition_id ELSE submitted_as END FROM group_detail
                WHERE group_id = ?1 AND file <> ''";
    tx.row(sql, [group.0], |row| Ok((row.get(0)?, DefinitionId(row.get(1)?))))
}

/// Whether a group has ended, and its counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub failed: i64,
    pub cancelled: i64,
    pub ended: Option<Timestamp>,
}

pub fn end(tx: &ReadTx, group: GroupId) -> Result<End> {
    tx.row(
        formatcp!("SELECT failed, cancelled, ended FROM run_group WHERE id = ?1 AND phase < {PHASE_PRUNING}"),
        [group.0],
        |row| Ok(End { failed: row.get(0)?, cancelled: row.get(1)?, ended: row.get::<Option<i64>>(2)?.map(Timestamp) }),
    )?
    .ok_or_else(|| Error::not_found(group))
}

/// Gives the group, and the open steps of its next `limit` runs after `after`, the scope of `run --resume`: its own, or
/// that of the group from which it descends. Returns where to continue; None at the end. Start with run 0.
pub fn adopt_slice(tx: &WriteTx, group: GroupId, scope: GroupId, after: RunId, limit: usize) -> Result<Option<RunId>> {
    if scope == group {
        tx.execute("UPDATE run_group SET scope = id WHERE id = ?1 AND ended IS NULL", [group.0])?;
    }
    let runs = tx.rows(
        "SELECT r.id, r.first_step, r.first_step + json_array_length(w.shape, '$.steps') FROM run r
           JOIN definition w ON w.id = r.definition_id WHERE r.group_id = ?1 AND r.id > ?2 ORDER BY r.id LIMIT ?3",
        params![group.0, after.0, limit as i64],
        |row| Ok((RunId(row.get(0)?), row.get::<i64>(1)?, row.get::<i64>(2)?)),
    )?;
    for (_, first, end) in &runs {
        let steps = tx.rows(
            formatcp!("SELECT id FROM step WHERE id >= ?1 AND id < ?2 AND state < {STEP_COMPLETED} AND scope = 0"),
            params![first, end],
            |row| row.get(0).map(StepId),
        )?;
        for id in steps {
            place::adopt(tx, id, scope)?;
        }
    }
    Ok(runs.last().filter(|_| runs.len() == limit).map(|it| it.0))
}

//! Groups in a list and in full.
//!
//! SQLite only: JSON functions.

use super::{
    below::{GroupBelow, below},
    failure::allowed_failures,
    hook::{FAILED_HOOKS, FailedHook, failed_hooks},
    queue::Waits,
};
use crate::decide::{
    elapsed,
    status::{self, Facts},
};
use crate::model::code::{PHASE_BUILDING, PHASE_LIVE, PHASE_PRUNING};
use crate::{
    model::{DefinitionId, GroupId, Millis, Status, StepId, Timestamp, WaitKind},
    store::{
        error::{Error, Result},
        params::params,
        row::Row,
        tx::ReadTx,
    },
};
use const_format::formatcp;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Which groups to list, newest first. `before` is the end of the last page.
#[derive(Debug, Clone, Default)]
pub struct GroupFilter {
    pub status: Option<Status>,
    pub before: Option<GroupId>,
    pub limit: usize,
    /// Which of the groups that steps started are listed, too.
    pub below: Below,
}

/// Which of the groups that steps started are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Below {
    /// None of them.
    #[default]
    Nothing,
    /// Those, and no others, that steps of this group started.
    Of(GroupId),
    /// All of them, among the others.
    All,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct GroupRow {
    pub id: GroupId,
    pub name: String,
    /// The id of its workflow, as in the workflow file.
    pub definition: String,
    pub status: Status,
    pub runs: i64,
    /// Runs that have ended, with any status.
    pub ended_runs: i64,
    pub failed: i64,
    pub cancelled: i64,
    /// Running steps, with those of the groups that its steps started.
    pub running: i64,
    /// Steps that wait for a time, a person, a signal or their children, without a worker.
    pub waiting: i64,
    /// Those of them that wait for an approval.
    pub approvals: i64,
    pub paused: bool,
    pub cancelling: bool,
    /// Whether its submission has not been acknowledged yet.
    pub building: bool,
    /// Whether its own `run` or `ingest` takes its steps first.
    pub scoped: bool,
    pub epoch: i64,
    pub priority: i64,
    /// Its share relative to other groups with its priority.
    pub weight: i64,
    pub created: Timestamp,
    pub ended: Option<Timestamp>,
    /// What the paused group waits for. Null: a user paused it, or it is not paused.
    pub paused_for: Option<String>,
    /// Groups with the same name here do not overlap. Null: it can overlap with any group.
    pub concurrency: Option<String>,
    /// The group with the same `concurrency` that runs before it. Null: it has the turn, or has ended.
    pub waits_for: Option<GroupId>,
    /// The step that started it, and the group of that step. Null: no step did.
    pub parent_step: Option<StepId>,
    pub parent_group: Option<GroupId>,
    /// Steps that wait without a worker, by what they wait for.
    #[serde(skip)]
    pub waits: Waits,
    /// A paused type that prevents the group from starting any step.
    #[serde(skip)]
    pub type_paused: Option<String>,
}

/// The number of steps of a type with a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TypeCount {
    pub step_type: String,
    pub status: Status,
    pub count: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct GroupDetails {
    #[serde(flatten)]
    pub group: GroupRow,
    pub definition_id: DefinitionId,
    /// The workflow versions of its runs, if a retry changed the version of some; otherwise empty.
    pub definitions: Vec<RunsOfDefinition>,
    pub params: serde_json::Value,
    pub directory: String,
    pub force: bool,
    pub runs_by_status: BTreeMap<Status, i64>,
    pub steps: Vec<TypeCount>,
    /// FAILED steps with `allow_failure`, which do not fail their runs.
    pub allowed_failures: i64,
    /// Newest first, at most 20.
    pub failed_hooks: Vec<FailedHook>,
    /// The groups that its steps started, each before those that its own steps started; at most 100.
    pub below: Vec<GroupBelow>,
}

const COLUMNS: &str = formatcp!(
    "g.id, d.name, w.name, g.ended, d.runs, g.unfinished - (g.phase > {PHASE_LIVE}), g.failed, g.cancelled,
    g.paused, g.cancelling, g.phase = {PHASE_BUILDING}, g.scope > 0, g.epoch, d.priority, d.created,
    CASE WHEN g.paused = 1 AND d.paused_for <> '' THEN d.paused_for END, d.weight, nullif(d.concurrency, ''),
    CASE WHEN d.concurrency <> '' AND g.ended IS NULL THEN (SELECT b.group_id FROM concurrency c JOIN concurrency b
      ON b.name = c.name AND b.no < c.no WHERE c.group_id = g.id ORDER BY b.no LIMIT 1) END, f.step_id, f.parent
   FROM run_group g LEFT JOIN child_group f ON f.group_id = g.id JOIN group_detail d ON d.group_id = g.id AND g.phase < {PHASE_PRUNING}
   JOIN definition w ON w.id = d.definition_id"
);

fn read(row: &Row, steps: &Steps) -> Result<GroupRow> {
    let id = GroupId(row.get(0)?);
    let ended = row.get::<Option<i64>>(3)?.map(Timestamp);
    let (runs, open): (i64, i64) = (row.get(4)?, row.get(5)?);
    let (failed, cancelled): (i64, i64) = (row.get(6)?, row.get(7)?);
    let waits = steps.waits.get(&id).copied().unwrap_or_default();
    let (running, waiting) = (steps.running.get(&id).copied().unwrap_or(0), waits.all());
    let status = status::of(&Facts {
        ended: ended.is_some(),
        failed: failed > 0,
        cancelled: cancelled > 0,
        under_way: running > 0 || (open < runs && waiting == 0),
        waiting: waiting > 0,
        to_be_retried: false,
    });
    Ok(GroupRow {
        id,
        name: row.get(1)?,
        definition: row.get(2)?,
        status,
        runs,
        ended_runs: runs - open,
        failed,
        cancelled,
        running,
        waiting,
        approvals: waits.approval,
        paused: row.get(8)?,
        cancelling: row.get(9)?,
        building: row.get(10)?,
        scoped: row.get(11)?,
        epoch: row.get(12)?,
        priority: row.get(13)?,
        created: Timestamp(row.get(14)?),
        ended,
        paused_for: row.get(15)?,
        weight: row.get(16)?,
        concurrency: row.get(17)?,
        waits_for: row.get::<Option<i64>>(18)?.map(GroupId),
        parent_step: row.get::<Option<i64>>(19)?.map(StepId),
        parent_group: row.get::<Option<i64>>(20)?.map(GroupId),
        waits,
        type_paused: None,
    })
}

/// How many steps of each group run now, with those of the groups that its steps started, and wait without a worker.
struct Steps {
    running: HashMap<GroupId, i64>,
    waits: HashMap<GroupId, Waits>,
}

impl Steps {
    fn read(tx: &ReadTx) -> Result<Steps> {
        let running = tx.rows(RUNNING, [], |row| Ok((GroupId(row.get(0)?), row.get::<i64>(1)?)))?;
        let mut waits: HashMap<GroupId, Waits> = HashMap::new();
        let kinds = "SELECT group_id, kind, count(*) FROM waiting GROUP BY group_id, kind";
        for (group, kind, count) in
            tx.rows(kinds, [], |row| Ok((GroupId(row.get(0)?), row.get::<i64>(1)?, row.get::<i64>(2)?)))?
        {
            waits.entry(group).or_default().add(WaitKind::from_code(kind), count);
        }
        Ok(Steps { running: running.into_iter().collect(), waits })
    }
}

/// From the leases, which are few, to the groups above them.
const RUNNING: &str = "WITH RECURSIVE up(id) AS (SELECT group_id FROM lease
      UNION ALL SELECT c.parent FROM up u JOIN child_group c ON c.group_id = u.id) SELECT id, count(*) FROM up GROUP BY id";

/// Groups whose claimable steps all have paused types, each with one of these types. Reads the groups only if a type is
/// paused.
fn held_by_type(tx: &ReadTx) -> Result<HashMap<GroupId, String>> {
    if tx.row("SELECT 1 FROM step_type WHERE paused = 1 LIMIT 1", [], |_| Ok(()))?.is_none() {
        return Ok(HashMap::new());
    }
    let held = tx.rows(
        "SELECT r.group_id, min(t.name) FROM ready r JOIN step_type t ON t.id = r.type_id
          GROUP BY r.group_id HAVING min(t.paused) = 1",
        [],
        |row| Ok((GroupId(row.get(0)?), row.get::<String>(1)?)),
    )?;
    Ok(held.into_iter().collect())
}

/// How long at least one step of a group was running; the time in between does not count. Reads all of its steps.
pub fn worked(tx: &ReadTx, id: GroupId) -> Result<Millis> {
    let Some((first, end)) = step_range(tx, id)? else { return Ok(Millis(0)) };
    let spans = tx.rows(
        "SELECT started, ended FROM step WHERE id >= ?1 AND id < ?2 AND group_id = ?3
            AND started IS NOT NULL AND ended IS NOT NULL
         UNION ALL SELECT a.started, a.ended FROM attempt a JOIN step s ON s.id = a.step_id
          WHERE a.step_id >= ?1 AND a.step_id < ?2 AND s.group_id = ?3",
        params![first, end, id.0],
        |row| Ok((Timestamp(row.get(0)?), Timestamp(row.get(1)?))),
    )?;
    Ok(elapsed::covered(spans))
}

/// Groups, newest first. A group is RUNNING from its first start to its end.
pub fn groups(tx: &ReadTx, filter: &GroupFilter) -> Result<Vec<GroupRow>> {
    let steps = Steps::read(tx)?;
    let wanted = match filter.status {
        None => "1",
        Some(Status::Completed) => "g.ended IS NOT NULL AND g.failed = 0 AND g.cancelled = 0",
        Some(Status::Failed) => "g.ended IS NOT NULL AND g.failed > 0",
        Some(Status::Cancelled) => "g.ended IS NOT NULL AND g.failed = 0 AND g.cancelled > 0",
        // Only steps can be SKIPPED.
        Some(Status::Skipped) => "0",
        // Distinguished below, among the few open groups.
        Some(Status::Pending | Status::Running | Status::Waiting | Status::Error) => "g.ended IS NULL",
    };
    let open = matches!(filter.status, Some(Status::Pending | Status::Running | Status::Waiting | Status::Error));
    let below = match filter.below {
        Below::Nothing => "f.group_id IS NULL".to_string(),
        Below::Of(GroupId(parent)) => format!("f.parent = {parent}"),
        Below::All => "1".to_string(),
    };
    let sql =
        format!("SELECT {COLUMNS} WHERE g.id < ?1 AND g.id > 0 AND {wanted} AND {below} ORDER BY g.id DESC LIMIT ?2");
    let before = filter.before.map_or(i64::MAX, |it| it.0);
    let limit = if open { i64::MAX } else { filter.limit as i64 };
    let mut found = tx.rows(&sql, params![before, limit], |row| read(row, &steps))?;
    let held = held_by_type(tx)?;
    found.iter_mut().for_each(|it| it.type_paused = held.get(&it.id).cloned());
    if open {
        found.retain(|it| Some(it.status) == filter.status);
        found.truncate(filter.limit);
    }
    Ok(found)
}

/// A group with the counts of its runs and steps. Scans all of its steps, so don't poll this.
pub fn show_group(tx: &ReadTx, id: GroupId) -> Result<GroupDetails> {
    let steps = Steps::read(tx)?;
    let sql = format!("SELECT {COLUMNS} WHERE g.id = ?1");
    let group = tx.row(&sql, [id.0], |row| read(row, &steps))?.ok_or_else(|| Error::not_found(id))?;
    let detail = crate::store::group::detail(tx, id)?;
    let group = GroupRow { type_paused: held_by_type(tx)?.remove(&id), ..group };
    Ok(GroupDetails {
        definition_id: detail.definition,
        definitions: definitions(tx, id)?,
        params: detail.params,
        directory: detail.directory,
        force: detail.force,
        runs_by_status: runs_by_status(tx, &group)?,
        steps: steps_by_status(tx, id)?,
        allowed_failures: allowed_failures(tx, id)?,
        failed_hooks: failed_hooks(tx, id, FAILED_HOOKS)?,
        below: below(tx, id)?,
        group,
    })
}

/// A workflow version, and how many runs of a group have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RunsOfDefinition {
    pub definition_id: DefinitionId,
    /// The id of the workflow, as in its file.
    pub definition: String,
    pub runs: i64,
}

fn definitions(tx: &ReadTx, id: GroupId) -> Result<Vec<RunsOfDefinition>> {
    let found = tx.rows(
        "SELECT r.definition_id, w.name, count(*) FROM run r JOIN definition w ON w.id = r.definition_id
          WHERE r.group_id = ?1 AND r.id NOT IN (SELECT run_id FROM collect WHERE group_id = ?1 AND run_id IS NOT NULL)
          GROUP BY r.definition_id ORDER BY r.definition_id",
        [id.0],
        |row| {
            Ok(RunsOfDefinition {
                definition_id: DefinitionId(row.get(0)?),
                definition: row.get(1)?,
                runs: row.get(2)?,
            })
        },
    )?;
    Ok(if found.len() > 1 { found } else { Vec::new() })
}

fn runs_by_status(tx: &ReadTx, group: &GroupRow) -> Result<BTreeMap<Status, i64>> {
    let running =
        tx.row("SELECT count(DISTINCT run_id) FROM lease WHERE group_id = ?1", [group.id.0], |row| row.get(0))?;
    let running = running.unwrap_or(0);
    let waiting = tx.row(
        "SELECT count(DISTINCT run_id) FROM waiting WHERE group_id = ?1
            AND run_id NOT IN (SELECT run_id FROM lease WHERE group_id = ?1)",
        [group.id.0],
        |row| row.get(0),
    )?;
    let waiting = waiting.unwrap_or(0);
    let done = group.ended_runs - group.failed - group.cancelled;
    let counts = [
        (Status::Pending, group.runs - group.ended_runs - running - waiting),
        (Status::Running, running),
        (Status::Waiting, waiting),
        (Status::Completed, done),
        (Status::Failed, group.failed),
        (Status::Cancelled, group.cancelled),
    ];
    Ok(counts.into_iter().filter(|it| it.1 > 0).collect())
}

/// Steps get their ids in the order of their runs, so a group's steps are in one range, with few others in between.
fn step_range(tx: &ReadTx, id: GroupId) -> Result<Option<(i64, i64)>> {
    let range = tx.row(
        "SELECT (SELECT first_step FROM run WHERE group_id = ?1 ORDER BY id LIMIT 1),
                (SELECT r.first_step + json_array_length(d.shape, '$.steps') FROM run r
                   JOIN definition d ON d.id = r.definition_id WHERE r.group_id = ?1 ORDER BY r.id DESC LIMIT 1)",
        [id.0],
        |row| Ok((row.get::<Option<i64>>(0)?, row.get::<Option<i64>>(1)?)),
    )?;
    Ok(range.and_then(|(first, end)| Some((first?, end?))))
}

fn steps_by_status(tx: &ReadTx, id: GroupId) -> Result<Vec<TypeCount>> {
    let Some((first, end)) = step_range(tx, id)? else { return Ok(Vec::new()) };
    let rows = tx.rows(
        "SELECT t.name, v.status, count(*) FROM step_status v JOIN step_type t ON t.id = v.type_id
          WHERE v.id >= ?1 AND v.id < ?2 AND v.group_id = ?3 GROUP BY v.type_id, v.status ORDER BY min(v.no), v.status",
        params![first, end, id.0],
        |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<i64>(2)?)),
    )?;
    let count = |(step_type, status, count): (String, String, i64)| {
        Some(TypeCount { step_type, status: status.parse().ok()?, count })
    };
    Ok(rows.into_iter().filter_map(count).collect())
}

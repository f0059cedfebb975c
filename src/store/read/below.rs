//! The groups that the steps of a group started, as a tree; and one of them as its step sees it.
//!
//! SQLite only: JSON functions.

use crate::decide::status::{self, Facts};
use crate::model::code::PHASE_LIVE;
use crate::{
    model::{GroupId, RunId, Status, StepId},
    store::{error::Result, params::params, row::Row, tx::ReadTx},
};
use const_format::formatcp;
use serde::Serialize;

/// The maximum number of groups in a tree.
const MOST: i64 = 100;
/// Open runs that are named.
const FIRST: i64 = 3;

/// A group below another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct GroupBelow {
    pub group: GroupId,
    /// The step that started it, and that step's name and group.
    pub step: StepId,
    pub step_name: String,
    pub parent: GroupId,
    /// 1 for the groups that the steps of the group itself started.
    pub depth: i64,
    pub status: Status,
    pub runs: i64,
    /// Runs that have ended, with any status.
    pub ended_runs: i64,
    pub failed: i64,
    /// Its step has started another group since, of another list.
    pub past: bool,
}

const COLUMNS: &str = formatcp!(
    "c.group_id, c.step_id, coalesce(json_extract(w.body, '$.steps[' || s.no || '].name'), ''), c.parent, g.ended, d.runs,
     d.runs - (g.unfinished - (g.phase > {PHASE_LIVE})), g.failed, g.cancelled, c.past,
     EXISTS (SELECT 1 FROM lease l WHERE l.group_id = c.group_id), EXISTS (SELECT 1 FROM waiting v WHERE v.group_id = c.group_id)"
);

const TABLES: &str = "JOIN run_group g ON g.id = c.group_id JOIN group_detail d ON d.group_id = c.group_id
   LEFT JOIN step s ON s.id = c.step_id LEFT JOIN run r ON r.id = s.run_id LEFT JOIN definition w ON w.id = r.definition_id";

fn read(row: &Row, depth: i64) -> Result<GroupBelow> {
    let (runs, ended_runs, failed): (i64, i64, i64) = (row.get(5)?, row.get(6)?, row.get(7)?);
    let (running, waiting): (bool, bool) = (row.get(10)?, row.get(11)?);
    let status = status::of(&Facts {
        ended: row.get::<Option<i64>>(4)?.is_some(),
        failed: failed > 0,
        cancelled: row.get::<i64>(8)? > 0,
        under_way: running || (ended_runs > 0 && !waiting),
        waiting,
        to_be_retried: false,
    });
    Ok(GroupBelow {
        group: GroupId(row.get(0)?),
        step: StepId(row.get(1)?),
        step_name: row.get(2)?,
        parent: GroupId(row.get(3)?),
        depth,
        status,
        runs,
        ended_runs,
        failed,
        past: row.get(9)?,
    })
}

/// The tree below a group.
pub(super) fn below(tx: &ReadTx, id: GroupId) -> Result<Vec<GroupBelow>> {
    let sql = format!(
        "WITH RECURSIVE tree(id, depth) AS (SELECT group_id, 1 FROM child_group WHERE parent = ?1
            UNION ALL SELECT c.group_id, t.depth + 1 FROM tree t JOIN child_group c ON c.parent = t.id
            ORDER BY 2 DESC, 1)
         SELECT {COLUMNS}, t.depth FROM tree t CROSS JOIN child_group c ON c.group_id = t.id {TABLES} LIMIT ?2"
    );
    tx.rows(&sql, params![id.0, MOST], |row| read(row, row.get(12)?))
}

/// A group as the step sees it that waits for it, or has ended with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Children {
    #[serde(flatten)]
    pub group: GroupBelow,
    /// The first of its open runs, with their items; at most 3.
    pub first: Vec<OpenRun>,
    /// How many of its runs are open side by side at most. Null: all of them.
    pub at_most: Option<i64>,
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OpenRun {
    pub run: RunId,
    pub item: String,
}

/// The group of a step. None: it has started none.
pub fn children(tx: &ReadTx, step: StepId) -> Result<Option<Children>> {
    let sql = format!("SELECT {COLUMNS}, c.at_most FROM child_group c {TABLES} WHERE c.step_id = ?1 AND c.past = 0");
    let found = tx.row(&sql, [step.0], |row| Ok((read(row, 1)?, row.get::<Option<i64>>(12)?)))?;
    let Some((group, at_most)) = found else { return Ok(None) };
    let first = tx.rows(
        "SELECT r.id, coalesce(i.item, '') FROM run r LEFT JOIN item i ON i.run_id = r.id
          WHERE r.group_id = ?1 AND r.ended IS NULL ORDER BY r.id LIMIT ?2",
        params![group.group.0, FIRST],
        |row| Ok(OpenRun { run: RunId(row.get(0)?), item: row.get(1)? }),
    )?;
    Ok(Some(Children { group, first, at_most }))
}

/// How many runs of a group are open side by side at most, where that keeps a run of it from starting.
pub(super) fn full(tx: &ReadTx, group: GroupId) -> Result<Option<i64>> {
    tx.row("SELECT at_most FROM child_group WHERE group_id = ?1 AND active >= at_most", [group.0], |row| row.get(0))
}

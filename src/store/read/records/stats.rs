//! How long the steps of a group took, and how they ended. Scans all of them, so don't poll this.
//!
//! SQLite only: JSON functions.

use crate::model::code::STEP_COMPLETED;
use crate::{
    model::{GroupId, Status},
    store::{error::Result, tx::ReadTx},
};

/// The completed steps of one name. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationRecord {
    pub step: String,
    pub count: i64,
    pub longest: i64,
    pub shortest: i64,
    pub total: i64,
    /// The pages of the documents that they worked on, if the parser counted any.
    pub pages: Option<i64>,
    /// From the first start to the last end.
    pub wall: i64,
}

/// Steps of one name with one status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepCount {
    pub batch: Option<String>,
    pub params: Option<String>,
    pub step: String,
    pub status: Status,
    pub count: i64,
    pub pages: Option<i64>,
}

/// The number of pages of each run, from the output of the parse step: (run, pages).
const PAGES: &str = "SELECT r.id AS run_id, max(CASE WHEN json_type(o.value, '$.pages') = 'integer'
        THEN json_extract(o.value, '$.pages') END) AS pages
   FROM run r JOIN definition w ON w.id = r.definition_id
   JOIN step s ON s.id >= r.first_step AND s.id < r.first_step + json_array_length(w.shape, '$.steps')
   JOIN output o ON o.id = s.output_id WHERE r.group_id = ?1 GROUP BY r.id";

const STEPS: &str = "run r CROSS JOIN definition w ON w.id = r.definition_id
   CROSS JOIN step s ON s.id >= r.first_step AND s.id < r.first_step + json_array_length(w.shape, '$.steps')
   LEFT JOIN pages p ON p.run_id = r.id";

/// Per step, in the order of the workflow.
pub fn durations(tx: &ReadTx, group: GroupId) -> Result<Vec<DurationRecord>> {
    let sql = format!(
        "WITH pages AS MATERIALIZED ({PAGES})
         SELECT coalesce(json_extract(w.body, '$.steps[' || s.no || '].name'), CAST(s.no AS TEXT)), count(*),
                max(s.ended - s.started), min(s.ended - s.started), sum(s.ended - s.started), sum(p.pages),
                max(s.ended) - min(s.started)
           FROM {STEPS} WHERE r.group_id = ?1 AND s.state = {STEP_COMPLETED}
           AND s.started IS NOT NULL GROUP BY s.no ORDER BY s.no"
    );
    tx.rows(&sql, [group.0], |row| {
        Ok(DurationRecord {
            step: row.get(0)?,
            count: row.get(1)?,
            longest: row.get(2)?,
            shortest: row.get(3)?,
            total: row.get(4)?,
            pages: row.get(5)?,
            wall: row.get(6)?,
        })
    })
}

/// Per step and status, in the order of the workflow.
pub fn step_counts(tx: &ReadTx, group: GroupId) -> Result<Vec<StepCount>> {
    let sql = format!(
        "WITH pages AS MATERIALIZED ({PAGES})
         SELECT b.name, l.params, coalesce(json_extract(w.body, '$.steps[' || s.no || '].name'), CAST(s.no AS TEXT)), v.status, count(*),
                sum(p.pages)
           FROM {STEPS} JOIN step_status v ON v.id = s.id LEFT JOIN batch_group l ON l.group_id = r.group_id
           LEFT JOIN document_batch b ON b.id = l.batch_id
          WHERE r.group_id = ?1 GROUP BY s.no, v.status ORDER BY s.no, v.status"
    );
    tx.rows(&sql, [group.0], |row| {
        Ok(StepCount {
            batch: row.get(0)?,
            params: row.get(1)?,
            step: row.get(2)?,
            status: row.get::<String>(3)?.parse().unwrap_or(Status::Pending),
            count: row.get(4)?,
            pages: row.get(5)?,
        })
    })
}

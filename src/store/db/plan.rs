//! Statements whose cost must not depend on the amount of stored data, with the required query plans.

use crate::store::{
    blocked, cancel, delayed, document,
    error::Result,
    lease, line, pause, rate, read, ready, records, resource, run, settle, turn,
    tx::{ReadTx, WriteTx},
    waiting, watch,
};

/// A hot statement: its exact text, and every line of its `EXPLAIN QUERY PLAN`.
#[derive(Debug, Clone, Copy)]
pub struct HotStatement {
    pub name: &'static str,
    pub sql: &'static str,
    pub plan: &'static [&'static str],
}

const fn hot(name: &'static str, sql: &'static str, plan: &'static [&'static str]) -> HotStatement {
    HotStatement { name, sql, plan }
}

/// All hot statements. The plans hold for an empty database, a large one, and one with statistics.
pub fn hot_statements() -> &'static [HotStatement] {
    HOT
}

const HOT: &[HotStatement] = &[
    hot("whose turn it is", turn::NEXT, &["SEARCH turn USING COVERING INDEX turn_order (queue=?)"]),
    hot(
        "the lowest tag of a queue",
        turn::LOWEST,
        &["SEARCH turn USING COVERING INDEX turn_order (queue=? AND priority=?)"],
    ),
    hot(
        "whether a group has a turn",
        turn::PRESENT,
        &["SEARCH turn USING PRIMARY KEY (queue=? AND priority=? AND group_id=?)"],
    ),
    hot("a turn is over", turn::CHARGE, &["SEARCH turn USING PRIMARY KEY (queue=? AND priority=? AND group_id=?)"]),
    hot(
        "claimable steps of a group",
        ready::OF_GROUP,
        &["SEARCH ready USING PRIMARY KEY (queue=? AND priority=? AND group_id=? AND step_id>?)"],
    ),
    hot(
        "claimable steps of a group in its scope",
        ready::OF_SCOPE,
        &["SEARCH ready USING PRIMARY KEY (queue=? AND priority=? AND group_id=?)"],
    ),
    hot(
        "claimable steps of groups below a scope",
        ready::BELOW_SCOPE,
        &["SEARCH ready USING INDEX ready_below (scope=? AND queue=?)"],
    ),
    hot(
        "take out of ready",
        ready::DELETE,
        &["SEARCH ready USING PRIMARY KEY (queue=? AND priority=? AND group_id=? AND step_id=?)"],
    ),
    hot("whether a file is known", watch::KNOWN, &["SEARCH watched_file USING PRIMARY KEY (watch_id=? AND path=?)"]),
    hot(
        "a page of known files",
        watch::KNOWN_AFTER,
        &["SEARCH watched_file USING PRIMARY KEY (watch_id=? AND path>?)"],
    ),
    hot("find a lease", lease::TAKE, &["SEARCH lease USING INTEGER PRIMARY KEY (rowid=?)"]),
    hot("end a lease", lease::DELETE, &["SEARCH lease USING INTEGER PRIMARY KEY (rowid=?)"]),
    hot("complete a step", settle::COMPLETE, &["SEARCH step USING INTEGER PRIMARY KEY (rowid=?)"]),
    hot("a successor becomes claimable", ready::ENTER, &["SEARCH step USING INTEGER PRIMARY KEY (rowid=?)"]),
    hot(
        "attempts of a group with a row",
        records::RECORDED,
        &[
            "SEARCH r USING INDEX run_of_group (group_id=?)",
            "SEARCH d USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH a USING PRIMARY KEY (step_id>? AND step_id<?)",
        ],
    ),
    hot(
        "attempts of a group without a row",
        records::UNRECORDED,
        &[
            "SEARCH r USING INDEX run_of_group (group_id=?)",
            "SEARCH d USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH s USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH a USING PRIMARY KEY (step_id=? AND token=?)",
        ],
    ),
    hot("open lines of a queue", line::OPEN_AFTER, &["SEARCH line USING COVERING INDEX line_open (queue=? AND id>?)"]),
    hot(
        "open lines, from the start",
        line::OPEN_UP_TO,
        &["SEARCH line USING COVERING INDEX line_open (queue=? AND id<?)"],
    ),
    hot("a line", line::GET, &["SEARCH line USING INTEGER PRIMARY KEY (rowid=?)"]),
    hot(
        "the line of a step",
        line::FIND,
        &["SEARCH line USING COVERING INDEX sqlite_autoindex_line_1 (demand_id=? AND type_id=?)"],
    ),
    hot("whether a line is empty", line::ANY_STEP, &["SEARCH ready USING PRIMARY KEY (queue=?)"]),
    hot("who waits first for a resource", line::FIRST, &["SEARCH line_wait USING PRIMARY KEY (resource_id=?)"]),
    hot(
        "who waits for a resource",
        line::WAITING,
        &["SEARCH w USING PRIMARY KEY (resource_id=?)", "SEARCH l USING INTEGER PRIMARY KEY (rowid=?)"],
    ),
    hot("units of a resource", resource::STATE, &["SEARCH resource USING INTEGER PRIMARY KEY (rowid=?)"]),
    hot("take units", resource::TAKE, &["SEARCH resource USING INTEGER PRIMARY KEY (rowid=?)"]),
    hot("what a step holds", resource::HELD_BY, &["SEARCH holding USING PRIMARY KEY (step_id=?)"]),
    hot("give units back", resource::GIVE_BACK, &["SEARCH resource USING INTEGER PRIMARY KEY (rowid=?)"]),
    hot(
        "resources to look at",
        resource::DUE_NOW,
        &["SEARCH resource USING COVERING INDEX resource_due (due>? AND due<?)"],
    ),
    hot("a start under a rate", rate::START, &["SEARCH rate_start USING PRIMARY KEY (resource_id=? AND no=?)"]),
    hot("starts to forget", rate::FORGET, &["SEARCH rate_start USING PRIMARY KEY (resource_id=? AND no<?)"]),
    hot("end a chain", run::END_CHAIN, &["SEARCH run USING INTEGER PRIMARY KEY (rowid=?)"]),
    hot("due steps", delayed::DUE, &["SEARCH step USING COVERING INDEX step_delayed (due<?)"]),
    hot("waits that are over", waiting::DUE, &["SEARCH waiting USING COVERING INDEX waiting_due (due<?)"]),
    hot(
        "the step that waits for a group",
        waiting::OF_CHILDREN,
        &["SEARCH waiting USING INDEX waiting_children (children=?)"],
    ),
    hot(
        "steps that wait for a signal",
        waiting::WITH_SIGNAL,
        &[
            "SEARCH w USING INDEX waiting_signal (group_id=?)",
            "SEARCH n EXISTS USING PRIMARY KEY (group_id=? AND run_id=? AND name=?)",
        ],
    ),
    hot(
        "claimable step of a key",
        ready::HEAD,
        &["SEARCH ready USING INDEX ready_head (key_id=? AND type_id=? AND scope=?)"],
    ),
    hot(
        "blocked by a key, next scope",
        blocked::NEXT_SCOPE,
        &["SEARCH step USING COVERING INDEX step_blocked (key_id=? AND type_id=? AND scope>?)"],
    ),
    hot(
        "blocked by a key, next type",
        blocked::NEXT_TYPE,
        &["SEARCH step USING COVERING INDEX step_blocked (key_id=? AND type_id>?)"],
    ),
    hot(
        "next blocked step",
        blocked::NEXT_STEP,
        &["SEARCH step USING COVERING INDEX step_blocked (key_id=? AND type_id=? AND scope=?)"],
    ),
    hot(
        "queues to move, same group",
        ready::RANGES[0],
        &["SEARCH ready USING PRIMARY KEY (queue=? AND priority=? AND group_id=? AND step_id>?)"],
    ),
    hot(
        "queues to move, later",
        ready::RANGES[1],
        &["SEARCH ready USING PRIMARY KEY (queue=? AND priority=? AND group_id>?)"],
    ),
    hot(
        "queues to move, lower priority",
        ready::RANGES[2],
        &["SEARCH ready USING PRIMARY KEY (queue=? AND priority<?)"],
    ),
    hot("paused steps of a group", pause::PAUSED, &["SEARCH step USING COVERING INDEX step_paused (group_id=?)"]),
    hot(
        "next group with paused steps",
        pause::NEXT_PAUSED_GROUP,
        &["SEARCH step USING COVERING INDEX step_paused (group_id>?)"],
    ),
    hot("runs to cancel", cancel::RUNS, &["SEARCH run USING INDEX run_of_group (group_id=? AND id>?)"]),
    hot(
        "documents to settle",
        document::UNSETTLED,
        &[
            "SEARCH d USING INDEX document_waiting (database=? AND id>?)",
            "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    hot(
        "runs with failed steps",
        read::WITH_FAILED,
        &["SEARCH step USING COVERING INDEX step_lost (group_id=? AND state=? AND run_id>?)"],
    ),
    hot(
        "runs with cancelled steps",
        read::WITH_CANCELLED,
        &["SEARCH step USING COVERING INDEX step_lost (group_id=? AND state=? AND run_id>?)"],
    ),
    hot(
        "runs with skipped steps",
        read::WITH_SKIPPED,
        &["SEARCH step USING COVERING INDEX step_skipped (group_id=? AND run_id>?)"],
    ),
    hot(
        "runs with waiting steps",
        read::WITH_WAITING,
        &["SEARCH waiting USING COVERING INDEX waiting_group (group_id=? AND run_id>?)"],
    ),
    hot(
        "runs with steps to be tried again",
        read::WITH_ERROR,
        &["SEARCH step USING INDEX step_error (group_id=? AND run_id>?)"],
    ),
    hot(
        "blocked steps by type",
        read::BLOCKED,
        &["SCAN step USING COVERING INDEX step_blocked", "USE TEMP B-TREE FOR GROUP BY"],
    ),
    hot("delayed steps", read::DELAYED, &["SCAN step USING COVERING INDEX step_delayed"]),
    hot(
        "failed hooks of a group",
        read::FAILED_HOOKS_OF_GROUP,
        &[
            "SEARCH r USING INDEX run_lost (group_id=?)",
            "SEARCH h USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH s USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    hot("paused steps", read::ALL_PAUSED, &["SCAN step USING COVERING INDEX step_paused"]),
];

/// The query plan of a statement: the lines of `EXPLAIN QUERY PLAN`.
pub fn explain(tx: &ReadTx, sql: &str) -> Result<Vec<String>> {
    // Without values, because a plan does not depend on them.
    let mut statement = tx.conn().prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(row.get(3)?);
    }
    Ok(found)
}

/// Collects statistics for the planner.
pub fn analyze(tx: &WriteTx) -> Result<()> {
    tx.execute("ANALYZE", []).map(|_| ())
}

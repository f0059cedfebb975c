//! Checks the invariants of any database. `windlass doctor` and every test use it.

use crate::decide::flow::{self, End};
use crate::model::code::{
    FIRING_COLLECTING, HOLDER_STEP, OUTCOME_INTERRUPTED, PHASE_BUILDING, PHASE_LIVE, PHASE_PRUNING, PHASE_REOPENING,
    RESOURCE_COUNTED, RESOURCE_RATE, STEP_BLOCKED, STEP_COMPLETED, STEP_OPEN, STEP_WAITING,
};
use crate::model::{After, DefinitionId, Shape, ShapeStep, StepState};
use crate::store::{error::Result, params::params, tx::ReadTx};
use const_format::formatcp;
use std::collections::{HashMap, hash_map::Entry};

/// The most findings of one kind that are reported.
const FINDINGS: usize = 20;
const PAGE: i64 = 1000;

/// All problems, in words; empty if there are none. Reads every live row, which takes seconds for a million steps.
pub fn check(tx: &ReadTx) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (what, sql) in RULES {
        let rows = tx.rows(sql, [], |row| row.get::<String>(0))?;
        found.extend(rows.iter().take(FINDINGS).map(|subject| format!("{subject}: {what}")));
    }
    runs(tx, &mut found)?;
    Ok(found)
}

/// Problems that SQLite itself finds: damaged pages, indexes that disagree with their tables, dangling references.
pub fn integrity(tx: &ReadTx) -> Result<Vec<String>> {
    let mut found = tx.rows("PRAGMA integrity_check", [], |row| row.get::<String>(0))?;
    found.retain(|it| it != "ok");
    found.extend(tx.rows("PRAGMA foreign_key_check", [], |row| {
        Ok(format!("a row of `{}` refers to a missing row of `{}`", row.get::<String>(0)?, row.get::<String>(2)?))
    })?);
    Ok(found)
}

/// The number of rows in each table, by name.
pub fn row_counts(tx: &ReadTx) -> Result<Vec<(String, i64)>> {
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let count = |name: String| {
        let count = tx.row(&format!("SELECT count(*) FROM \"{name}\""), [], |row| row.get(0))?;
        Ok((name, count.unwrap_or(0)))
    };
    tx.rows(tables, [], |row| row.get::<String>(0))?.into_iter().map(count).collect()
}

/// Rules that a single query can check. Each row it returns is a finding.
const RULES: &[(&str, &str)] = &[
    (
        "is in `ready` with other values than its step has",
        formatcp!("SELECT 's' || q.step_id FROM ready q LEFT JOIN step s ON s.id = q.step_id
           LEFT JOIN step_type t ON t.id = q.type_id
          WHERE s.id IS NULL OR s.state <> {STEP_OPEN} OR q.priority <> s.priority OR q.due <> s.due
          OR q.type_id <> s.type_id
             OR q.run_id <> s.run_id OR q.group_id <> s.group_id OR q.scope <> s.scope OR q.key_id IS NOT s.key_id
             OR q.attempts <> s.attempts OR (s.demand_id IS NULL AND q.queue NOT IN (0, t.queue))
             OR (s.demand_id IS NOT NULL AND q.queue IS NOT (SELECT -l.id FROM line l
                    WHERE l.demand_id = s.demand_id AND l.type_id = s.type_id))"),
    ),
    (
        "is live, but its group has ended or is gone",
        formatcp!("SELECT 's' || s.id FROM step s LEFT JOIN run_group g ON g.id = s.group_id
          WHERE s.state < {STEP_COMPLETED} AND (g.id IS NULL OR g.ended IS NOT NULL)"),
    ),
    (
        "is not a step of its run",
        formatcp!("SELECT 's' || s.id FROM step s LEFT JOIN run r ON r.id = s.run_id
          WHERE s.state < {STEP_COMPLETED} AND (r.id IS NULL OR r.group_id <> s.group_id OR s.id <> r.first_step + s.no)"),
    ),
    (
        "is in `ready`, but its group has no turn",
        "SELECT 's' || q.step_id FROM ready q WHERE NOT EXISTS (SELECT 1 FROM turn t
          WHERE t.queue = q.queue AND t.priority = q.priority AND t.group_id = q.group_id)",
    ),
    (
        "is in `ready` twice",
        "SELECT 's' || step_id FROM ready GROUP BY step_id HAVING count(*) > 1",
    ),
    (
        "has a lease with other values than its step has",
        formatcp!("SELECT 's' || l.step_id FROM lease l LEFT JOIN step s ON s.id = l.step_id
          WHERE s.id IS NULL OR s.state <> {STEP_OPEN} OR l.type_id <> s.type_id OR l.run_id <> s.run_id
             OR l.group_id <> s.group_id OR l.key_id IS NOT s.key_id OR l.attempts <> s.attempts"),
    ),
    (
        "is leased by a worker that is not registered, so it will never be reaped",
        "SELECT 's' || l.step_id FROM lease l WHERE NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = l.worker)",
    ),
    (
        "is blocked without a key, or behind a free key without a head",
        formatcp!("SELECT 's' || s.id FROM step s WHERE s.state = {STEP_BLOCKED}
            AND (s.key_id IS NULL
                 OR (NOT EXISTS (SELECT 1 FROM resource_lock k WHERE k.key_id = s.key_id)
                     AND NOT EXISTS (SELECT 1 FROM ready q WHERE q.key_id = s.key_id AND q.key_id IS NOT NULL
                                        AND q.type_id = s.type_id AND q.scope = s.scope)))"),
    ),
    (
        "is blocked behind a head that it outranks",
        formatcp!("SELECT 's' || s.id FROM step s JOIN ready q ON q.key_id = s.key_id AND q.key_id IS NOT NULL
            AND q.type_id = s.type_id AND q.scope = s.scope
          WHERE s.state = {STEP_BLOCKED} AND (-s.priority, s.due, s.id) < (-q.priority, q.due, q.step_id)"),
    ),
    (
        "holds a key without a lease, and no reaped attempt explains it",
        formatcp!("SELECT 's' || k.holder FROM resource_lock k WHERE k.holder_kind = {HOLDER_STEP}
            AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.step_id = k.holder AND l.token = k.token AND l.key_id = k.key_id)
            AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.step_id = k.holder AND a.token = k.token
            AND a.outcome = {OUTCOME_INTERRUPTED})"),
    ),
    (
        "has other units in use than its holders hold",
        formatcp!("SELECT 'resource ' || r.name FROM resource r WHERE r.kind = {RESOURCE_COUNTED}
            AND r.held <> (SELECT coalesce(sum(h.units), 0) FROM holding h WHERE h.resource_id = r.id)"),
    ),
    (
        "has more units in use than there are",
        formatcp!("SELECT 'resource ' || name FROM resource WHERE kind = {RESOURCE_COUNTED} AND held > capacity + excess"),
    ),
    (
        "holds units of a resource, but is not running",
        "SELECT 's' || h.step_id FROM holding h WHERE NOT EXISTS (SELECT 1 FROM lease l WHERE l.step_id = h.step_id)",
    ),
    (
        "holds other units than it takes",
        "SELECT 's' || h.step_id FROM holding h JOIN step s ON s.id = h.step_id
           LEFT JOIN demand_part p ON p.demand_id = s.demand_id AND p.resource_id = h.resource_id
          WHERE p.demand_id IS NULL OR p.per IS NOT NULL OR (p.units IS NOT NULL AND p.units <> h.units)",
    ),
    (
        "holds a part of what it takes",
        "SELECT 's' || s.id FROM step s JOIN (SELECT step_id, count(*) AS n FROM holding GROUP BY step_id) h ON h.step_id = s.id
          WHERE h.n < (SELECT count(*) FROM demand_part p
            WHERE p.demand_id = s.demand_id AND p.per IS NULL AND p.units > 0)",
    ),
    (
        "has a demand that is gone",
        "SELECT 's' || s.id FROM step s WHERE s.demand_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM demand d WHERE d.id = s.demand_id)",
    ),
    (
        "is claimed from another queue than its type",
        "SELECT 'line ' || l.id FROM line l JOIN step_type t ON t.id = l.type_id WHERE l.queue <> t.queue",
    ),
    (
        "waits, but not among those that wait for a resource, or the other way round",
        "SELECT 'line ' || l.id FROM line l WHERE (l.since IS NOT NULL)
            <> EXISTS (SELECT 1 FROM line_wait w JOIN demand_part p ON p.resource_id = w.resource_id AND p.demand_id = l.demand_id
                        WHERE w.line_id = l.id AND w.since = l.since)",
    ),
    (
        "is closed although nothing that it lacks is in use, and no other is before it",
        formatcp!("SELECT 'line ' || l.id FROM line l JOIN resource r ON r.id = l.lacks
          WHERE l.open = 0 AND r.due IS NULL AND (r.kind = {RESOURCE_RATE} OR (r.held = 0
            AND l.id = (SELECT w.line_id FROM line_wait w WHERE w.resource_id = r.id ORDER BY w.since, w.line_id LIMIT 1)))"),
    ),
    (
        "was asked to stop, but is not running under that lease",
        "SELECT 's' || c.step_id FROM cancel_request c
          WHERE NOT EXISTS (SELECT 1 FROM lease l WHERE l.step_id = c.step_id AND l.token = c.token)",
    ),
    (
        "has counts that its runs deny",
        formatcp!("SELECT 'g' || g.id FROM run_group g LEFT JOIN group_detail d ON d.group_id = g.id
           LEFT JOIN (SELECT group_id, count(*) AS runs, sum(ended IS NULL) AS open, sum(ended IS NOT NULL AND failed > 0) AS failed,
                        sum(ended IS NOT NULL AND failed = 0 AND cancelled > 0) AS cancelled FROM run GROUP BY group_id) r
             ON r.group_id = g.id
          WHERE g.phase < {PHASE_PRUNING} AND (d.group_id IS NULL
          OR g.unfinished <> coalesce(r.open, 0) + (g.phase > {PHASE_LIVE})
             OR g.failed <> coalesce(r.failed, 0) OR g.cancelled <> coalesce(r.cancelled, 0)
             OR d.runs <> coalesce(r.runs, 0))"),
    ),
    (
        "has ended with open runs, or has none and is open",
        formatcp!("SELECT 'g' || id FROM run_group WHERE (ended IS NOT NULL) <> (unfinished = 0
                  AND phase IN ({PHASE_LIVE}, {PHASE_PRUNING}))"),
    ),
    (
        "is a hook without a step of its own, or in another group than that of its hooks",
        formatcp!("SELECT 'hook ' || h.id FROM hook h LEFT JOIN step s ON s.id = h.id LEFT JOIN run_group g ON g.id = -h.group_id
          WHERE coalesce(g.phase, {PHASE_LIVE}) < {PHASE_PRUNING} AND (s.id IS NULL OR s.group_id <> CASE h.group_id WHEN 0 THEN -9223372036854775807 ELSE -h.group_id END)"),
    ),
    (
        "is a step of a group of hooks, but no hook",
        "SELECT 's' || s.id FROM step s WHERE s.group_id < 0 AND NOT EXISTS (SELECT 1 FROM hook h WHERE h.id = s.id)",
    ),
    (
        "watches a directory for a schedule that is gone, or that has times",
        "SELECT 'watch ' || w.id FROM watch w LEFT JOIN schedule s ON s.id = w.schedule_id
          WHERE s.id IS NULL OR json_extract(s.spec, '$.files') IS NULL",
    ),
    (
        "is to start when files come, but watches no directory",
        "SELECT 'schedule ' || s.name FROM schedule s WHERE json_extract(s.spec, '$.files') IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM watch w WHERE w.schedule_id = s.id)",
    ),
    (
        "has two bursts of files that have not started",
        formatcp!("SELECT 'schedule ' || schedule_id FROM firing WHERE state = {FIRING_COLLECTING} AND group_id IS NULL
          GROUP BY schedule_id HAVING count(*) > 1"),
    ),
    (
        "is behind the issued numbers",
        "SELECT 'counter ' || id FROM counter c WHERE c.value < CASE c.id
            WHEN 1 THEN max(coalesce((SELECT max(token) FROM lease), 0), coalesce((SELECT max(token) FROM step), 0),
                            coalesce((SELECT max(token) FROM resource_lock), 0),
                            coalesce((SELECT max(token) FROM waiting), 0),
                            coalesce((SELECT max(token) FROM attempt), 0))
            WHEN 2 THEN coalesce((SELECT max(id) FROM run_group), 0)
            WHEN 3 THEN coalesce((SELECT max(id) FROM run), 0)
            WHEN 4 THEN coalesce((SELECT max(id) FROM step), 0)
            WHEN 5 THEN coalesce((SELECT max(id) FROM output), 0) END",
    ),
    (
        "counts other users than the rows that refer to it",
        "SELECT 'output ' || o.id FROM output o LEFT JOIN
           (SELECT output_id, count(*) AS n FROM (SELECT output_id FROM step WHERE output_id IS NOT NULL
              UNION ALL SELECT output_id FROM step_cache UNION ALL SELECT output_id FROM kept_output) GROUP BY output_id) u
             ON u.output_id = o.id WHERE o.users <> coalesce(u.n, 0)",
    ),
    (
        "refers to an output that is gone",
        "SELECT 's' || s.id FROM step s WHERE s.output_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM output o WHERE o.id = s.output_id)",
    ),
    (
        "belongs to no output and no document",
        "SELECT 'artifact ' || hex(a.hash) FROM artifact a
          WHERE NOT EXISTS (SELECT 1 FROM output_file f WHERE f.artifact_id = a.id)
            AND NOT EXISTS (SELECT 1 FROM content c WHERE c.artifact_id = a.id)",
    ),
    (
        "is a document of a run that is newer than its version",
        "SELECT 'document ' || id FROM document WHERE run_id > version",
    ),
    (
        "has begun, and its documents are not known",
        formatcp!("SELECT 'r' || r.id FROM run_document k JOIN run r ON r.id = k.run_id JOIN group_detail d ON d.group_id = r.group_id
           JOIN run_group g ON g.id = r.group_id WHERE g.phase = {PHASE_LIVE} AND d.opened >= r.id"),
    ),
    (
        "has a place in a concurrency group, but has ended or is gone",
        "SELECT 'g' || c.group_id FROM concurrency c LEFT JOIN run_group g ON g.id = c.group_id
          WHERE g.id IS NULL OR g.ended IS NOT NULL",
    ),
    (
        "must not overlap with others, but has no place in its concurrency group",
        "SELECT 'g' || g.id FROM run_group g JOIN group_detail d ON d.group_id = g.id
          WHERE g.ended IS NULL AND d.concurrency <> ''
            AND NOT EXISTS (SELECT 1 FROM concurrency c WHERE c.group_id = g.id AND c.name = d.concurrency)",
    ),
    (
        "is claimable or runs, although its group waits for another of its concurrency group",
        "SELECT 's' || a.step_id FROM concurrency c JOIN concurrency b ON b.name = c.name AND b.no < c.no
           JOIN (SELECT step_id, group_id FROM ready UNION ALL SELECT step_id, group_id FROM lease) a ON a.group_id = c.group_id",
    ),
    (
        "waits, but for nothing, or for something without waiting",
        formatcp!("SELECT 's' || s.id FROM step s WHERE s.state = {STEP_WAITING} AND NOT EXISTS (SELECT 1 FROM waiting w
            WHERE w.step_id = s.id AND w.run_id = s.run_id AND w.group_id = s.group_id)
          UNION ALL SELECT 's' || w.step_id FROM waiting w LEFT JOIN step s ON s.id = w.step_id
            WHERE s.id IS NULL OR s.state <> {STEP_WAITING}"),
    ),
    (
        "was sent a signal, but is gone, or is a run of another group",
        "SELECT 'g' || n.group_id FROM signal n LEFT JOIN run r ON r.id = n.run_id
          WHERE NOT EXISTS (SELECT 1 FROM run_group g WHERE g.id = n.group_id)
             OR (n.run_id > 0 AND r.group_id IS NOT n.group_id)",
    ),
    (
        "was started by a step that is gone, or by one of another group",
        "SELECT 'g' || c.group_id FROM child_group c LEFT JOIN step s ON s.id = c.step_id JOIN run_group p ON p.id = c.group_id
          WHERE s.group_id IS NOT c.parent AND p.ended IS NULL",
    ),
    (
        "is open, but the step that started it has ended",
        formatcp!("SELECT 'g' || g.id FROM child_group c JOIN run_group g ON g.id = c.group_id LEFT JOIN step s ON s.id = c.step_id
          WHERE g.ended IS NULL AND g.cancelling = 0 AND g.phase <> {PHASE_BUILDING} AND (s.ended IS NOT NULL OR c.past = 1)"),
    ),
    (
        "waits for a group that has ended, or that it did not start",
        "SELECT 's' || w.step_id FROM waiting w LEFT JOIN child_group c ON c.group_id = w.children AND c.step_id = w.step_id
           LEFT JOIN run_group g ON g.id = w.children
          WHERE w.children IS NOT NULL AND (c.group_id IS NULL OR c.past = 1 OR g.ended IS NOT NULL)",
    ),
    (
        "counts other runs as open side by side than there are",
        formatcp!("SELECT 'g' || c.group_id FROM child_group c JOIN run_group g ON g.id = c.group_id
           JOIN group_detail d ON d.group_id = c.group_id
          WHERE c.at_most IS NOT NULL AND g.ended IS NULL AND g.phase = {PHASE_LIVE}
            AND c.active <> (SELECT count(*) FROM run r WHERE r.group_id = c.group_id AND r.id <= d.opened AND r.ended IS NULL)"),
    ),
    (
        "settled twice under one token",
        "SELECT 's' || s.id FROM step s JOIN lease l ON l.step_id = s.id AND l.token = s.token",
    ),
];

struct RunRow {
    id: i64,
    group: i64,
    definition: DefinitionId,
    first: i64,
    unfinished: i64,
    failed: i64,
    cancelled: i64,
    ended: bool,
    /// Whether its group has placed its first steps.
    opened: bool,
}

struct StepFacts {
    id: i64,
    run: i64,
    group: i64,
    no: i64,
    step_type: String,
    state: StepState,
    recomputed: bool,
    unmet: i64,
    ready: bool,
    leased: bool,
}

/// Rules that need the graph of the definition: every run with its steps, page by page.
fn runs(tx: &ReadTx, found: &mut Vec<String>) -> Result<()> {
    let mut shapes: HashMap<DefinitionId, Shape> = HashMap::new();
    let mut after = 0;
    loop {
        let rows = tx.rows(
            formatcp!(
                "SELECT r.id, r.group_id, r.definition_id, r.first_step, r.unfinished, r.failed, r.cancelled,
                    r.ended IS NOT NULL, g.phase <> {PHASE_BUILDING} AND
                    CASE g.phase WHEN {PHASE_REOPENING} THEN d.concurrency = ''
                        AND NOT EXISTS (SELECT 1 FROM child_group c WHERE c.group_id = g.id AND c.at_most IS NOT NULL) ELSE d.opened >= r.id END
               FROM run r JOIN run_group g ON g.id = r.group_id JOIN group_detail d ON d.group_id = g.id
              WHERE r.id > ?1 AND g.phase < {PHASE_PRUNING} ORDER BY r.id LIMIT ?2"
            ),
            params![after, PAGE],
            |row| {
                Ok(RunRow {
                    id: row.get(0)?,
                    group: row.get(1)?,
                    definition: DefinitionId(row.get(2)?),
                    first: row.get(3)?,
                    unfinished: row.get(4)?,
                    failed: row.get(5)?,
                    cancelled: row.get(6)?,
                    ended: row.get(7)?,
                    opened: row.get(8)?,
                })
            },
        )?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id;
        for run in &rows {
            let shape = match shapes.entry(run.definition) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(shape_of(tx, run.definition)?),
            };
            let steps = steps_of(tx, run, shape)?;
            for problem in problems_of_run(run, shape, &steps) {
                found.push(format!("r{}: {problem}", run.id));
            }
            // Otherwise the missing steps are the finding, and step numbers do not match the graph.
            if steps.len() == shape.steps.len() {
                let ends = flow::ends(shape, &facts(&steps));
                let problem = |step: &StepFacts| {
                    problem_of_step(run, shape, &steps, &ends, step).map(|problem| format!("s{}: {problem}", step.id))
                };
                found.extend(steps.iter().filter_map(problem));
            }
            if found.len() > FINDINGS * RULES.len() {
                return Ok(());
            }
        }
    }
}

fn shape_of(tx: &ReadTx, definition: DefinitionId) -> Result<Shape> {
    let text = tx.row("SELECT shape FROM definition WHERE id = ?1", [definition.0], |row| row.get::<String>(0))?;
    Ok(text.and_then(|it| serde_json::from_str(&it).ok()).unwrap_or(Shape { steps: vec![], hooks: vec![] }))
}

fn steps_of(tx: &ReadTx, run: &RunRow, shape: &Shape) -> Result<Vec<StepFacts>> {
    tx.rows(
        "SELECT s.id, s.run_id, s.group_id, s.no, t.name, s.state, s.unmet, s.recomputed > 0,
                EXISTS (SELECT 1 FROM ready q WHERE q.queue IN (0, t.queue, -coalesce((SELECT l.id FROM line l
                               WHERE l.demand_id = s.demand_id AND l.type_id = s.type_id), 0)) AND q.priority = s.priority
                           AND q.group_id = s.group_id AND q.step_id = s.id),
                EXISTS (SELECT 1 FROM lease l WHERE l.step_id = s.id)
           FROM step s JOIN step_type t ON t.id = s.type_id WHERE s.id >= ?1 AND s.id < ?2 ORDER BY s.id",
        params![run.first, run.first + shape.steps.len() as i64],
        |row| {
            Ok(StepFacts {
                id: row.get(0)?,
                run: row.get(1)?,
                group: row.get(2)?,
                no: row.get(3)?,
                step_type: row.get(4)?,
                state: StepState::from_code(row.get(5)?).unwrap_or(StepState::Open),
                unmet: row.get(6)?,
                recomputed: row.get(7)?,
                ready: row.get(8)?,
                leased: row.get(9)?,
            })
        },
    )
}

fn problems_of_run(run: &RunRow, shape: &Shape, steps: &[StepFacts]) -> Vec<String> {
    let count = |state: StepState| steps.iter().filter(|it| it.state == state).count() as i64;
    let cancelled = count(StepState::Cancelled);
    let counts = |(it, step): &(&StepFacts, &ShapeStep)| it.state == StepState::Failed && !step.allow_failure;
    let failed = steps.iter().zip(&shape.steps).filter(counts).count() as i64;
    let open = steps.iter().filter(|it| !it.state.is_terminal()).count() as i64;
    let mut found = Vec::new();
    if steps.len() != shape.steps.len() || steps.is_empty() {
        found.push(format!("has {} steps, its workflow has {}", steps.len(), shape.steps.len()));
    }
    if run.ended != (open == 0) {
        found.push(format!("has {open} open steps and is {}", if run.ended { "ended" } else { "open" }));
    }
    let chain = shape.is_chain();
    let wanted = if chain && !run.ended { steps.len() as i64 } else { open };
    if run.unfinished != wanted {
        found.push(format!("counts {} unfinished steps, has {wanted}", run.unfinished));
    }
    let counted = run.ended || !chain;
    if counted && (run.failed > 0) != (failed > 0) {
        found.push(format!("counts {} failed steps, has {failed}", run.failed));
    }
    if run.ended && failed == 0 && (run.cancelled > 0) != (cancelled > 0) {
        found.push(format!("counts {} cancelled steps, has {cancelled}", run.cancelled));
    }
    found
}

fn facts(steps: &[StepFacts]) -> Vec<flow::Facts> {
    let facts = |it: &StepFacts| flow::Facts {
        state: it.state,
        running: it.leased,
        runs_again: it.recomputed && !it.state.is_terminal(),
    };
    steps.iter().map(facts).collect()
}

fn problem_of_step(
    run: &RunRow,
    shape: &Shape,
    steps: &[StepFacts],
    ends: &[Option<End>],
    step: &StepFacts,
) -> Option<String> {
    let no = (step.id - run.first) as usize;
    let kind = &shape.steps[no];
    if step.run != run.id || step.group != run.group || step.no != no as i64 || step.step_type != kind.step_type {
        return Some("does not belong where its id puts it".into());
    }
    // The successors of a step that runs again were released when it first completed.
    let runs_again = |it: &&StepFacts| it.recomputed && !it.state.is_terminal();
    let end = |no: usize| ends.get(no).copied().flatten();
    let met = |no: usize| end(no).is_some() || (steps.get(no).is_some_and(|it| it.recomputed) && step.leased);
    let unmet = kind.needs.iter().filter(|&&need| !met(need)).count();
    if step.state == StepState::Recompute && !steps.iter().any(|it| it.no < step.no && runs_again(&it)) {
        return Some("waits for a step that runs again, but none does".into());
    }
    let places = usize::from(step.ready) + usize::from(step.leased);
    if step.state != StepState::Open {
        let early = !step.state.is_terminal() && (unmet > 0 || !run.opened);
        return match (places, early) {
            (0, false) => None,
            (0, true) => Some(format!("is {:?} before its needs are met", step.state)),
            _ => Some(format!("is {:?} and in `ready` or leased", step.state)),
        };
    }
    // A running step may have begun before a step that it needs ran again and was lost.
    let lost = |no: usize| {
        let lost = matches!(end(no), Some(End::Failed { allowed: false } | End::Cancelled { .. }));
        lost && !(steps[no].recomputed && step.leased)
    };
    let dead = |no: usize| kind.after == After::Success && lost(no);
    if let Some(dead) = kind.needs.iter().find(|&&need| dead(need)) {
        return Some(format!("is open although it needs step {dead}, which will not complete"));
    }
    if kind.needs.len() > 1 && step.unmet != unmet as i64 {
        return Some(format!("counts {} unmet needs, has {unmet}", step.unmet));
    }
    match (places, unmet, run.opened) {
        (1, 0, true) => None,
        (0, 0, true) => Some("is stranded: open, but neither in `ready` nor leased".into()),
        (0, _, _) => None,
        (1, 0, false) => Some("is claimable before its group is opened".into()),
        (1, _, _) => Some(format!("is claimable or runs with {unmet} unmet needs")),
        _ => Some("is in `ready` and leased".into()),
    }
}

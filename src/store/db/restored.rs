//! Limits what a restored copy may refer to, because a backup may come from another person. Paths in the old home
//! become paths in the new home, all other vector databases are forgotten, and work that would write to one of them
//! waits for the user.
//!
//! SQLite only: JSON functions.

use crate::decide::inside::is_inside;
use crate::model::GroupId;
use crate::model::code::STEP_COMPLETED;
use crate::store::{
    cancel,
    error::Result,
    hook,
    params::params,
    pause, schedule,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The number of groups read by one statement.
const PAGE: usize = 1_000;

/// References of a copy to things outside its home.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Vector databases, by their path.
    pub databases: BTreeSet<String>,
    /// Groups that would write to one of them and are now paused.
    pub paused: BTreeSet<GroupId>,
}

/// Hooks of one event of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DueHooks {
    pub group: GroupId,
    pub event: String,
    pub name: String,
    pub hooks: i64,
}

/// Moves every vector database path to the new home. Paths in neither home are forgotten; groups that have not ended
/// and would write there are paused.
pub(in crate::store) fn settle_paths(tx: &WriteTx, old_home: &str, new_home: &str) -> Result<Elsewhere> {
    if old_home != new_home {
        move_paths(tx, &format!("{old_home}/"), &format!("{new_home}/"))?;
    }
    note_time(tx)?;
    tx.execute("DELETE FROM synced_folder", [])?;
    // Another disk has different inodes, so the files are recognised by size and time.
    tx.execute("UPDATE watched_file SET inode = 0 WHERE inode <> 0", [])?;
    let mut elsewhere = Elsewhere::default();
    forget_documents(tx, new_home, &mut elsewhere)?;
    hold_parameters(tx, new_home, &mut elsewhere)?;
    hold_keys(tx, new_home, &mut elsewhere)?;
    for group in &elsewhere.paused {
        pause::group(tx, *group)?;
    }
    Ok(elsewhere)
}

/// Records that everything up to the current token was done before this home was restored.
fn note_time(tx: &WriteTx) -> Result<()> {
    let token = tx.memory().counters.token.current();
    tx.execute(
        "INSERT INTO counter(id, value) VALUES (6, ?1) ON CONFLICT(id) DO UPDATE SET value = excluded.value",
        [token],
    )?;
    Ok(())
}

/// Both paths end with a slash.
fn move_paths(tx: &WriteTx, old: &str, new: &str) -> Result<()> {
    let moved = [old, new];
    for table in WITH_DATABASE {
        tx.execute(
            &format!(
                "UPDATE OR IGNORE {table} SET database = ?2 || substr(database, length(?1) + 1)
                  WHERE substr(database, 1, length(?1)) = ?1"
            ),
            moved,
        )?;
    }
    tx.execute(
        "UPDATE OR IGNORE resource_key SET name = 'vec:' || ?2 || substr(name, length(?1) + 5)
          WHERE substr(name, 1, length(?1) + 4) = 'vec:' || ?1",
        moved,
    )?;
    tx.execute(
        "UPDATE group_detail SET params = json_set(params, '$.store.path',
                    ?2 || substr(json_extract(params, '$.store.path'), length(?1) + 1))
          WHERE substr(json_extract(params, '$.store.path'), 1, length(?1)) = ?1",
        moved,
    )?;
    Ok(())
}

/// Every table with a vector database path in its column `database`.
const WITH_DATABASE: [&str; 3] = ["document", "document_removal", "run_document"];

fn forget_documents(tx: &WriteTx, home: &str, elsewhere: &mut Elsewhere) -> Result<()> {
    for table in WITH_DATABASE {
        let select = format!("SELECT DISTINCT database FROM {table}");
        for path in tx.rows(&select, [], |row| row.get::<String>(0))? {
            if !is_inside(&path, home) {
                tx.execute(&format!("DELETE FROM {table} WHERE database = ?1"), [path.as_str()])?;
                elsewhere.databases.insert(path);
            }
        }
    }
    Ok(())
}

struct Parameters {
    group: GroupId,
    text: String,
    /// The path that SQL finds.
    path: Option<String>,
    ended: bool,
}

/// The parameter `store.path` of every group.
fn hold_parameters(tx: &WriteTx, home: &str, elsewhere: &mut Elsewhere) -> Result<()> {
    let mut after = 0;
    loop {
        let groups = parameters(tx, after)?;
        let Some(last) = groups.last() else { return Ok(()) };
        after = last.group.0;
        for group in &groups {
            hold_group(tx, home, group, elsewhere)?;
        }
    }
}

fn parameters(tx: &ReadTx, after: i64) -> Result<Vec<Parameters>> {
    tx.rows(
        "SELECT d.group_id, d.params,
                CASE json_type(d.params, '$.store.path') WHEN 'text' THEN json_extract(d.params, '$.store.path') END,
                g.ended IS NOT NULL
           FROM group_detail d JOIN run_group g ON g.id = d.group_id
          WHERE d.group_id > ?1 ORDER BY d.group_id LIMIT ?2",
        params![after, PAGE as i64],
        |row| Ok(Parameters { group: GroupId(row.get(0)?), text: row.get(1)?, path: row.get(2)?, ended: row.get(3)? }),
    )
}

fn hold_group(tx: &WriteTx, home: &str, found: &Parameters, elsewhere: &mut Elsewhere) -> Result<()> {
    let read: Value = serde_json::from_str(&found.text).unwrap_or_default();
    let path = read["store"]["path"].as_str();
    if path != found.path.as_deref() {
        // A duplicate key can be read in two ways. This keeps one value.
        write_params(tx, found.group, &read.to_string())?;
    }
    let Some(path) = path.filter(|it| !is_inside(it, home)) else { return Ok(()) };
    elsewhere.databases.insert(path.to_string());
    if !found.ended {
        elsewhere.paused.insert(found.group);
        return Ok(());
    }
    // A deleted document is removed from every database that its groups have written to.
    tx.execute(
        "UPDATE group_detail SET params = json_remove(params, '$.store.path') WHERE group_id = ?1",
        [found.group.0],
    )?;
    Ok(())
}

fn write_params(tx: &WriteTx, group: GroupId, params: &str) -> Result<()> {
    tx.execute("UPDATE group_detail SET params = ?2 WHERE group_id = ?1", params![group.0, params])?;
    Ok(())
}

/// The key of a vector database is also the place of a lock file.
fn hold_keys(tx: &WriteTx, home: &str, elsewhere: &mut Elsewhere) -> Result<()> {
    let mut keys: BTreeMap<i64, String> = tx
        .rows("SELECT id, substr(name, 5) FROM resource_key WHERE substr(name, 1, 4) = 'vec:'", [], |row| {
            Ok((row.get(0)?, row.get::<String>(1)?))
        })?
        .into_iter()
        .filter(|(_, path)| !is_inside(path, home))
        .collect();
    elsewhere.databases.extend(keys.values().cloned());
    let live = formatcp!(
        "SELECT DISTINCT key_id, group_id FROM step WHERE state < {STEP_COMPLETED} AND key_id IS NOT NULL
                AND group_id > 0"
    );
    let live = tx.rows(live, [], |row| Ok((row.get::<i64>(0)?, GroupId(row.get(1)?))))?;
    let (mut used, all) = (BTreeSet::new(), live.into_iter().filter(|(key, _)| keys.contains_key(key)));
    for (key, group) in all {
        used.insert(key);
        elsewhere.paused.insert(group);
    }
    keys.retain(|key, _| !used.contains(key));
    for id in keys.keys() {
        tx.execute("UPDATE OR IGNORE resource_key SET name = 'elsewhere:' || name WHERE id = ?1", [*id])?;
    }
    Ok(())
}

/// Pauses up to `limit` schedules and watched directories, which the home of the backup may still start. Returns their names; none: that
/// was all.
pub fn pause_schedules(tx: &WriteTx, limit: usize) -> Result<Vec<String>> {
    let names =
        tx.rows("SELECT name FROM schedule WHERE paused = 0 ORDER BY name LIMIT ?1", [limit as i64], |row| {
            row.get::<String>(0)
        })?;
    for name in &names {
        schedule::pause(tx, name)?;
    }
    Ok(names)
}

/// Cancels the due hooks of groups that are not running, because users could not see that these hooks will run. Returns
/// them.
pub fn end_hooks(tx: &WriteTx) -> Result<Vec<DueHooks>> {
    let mut counts: BTreeMap<(GroupId, String, String), i64> = BTreeMap::new();
    for (it, id) in hook::due_beside_work(tx)? {
        cancel::step(tx, id)?;
        *counts.entry((it.group, it.event, it.name)).or_default() += 1;
    }
    let hooks = |((group, event, name), hooks)| DueHooks { group, event, name, hooks };
    Ok(counts.into_iter().map(hooks).collect())
}

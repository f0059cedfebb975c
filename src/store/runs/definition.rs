//! Table `definition`: workflow definitions, versioned by content.
//!
//! SQLite only: JSON functions, `hex`, columns beside `max`.

use crate::model::{DefinitionId, GroupId, RunId, Shape, Timestamp};
use crate::store::{
    error::{Error, Result},
    params::params,
    row::Row,
    step_type,
    tx::{ReadTx, WriteTx},
};
use serde::Serialize;

/// A definition to store. `body` is its canonical JSON, and `hash` the SHA-256 of that text.
#[derive(Debug, Clone)]
pub struct NewDefinition {
    pub hash: [u8; 32],
    pub name: String,
    pub title: String,
    pub body: String,
    pub shape: Shape,
}

/// The id of this version of the definition. A new version is written.
pub fn intern(tx: &WriteTx, new: &NewDefinition) -> Result<DefinitionId> {
    for step in &new.shape.steps {
        step_type::intern(tx, &step.step_type)?;
    }
    if let Some(id) = tx.row("SELECT id FROM definition WHERE hash = ?1", [new.hash], |row| row.get(0))? {
        return Ok(DefinitionId(id));
    }
    let shape = serde_json::to_string(&new.shape).map_err(|error| Error::Sqlite { reason: error.to_string() })?;
    let id = tx.insert(
        "INSERT INTO definition(hash, name, title, body, shape, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id",
        params![new.hash, new.name, new.title, new.body, shape, tx.now().0],
    )?;
    tx.memory().any_hooks |= !new.shape.hooks.is_empty();
    Ok(DefinitionId(id))
}

/// A stored definition. The reader must check that body and hash match.
#[derive(Debug, Clone)]
pub struct Stored {
    pub id: DefinitionId,
    /// Its canonical JSON.
    pub body: String,
    pub hash: Vec<u8>,
}

fn stored(row: &Row) -> Result<Stored> {
    Ok(Stored { id: DefinitionId(row.get(0)?), body: row.get(1)?, hash: row.get(2)? })
}

/// A definition with the hash that was stored with it.
pub fn of_id(tx: &ReadTx, id: DefinitionId) -> Result<Stored> {
    tx.row("SELECT id, body, hash FROM definition WHERE id = ?1", [id.0], stored)?
        .ok_or_else(|| Error::not_found(format!("definition {}", id.0)))
}

/// The canonical JSON of a definition.
pub fn body(tx: &ReadTx, id: DefinitionId) -> Result<String> {
    Ok(of_id(tx, id)?.body)
}

/// Every version of every definition.
pub fn all(tx: &ReadTx) -> Result<Vec<Stored>> {
    tx.rows("SELECT id, body, hash FROM definition ORDER BY id", [], stored)
}

/// The definitions of the runs of a group. For a group without runs, the one in `group_detail`.
pub fn of_group(tx: &ReadTx, group: GroupId) -> Result<Vec<DefinitionId>> {
    tx.rows(
        "SELECT definition_id FROM run WHERE group_id = ?1
            AND id NOT IN (SELECT run_id FROM collect WHERE group_id = ?1 AND run_id IS NOT NULL)
          UNION SELECT definition_id FROM group_detail WHERE group_id = ?1 ORDER BY 1",
        [group.0],
        |row| row.get(0).map(DefinitionId),
    )
}

/// The definition of a run.
pub fn of_run(tx: &ReadTx, run: RunId) -> Result<Vec<DefinitionId>> {
    tx.rows("SELECT definition_id FROM run WHERE id = ?1", [run.0], |row| row.get(0).map(DefinitionId))
}

/// A definition in a list.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    pub id: String,
    pub title: String,
    pub versions: i64,
    pub newest: Timestamp,
    /// The hash of the newest version, in hex.
    pub hash: String,
}

/// All definitions by name, each with its number of versions.
pub fn list(tx: &ReadTx) -> Result<Vec<Listed>> {
    // With `max(id)`, the other columns are those of the newest version.
    let sql =
        "SELECT name, title, count(*), created, lower(hex(hash)), max(id) FROM definition WHERE name NOT GLOB 'windlass/*'
          GROUP BY name ORDER BY name";
    tx.rows(sql, [], |row| {
        Ok(Listed {
            id: row.get(0)?,
            title: row.get(1)?,
            versions: row.get(2)?,
            newest: Timestamp(row.get(3)?),
            hash: row.get(4)?,
        })
    })
}

/// One version of a definition.
#[derive(Debug, Clone)]
pub struct Version {
    pub number: DefinitionId,
    pub name: String,
    pub hash: String,
    pub created: Timestamp,
    /// Its canonical JSON.
    pub body: String,
}

/// The least number of digits that identify a hash.
const DIGITS: usize = 8;

/// The versions that a text can refer to: the newest with this name, the one with the number `d12`, or those with a
/// hash that begins with it. Returns at most two.
pub fn find(tx: &ReadTx, text: &str) -> Result<Vec<Version>> {
    let columns = "SELECT id, name, lower(hex(hash)), created, body FROM definition";
    let version = |row: &Row| {
        Ok(Version {
            number: DefinitionId(row.get(0)?),
            name: row.get(1)?,
            hash: row.get(2)?,
            created: Timestamp(row.get(3)?),
            body: row.get(4)?,
        })
    };
    let named = tx.rows(&format!("{columns} WHERE name = ?1 ORDER BY id DESC LIMIT 1"), [text], version)?;
    if !named.is_empty() {
        return Ok(named);
    }
    if let Some(number) = text.strip_prefix('d').and_then(|it| it.parse::<i64>().ok()) {
        let numbered = tx.rows(&format!("{columns} WHERE id = ?1"), [number], version)?;
        if !numbered.is_empty() {
            return Ok(numbered);
        }
    }
    if text.len() < DIGITS || !text.chars().all(|it| it.is_ascii_hexdigit()) {
        return Ok(Vec::new());
    }
    let sql = format!("{columns} WHERE substr(lower(hex(hash)), 1, length(?1)) = ?1 ORDER BY id LIMIT 2");
    tx.rows(&sql, [text.to_ascii_lowercase()], version)
}

/// The newest version of every definition, by name.
pub fn newest(tx: &ReadTx) -> Result<Vec<Stored>> {
    tx.rows(
        "SELECT id, body, hash FROM definition WHERE name NOT GLOB 'windlass/*'
            AND id IN (SELECT max(id) FROM definition GROUP BY name) ORDER BY name",
        [],
        stored,
    )
}

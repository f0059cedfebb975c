//! One row of a result.

use crate::store::{
    error::{Error, Result},
    value::{FromValue, Value},
};
use std::path::PathBuf;

/// The current row of a running statement.
#[repr(transparent)]
pub struct Row<'a>(&'a rusqlite::Row<'a>);

impl<'a> Row<'a> {
    #[inline]
    pub(in crate::store::db) fn new(row: &'a rusqlite::Row<'a>) -> Row<'a> {
        Row(row)
    }

    /// The value of a column, counted from 0. Fails if the stored value has another type, which means that the file is
    /// damaged.
    #[inline]
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T> {
        let found = self.0.get_ref(column)?;
        Value::of(found).and_then(T::from_value).ok_or_else(|| self.damaged(column))
    }

    /// STRICT tables never hold such a value; only damage can produce it.
    #[cold]
    fn damaged(&self, column: usize) -> Error {
        let name = self.0.as_ref().column_name(column).unwrap_or("?");
        let kind = self.0.get_ref(column).map_or_else(|_| "no value".into(), |it| it.data_type().to_string());
        Error::Corrupt {
            path: PathBuf::from("engine.db"),
            reason: format!("column {column}, `{name}`, holds a value of type {kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        params::{Params, params},
        read_tx::ReadTx,
    };

    fn answer<T: FromValue>(sql: &str, values: impl Params) -> Result<T> {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        let found = ReadTx::new(&conn).row(sql, values, |row| row.get(0))?;
        Ok(found.unwrap())
    }

    #[test]
    fn values_come_back_as_they_went_in() {
        let sql = "SELECT ?1, ?2, ?3, ?4, ?5";
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        let row = ReadTx::new(&conn).rows(sql, params![-7_i64, true, "seven", [7_u8; 32], None::<i64>], |row| {
            Ok((row.get::<i64>(0)?, row.get::<bool>(1)?, row.get::<String>(2)?, row.get(3)?, row.get(4)?))
        });
        assert_eq!(row.unwrap(), [(-7, true, "seven".to_string(), [7_u8; 32], None::<i64>)]);
    }

    #[test]
    fn a_value_of_another_type_is_damage_and_never_read_as_something_else() {
        let is_damage = |found: Result<()>| matches!(found, Err(Error::Corrupt { .. }));
        assert!(is_damage(answer::<i64>("SELECT 'seven'", []).map(drop)));
        assert!(is_damage(answer::<i64>("SELECT NULL", []).map(drop)));
        assert!(is_damage(answer::<u32>("SELECT -1", []).map(drop)));
        assert!(is_damage(answer::<String>("SELECT 7", []).map(drop)));
        assert!(is_damage(answer::<String>("SELECT CAST(x'ff' AS TEXT)", []).map(drop)));
        assert!(is_damage(answer::<[u8; 32]>("SELECT x'0707'", []).map(drop)));
    }

    #[test]
    fn a_statement_runs_with_all_of_its_values_or_not_at_all() {
        assert_eq!(answer::<i64>("SELECT ?1 + ?2", [3_i64, 4]).unwrap(), 7);
        assert!(answer::<Option<i64>>("SELECT ?1 + ?2", [3_i64]).is_err());
        assert!(answer::<Option<i64>>("SELECT ?1 + ?2", [3_i64, 4, 5]).is_err());
        assert!(answer::<Option<i64>>("SELECT ?1 + ?2", []).is_err());
    }
}

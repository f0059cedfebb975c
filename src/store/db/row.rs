//! One row of an answer.

use crate::store::{
    error::{Error, Result},
    value::{FromValue, Value},
};
use std::path::PathBuf;

/// A row, while the statement stands on it.
#[repr(transparent)]
pub struct Row<'a>(&'a rusqlite::Row<'a>);

impl<'a> Row<'a> {
    #[inline]
    pub(in crate::store::db) fn new(row: &'a rusqlite::Row<'a>) -> Row<'a> {
        Row(row)
    }

    /// The value of a column, counted from 0. Errors: what is stored is not of this type, so the file is damaged.
    #[inline]
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T> {
        let found = self.0.get_ref(column)?;
        Value::of(found).and_then(T::from_value).ok_or_else(|| self.damaged(column))
    }

    /// STRICT tables never hold such a value, so that only damage can bring it forth.
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

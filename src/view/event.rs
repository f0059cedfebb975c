//! Events, each with the cursor to resume after it.

use super::error::{Error, Result};
use crate::{model::Event, store::event::Cursor};
use serde::Serialize;

/// An event.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct EventView {
    /// The cursor to resume after this event.
    pub cursor: String,
    #[serde(flatten)]
    pub event: Event,
}

pub fn event_view(cursor: Cursor, event: &Event) -> EventView {
    EventView { cursor: write_cursor(cursor), event: event.clone() }
}

/// `seq.index`.
pub fn write_cursor(cursor: Cursor) -> String {
    format!("{}.{}", cursor.seq, cursor.index)
}

pub fn read_cursor(text: &str) -> Result<Cursor> {
    let parts = || {
        let (seq, index) = text.split_once('.')?;
        let seq: i64 = seq.parse().ok()?;
        Some(Cursor { seq, index: index.parse().ok()? }).filter(|it| it.seq >= 0)
    };
    parts().ok_or_else(|| Error::Cursor(text.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let cursor = Cursor { seq: 12, index: 3 };
        assert_eq!(read_cursor(&write_cursor(cursor)).unwrap(), cursor);
        for wrong in ["", "12", "a.1", "1.b", "-1.0", "1.-1"] {
            assert!(read_cursor(wrong).is_err(), "{wrong}");
        }
    }
}

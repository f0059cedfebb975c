//! Documents that are still stored but hidden from the searches of this process.

/// Hidden documents, by id, as a list in SQL.
#[derive(Debug, Default)]
pub(super) struct Hidden(pub(super) Vec<i64>);

impl Hidden {
    fn list(&self) -> String {
        self.0.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
    }

    /// A condition on a column of document ids; empty if nothing is hidden.
    pub(super) fn documents(&self, column: &str) -> String {
        if self.0.is_empty() { String::new() } else { format!("{column} NOT IN ({})", self.list()) }
    }

    /// A condition on a column of chunk ids.
    pub(super) fn chunks(&self, column: &str) -> String {
        match self.0.is_empty() {
            true => String::new(),
            false => format!("{column} NOT IN (SELECT id FROM chunk WHERE document IN ({}))", self.list()),
        }
    }
}

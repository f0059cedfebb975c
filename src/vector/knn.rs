//! Search by vector.

use super::{ChunkId, Filter, Result, Scored, VectorDb, connection};
use rusqlite::types::Value;

impl VectorDb {
    /// The `k` chunks with the vectors nearest to `query`, best first, by dot product. That is the cosine, as stored
    /// vectors are normalised. Exact: this scans every vector that passes the filter.
    pub fn knn(&self, query: &[f32], k: usize, filter: Option<&Filter>) -> Result<Vec<Scored>> {
        self.accept(query)?;
        if k == 0 {
            return Ok(Vec::new());
        }
        let mut values = vec![Value::Blob(connection::to_blob(query)), Value::Integer(k.min(i64::MAX as usize) as i64)];
        // The index on (document, no) covers this, so a filter on documents reads no chunk.
        let passing = match filter {
            None => String::new(),
            Some(filter) => format!(
                "WHERE v.chunk IN (SELECT c.id FROM document d CROSS JOIN chunk c ON c.document = d.id WHERE {})",
                filter.condition(&mut values)
            ),
        };
        let shown = self.hidden.chunks("v.chunk");
        let passing = match (passing.is_empty(), shown.is_empty()) {
            (_, true) => passing,
            (true, false) => format!("WHERE {shown}"),
            (false, false) => format!("{passing} AND {shown}"),
        };
        let sql = format!(
            "SELECT v.chunk, vec_dot(v.value, ?1) AS score FROM vector v {passing}
             ORDER BY score DESC, v.chunk LIMIT ?2"
        );
        self.read("search the vectors of", |tx| {
            let mut statement = tx.prepare_cached(&sql)?;
            let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
                Ok(Scored { chunk: ChunkId(row.get(0)?), score: row.get(1)? })
            })?;
            rows.collect()
        })
    }
}

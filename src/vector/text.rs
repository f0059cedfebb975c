//! Full-text search.

use super::{ChunkId, Filter, Result, Scored, VectorDb};
use rusqlite::types::Value;
use std::{borrow::Cow, collections::HashSet};

/// What to look for. Terms are plain text, never query syntax.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Term {
    /// A word in any of its English forms (Porter stemming).
    Word(String),
    /// Every word with this prefix. For languages without a stemmer here.
    Prefix(String),
    /// These words, or letters of a script without spaces, next to each other.
    Phrase(Vec<String>),
}

/// A chunk matches if it contains at least one of the terms. More matches and rarer terms rank higher.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextQuery {
    pub terms: Vec<Term>,
}

/// More terms than this make a query slower but not better.
const TERMS_MAX: usize = 64;

impl TextQuery {
    /// The FTS5 expression. Every word is quoted; within quotes, only the doubled quote has a meaning in FTS5.
    pub(super) fn expression(&self) -> String {
        let terms: Vec<String> = self.terms.iter().take(TERMS_MAX).map(expression_of).collect();
        terms.join(" OR ")
    }
}

fn expression_of(term: &Term) -> String {
    match term {
        Term::Word(word) => quoted(word),
        Term::Prefix(word) => format!("{} *", quoted(word)),
        Term::Phrase(words) => quoted(&words.join(" ")),
    }
}

/// FTS5 ends its text at a zero byte, so zero bytes become spaces.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\0', " ").replace('"', "\"\""))
}

impl VectorDb {
    /// The `k` chunks that match best by BM25, best first. A higher score is better.
    ///
    /// Formula: <https://sqlite.org/fts5.html#the_bm25_function> (k1 = 1.2, b = 0.75), with the sign inverted.
    pub fn text(&self, query: &TextQuery, k: usize, filter: Option<&Filter>) -> Result<Vec<Scored>> {
        if query.terms.is_empty() || k == 0 {
            return Ok(Vec::new());
        }
        let mut values = vec![Value::Text(query.expression()), Value::Integer(k.min(i64::MAX as usize) as i64)];
        let mut joined = String::new();
        if let Some(filter) = filter {
            joined = format!(
                "CROSS JOIN chunk c ON c.id = t.rowid CROSS JOIN document d ON d.id = c.document WHERE {} AND",
                filter.condition(&mut values)
            );
        }
        let shown = self.hidden.chunks("t.rowid");
        let joined = if joined.is_empty() { "WHERE" } else { &joined };
        let shown = if shown.is_empty() { shown } else { format!("AND {shown}") };
        let sql = format!(
            "SELECT t.rowid, -bm25(chunk_text) AS score FROM chunk_text t {joined} chunk_text MATCH ?1 {shown}
             ORDER BY score DESC, t.rowid LIMIT ?2"
        );
        self.read("search the text of", |tx| {
            let mut statement = tx.prepare_cached(&sql)?;
            let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
                Ok(Scored { chunk: ChunkId(row.get(0)?), score: row.get(1)? })
            })?;
            rows.collect()
        })
    }
}

impl VectorDb {
    /// Whether any chunk passes a filter.
    pub fn passes(&self, filter: &Filter) -> Result<bool> {
        let mut values = Vec::new();
        let passing = filter.condition(&mut values);
        let shown = self.hidden.chunks("c.id");
        let shown = if shown.is_empty() { shown } else { format!("AND {shown}") };
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM chunk c JOIN document d ON d.id = c.document WHERE ({passing}) {shown})"
        );
        self.read("search", |tx| tx.query_row(&sql, rusqlite::params_from_iter(values), |row| row.get(0)))
    }

    /// Which of these chunks contain a term of the query.
    pub fn matching(&self, query: &TextQuery, chunks: &[ChunkId]) -> Result<HashSet<ChunkId>> {
        if query.terms.is_empty() || chunks.is_empty() {
            return Ok(HashSet::new());
        }
        let ids = serde_json::to_string(chunks).unwrap_or_default();
        self.read("search the text of", |tx| {
            // One pass over all matches. Without the `+` before `rowid`, SQLite would run one search per chunk.
            let mut statement = tx.prepare_cached(
                "SELECT rowid FROM chunk_text WHERE chunk_text MATCH ?1 AND +rowid IN (SELECT value FROM json_each(?2))",
            )?;
            let rows = statement.query_map((query.expression(), &ids), |row| row.get(0).map(ChunkId))?;
            rows.collect()
        })
    }
}

/// True for letters of scripts that put no spaces between words, and for Hangul, because Korean words include their
/// particles. Such letters are indexed one by one and searched as phrases.
pub fn is_unspaced(letter: char) -> bool {
    matches!(u32::from(letter),
        0x0E00..=0x0EFF // Thai, Lao
        | 0x1000..=0x109F // Myanmar
        | 0x1100..=0x11FF // Hangul Jamo
        | 0x1780..=0x17FF // Khmer
        | 0x3040..=0x30FF // Hiragana, Katakana
        | 0x3100..=0x318F // Bopomofo, Hangul compatibility Jamo
        | 0x31F0..=0x31FF // Katakana extensions
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF // Han
        | 0xAC00..=0xD7FF // Hangul
        | 0xF900..=0xFAFF // Han compatibility
        | 0xFF66..=0xFF9F // halfwidth Katakana
        | 0x20000..=0x3FFFF) // Han extensions
}

/// Inserted between letters of unspaced scripts. FTS5 does not treat it as a token character.
pub(super) const SEPARATOR: char = '\u{1f}';

/// Converts text to the form that is indexed.
pub(super) fn spread(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unspaced) {
        return Cow::Borrowed(text);
    }
    let mut spread = String::with_capacity(text.len() * 2);
    for letter in text.chars() {
        match is_unspaced(letter) {
            true => spread.extend([SEPARATOR, letter, SEPARATOR]),
            false => spread.push(letter),
        }
    }
    Cow::Owned(spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unspaced_scripts_are_spread_and_the_rest_is_left_alone() {
        assert_eq!(spread("plain text"), "plain text");
        assert_eq!(spread("a東京b"), "a\u{1f}東\u{1f}\u{1f}京\u{1f}b");
    }

    proptest! {
        #[test]
        fn no_term_is_read_as_syntax(words in prop::collection::vec(any::<String>(), 1..8)) {
            let db = rusqlite::Connection::open_in_memory().unwrap();
            db.execute_batch("CREATE VIRTUAL TABLE t USING fts5(text, tokenize = 'porter unicode61')").unwrap();
            let mut terms: Vec<Term> = words.iter().cloned().map(Term::Word).collect();
            terms.push(Term::Prefix(words[0].clone()));
            terms.push(Term::Phrase(words));
            let expression = TextQuery { terms }.expression();
            let count = db.query_row("SELECT count(*) FROM t WHERE t MATCH ?1", [&expression], |row| row.get::<_, i64>(0));
            prop_assert_eq!(count.unwrap(), 0);
        }
    }
}

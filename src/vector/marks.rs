//! Finds the terms of a query in a text.

use super::{
    Error, Result, TextQuery,
    text::{SEPARATOR, spread},
};
use rusqlite::Connection;
use std::{ops::Range, path::Path};

const OPEN: char = '\u{2}';
const CLOSE: char = '\u{3}';

/// The byte ranges of each text that match `query`, in ascending order.
///
/// FTS5 itself marks them, in memory, so they agree exactly with the index, stemming included.
pub fn marks(query: &TextQuery, texts: &[&str]) -> Result<Vec<Vec<Range<usize>>>> {
    let mut marked = vec![Vec::new(); texts.len()];
    if query.terms.is_empty() || texts.is_empty() {
        return Ok(marked);
    }
    highlighted(query, texts, &mut marked)
        .map_err(|source| Error::sql("mark the words of", Path::new("a passage"), source))?;
    Ok(marked)
}

fn highlighted(query: &TextQuery, texts: &[&str], marked: &mut [Vec<Range<usize>>]) -> rusqlite::Result<()> {
    let db = Connection::open_in_memory()?;
    db.execute_batch(
        "CREATE VIRTUAL TABLE passage USING fts5 (text, tokenize = 'porter unicode61 remove_diacritics 2')",
    )?;
    let mut insert = db.prepare("INSERT INTO passage (rowid, text) VALUES (?1, ?2)")?;
    let plain: Vec<String> = texts.iter().map(|it| it.replace([OPEN, CLOSE, SEPARATOR, '\0'], " ")).collect();
    for (at, text) in plain.iter().enumerate() {
        insert.execute((at as i64, spread(text)))?;
    }
    let mut ask = db.prepare("SELECT rowid, highlight(passage, 0, ?2, ?3) FROM passage WHERE passage MATCH ?1")?;
    let mut rows = ask.query((query.expression(), OPEN.to_string(), CLOSE.to_string()))?;
    while let Some(row) = rows.next()? {
        let at = row.get::<_, i64>(0)? as usize;
        marked[at] = ranges(&row.get::<_, String>(1)?);
    }
    Ok(())
}

/// The byte ranges in the text without marks and separators.
fn ranges(highlighted: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut at, mut start) = (0, 0);
    for letter in highlighted.chars() {
        match letter {
            OPEN => start = at,
            CLOSE => found.push(start..at),
            SEPARATOR => (),
            _ => at += letter.len_utf8(),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::Term;

    fn marked(terms: &[Term], text: &str) -> Vec<String> {
        let query = TextQuery { terms: terms.to_vec() };
        marks(&query, &[text]).unwrap().remove(0).into_iter().map(|it| text[it].to_string()).collect()
    }

    #[test]
    fn marks_follow_the_stemmer_and_survive_any_letter() {
        let word = |it: &str| Term::Word(it.to_string());
        assert_eq!(marked(&[word("flow")], "Flows, flowing \u{2}\u{1f} flówed."), ["Flows", "flowing", "flówed"]);
        assert_eq!(marked(&[word("absent")], "nothing here"), [""; 0]);
        let phrase = Term::Phrase(vec!["東".into(), "京".into()]);
        assert_eq!(marked(&[phrase], "これは東京です"), ["東京"]);
        assert_eq!(marked(&[Term::Prefix("собач".into())], "Две собачки бежали"), ["собачки"]);
    }
}

//! Finds ids by their first digits, for completion.

use crate::store::{error::Result, params::params, tx::ReadTx};

/// The things that have ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbered {
    Group,
    Run,
    Step,
}

/// Ids whose decimal digits begin with `digits`, lowest first. Without digits, the highest ids first. At most `limit`.
pub fn ids_beginning(tx: &ReadTx, of: Numbered, digits: &str, limit: usize) -> Result<Vec<i64>> {
    let table = match of {
        Numbered::Group => "run_group",
        Numbered::Run => "run",
        Numbered::Step => "step",
    };
    if digits.is_empty() {
        // Groups of hooks are below 0.
        return tx.rows(
            &format!("SELECT id FROM {table} WHERE id > 0 ORDER BY id DESC LIMIT ?1"),
            [limit as i64],
            |row| row.get(0),
        );
    }
    let sql = format!("SELECT id FROM {table} WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3");
    let mut found = Vec::new();
    for (first, last) in ranges(digits) {
        let left = limit - found.len();
        if left == 0 {
            break;
        }
        found.extend(tx.rows(&sql, params![first, last, left as i64], |row| row.get::<i64>(0))?);
    }
    Ok(found)
}

/// `1` covers 1, 10 to 19, 100 to 199 and so on.
fn ranges(digits: &str) -> Vec<(i64, i64)> {
    let mut ranges = Vec::new();
    let Some(number) = digits.parse::<i64>().ok().filter(|it| *it > 0 && !digits.starts_with(['0', '+'])) else {
        return ranges;
    };
    let (mut first, mut width) = (number, 1_i64);
    loop {
        ranges.push((first, first.saturating_add(width - 1)));
        match (first.checked_mul(10), width.checked_mul(10)) {
            (Some(next), Some(wider)) => (first, width) = (next, wider),
            _ => return ranges,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_begins_as_it_is_written() {
        assert_eq!(ranges("12")[..3], [(12, 12), (120, 129), (1200, 1299)]);
        for number in [1_i64, 19, 120, 2, 21, 13] {
            for digits in ["1", "12", "2"] {
                let inside = ranges(digits).iter().any(|it| (it.0..=it.1).contains(&number));
                assert_eq!(inside, number.to_string().starts_with(digits), "{number} {digits}");
            }
        }
        assert!(ranges("0").is_empty() && ranges("x").is_empty() && ranges("+1").is_empty());
        assert!(ranges("9").len() > 10);
    }
}

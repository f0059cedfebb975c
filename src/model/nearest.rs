//! Finds the nearest known name for a misspelt one, for messages such as "did you mean `retries`?".

/// The known name closest to `word`, if one is close enough to be what the user meant.
///
/// The distance is optimal string alignment (insert, delete, replace, swap neighbours), ignoring case. A name is close
/// enough if the distance is at most a third of the longer name, or if `word` is a prefix of it.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let begins = |name: &str| word.len() >= 3 && name.to_lowercase().starts_with(&word);
    let ranked = known.into_iter().map(|name| (!begins(name), distance(&word, &name.to_lowercase()), name));
    let (no_beginning, far, name) = ranked.min_by_key(|it| (it.0, it.1))?;
    let close = far * 3 <= word.chars().count().max(name.chars().count());
    (close || !no_beginning).then_some(name)
}

fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().take(64).collect(), right.chars().take(64).collect());
    let mut rows = vec![vec![0usize; right.len() + 1]; left.len() + 1];
    rows[0] = (0..=right.len()).collect();
    for i in 1..=left.len() {
        rows[i][0] = i;
        for j in 1..=right.len() {
            let replace = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typo_finds_its_name_and_a_stranger_finds_none() {
        let known = ["retries", "timeout", "resource_key", "needs", "heartbeat"];
        for (word, right) in [
            ("retires", Some("retries")),
            ("retry", None),
            ("time_out", Some("timeout")),
            ("resourcekey", Some("resource_key")),
            ("NEEDS", Some("needs")),
            ("heart", Some("heartbeat")),
            ("quux", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), right, "{word}");
        }
    }
}

//! `on:` of a workflow file: the files that start the workflow.

use super::schedule::Schedule;
use crate::model::Millis;
use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};

/// What starts a workflow automatically, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Trigger {
    Files(FileWatch),
    Times(Schedule),
}

impl From<Schedule> for Trigger {
    fn from(schedule: Schedule) -> Trigger {
        Trigger::Times(schedule)
    }
}

impl From<FileWatch> for Trigger {
    fn from(watch: FileWatch) -> Trigger {
        Trigger::Files(watch)
    }
}

/// A directory in which each new or changed file starts the workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileWatch {
    /// The directory as written: absolute, relative to the workflow file, or below the user's home directory
    /// (`~/inbox`).
    pub files: String,
    /// Name patterns, one of which must match. A pattern with a `/` matches paths below the directory.
    #[serde(rename = "match")]
    pub patterns: Vec<String>,
    /// How long a file must be unchanged.
    pub settled: Millis,
    /// Whether files count as new that already exist when the watch is added.
    pub existing: bool,
    /// How often the directory is read even without notifications. None: depends on the file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Millis>,
}

impl FileWatch {
    pub fn matcher(&self) -> Result<Matcher, String> {
        let pattern = |it: &String| Pattern::new(it).map_err(|error| format!("`{it}` is not a pattern: {error}"));
        let patterns = self.patterns.iter().map(pattern).collect::<Result<Vec<_>, _>>()?;
        let hidden = self.patterns.iter().any(|it| it.starts_with('.') || it.contains("/."));
        Ok(Matcher { patterns, deep: self.patterns.iter().any(|it| it.contains('/')), hidden })
    }
}

/// Which files of a directory match.
#[derive(Debug, Clone)]
pub struct Matcher {
    patterns: Vec<Pattern>,
    /// Whether subdirectories are read.
    pub deep: bool,
    /// Whether directories with names that begin with a dot are read.
    pub hidden: bool,
}

impl Matcher {
    /// `path` is relative to the directory. `*` does not match `/`, and only a literal dot matches a dot at the start
    /// of a name.
    pub fn matches(&self, path: &str) -> bool {
        let options =
            MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
        self.patterns.iter().any(|it| it.matches_with(path, options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(patterns: &[&str]) -> Matcher {
        let patterns = patterns.iter().map(|it| it.to_string()).collect();
        let watch = FileWatch { files: "/in".into(), patterns, settled: Millis(1), existing: true, every: None };
        watch.matcher().unwrap()
    }

    #[test]
    fn patterns_take_the_files_that_they_name() {
        let table: [(&[&str], &[&str], &[&str]); 4] = [
            (&["*"], &["a", "a b.pdf"], &[".a", "in/a"]),
            (&["*.pdf", "*.tif"], &["a.pdf", "b.tif"], &["a.PDF", "a.pdf.part", ".a.pdf", "in/a.pdf"]),
            (&["**/*.pdf"], &["a.pdf", "in/a.pdf", "in/deep/a.pdf"], &["in/.a.pdf", ".in/a.pdf", "a.txt"]),
            (&["in/[0-9]*"], &["in/7", "in/12.txt"], &["in/a", "7", "in/deep/7"]),
        ];
        for (patterns, taken, left) in table {
            let it = matcher(patterns);
            assert!(taken.iter().all(|path| it.matches(path)), "{patterns:?}");
            assert!(!left.iter().any(|path| it.matches(path)), "{patterns:?}");
        }
        assert_eq!(
            [matcher(&["*.pdf"]).deep, matcher(&["a/*"]).deep, matcher(&["**/.x/*"]).hidden],
            [false, true, true]
        );
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let texts = [
            r#"{"files":"/in","match":["*"],"settled":"2s","existing":true,"every":"1m"}"#,
            r#"{"every":"15m","jitter":"0ms","catch_up":"latest"}"#,
        ];
        let read = |text: &str| serde_json::from_str::<Trigger>(text);
        assert!(
            matches!(read(texts[0]).unwrap(), Trigger::Files(it) if it.patterns == ["*"] && it.every == Some(Millis::minutes(1)))
        );
        assert!(matches!(read(texts[1]).unwrap(), Trigger::Times(_)));
    }
}

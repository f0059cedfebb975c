//! `on:`.

use super::Reader;
use crate::{
    definition::{
        error::Result,
        watch::FileWatch,
        yaml::{Fields, Value},
    },
    model::Millis,
};

/// The default time for which a file must be unchanged; also the minimum.
const SETTLED: Millis = Millis::seconds(2);
const LEAST: Millis = Millis(100);
const EXAMPLE: &str = "write `on: { files: /inbox, match: \"*.pdf\" }`";

impl Reader<'_> {
    pub(super) fn on(&self, fields: &Fields<'_>) -> Result<Option<FileWatch>> {
        let Some(node) = fields.get("on") else { return Ok(None) };
        if !matches!(node.value, Value::Map(_)) {
            return Err(self.source.refuse(node.line, "`on` must be a mapping", Some(EXAMPLE)));
        }
        for other in ["schedule", "items_from"] {
            if let Some(other_node) = fields.get(other) {
                let what =
                    format!("a workflow with `on` has no `{other}`: it starts when files come, and they are its items");
                let hint = "put the other one into a workflow file of its own";
                return Err(self.source.refuse(other_node.line, what, Some(hint)));
            }
        }
        let written = self.source.fields(node, "`on`", &["files", "match", "settled", "existing", "every"])?;
        let Some(files) = written.get("files") else {
            return Err(self.source.refuse(node.line, "`on` has no `files`, the directory to watch", Some(EXAMPLE)));
        };
        let directory = self.source.text(files, "files")?;
        if directory.is_empty() || directory.contains(['*', '?', '[']) {
            let hint = "`files` is one directory; patterns go into `match`, such as `match: \"**/*.pdf\"`";
            return Err(self.source.refuse(files.line, format!("`files: {directory}` is not a directory"), Some(hint)));
        }
        let patterns = match written.get("match") {
            None => vec!["*".to_string()],
            Some(it) => match &it.value {
                Value::List(_) => {
                    let list = self.source.list(it, "match")?.iter().map(|it| self.source.text(it, "a pattern"));
                    list.collect::<Result<_>>()?
                }
                _ => vec![self.source.text(it, "match")?],
            },
        };
        let line = written.get("match").map_or(node.line, |it| it.line);
        if patterns.is_empty() || patterns.iter().any(|it| it.starts_with('/') || it.is_empty()) {
            let hint = "patterns are relative to the directory: `*.pdf`, or `**/*.pdf` for those below it, too";
            return Err(self.source.refuse(line, "`match` has a pattern that no file matches", Some(hint)));
        }
        let time =
            |name: &str| written.get(name).map(|it| Ok((it.line, self.source.unit::<Millis>(it, name)?))).transpose();
        let settled = time("settled")?;
        let every = time("every")?;
        for (name, least, found) in [("settled", LEAST, settled), ("every", Millis::seconds(1), every)] {
            if let Some((line, it)) = found.filter(|it| it.1 < least || it.1 > Millis(7 * 86_400_000)) {
                let what = format!("`{name}: {it}` is not between {least} and 7d");
                return Err(self.source.refuse(line, what, None));
            }
        }
        let existing = written.get("existing").map(|it| self.source.bool(it, "existing")).transpose()?;
        let watch = FileWatch {
            files: directory,
            patterns,
            settled: settled.map_or(SETTLED, |it| it.1),
            existing: existing.unwrap_or(true),
            every: every.map(|it| it.1),
        };
        match watch.matcher() {
            Ok(_) => Ok(Some(watch)),
            Err(what) => Err(self.source.refuse(line, what, None)),
        }
    }
}

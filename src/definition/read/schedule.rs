//! `schedule:` and `items_from:`.

use super::Reader;
use crate::{
    decide::schedule::CatchUp,
    definition::{
        error::Result,
        schedule::{ItemsFrom, Schedule, When},
        yaml::{Fields, Node, Value},
    },
    model::{Millis, Timestamp},
};

impl Reader<'_> {
    pub(super) fn schedule(&self, fields: &Fields<'_>) -> Result<Option<Schedule>> {
        let Some(node) = fields.get("schedule") else { return Ok(None) };
        if matches!(node.value, Value::Text(_)) {
            let hint = "write `schedule: { cron: \"0 2 * * *\" }` or `schedule: { every: 15m }`";
            return Err(self.source.refuse(node.line, "`schedule` must be a mapping", Some(hint)));
        }
        let fields =
            self.source.fields(node, "`schedule`", &["cron", "every", "zone", "jitter", "catch_up", "within"])?;
        let when = match (fields.get("cron"), fields.get("every")) {
            (Some(cron), None) => When::Cron(self.source.text(cron, "cron")?),
            (None, Some(every)) => When::Every(self.source.unit(every, "every")?),
            _ => {
                let hint = "write `schedule: { cron: \"0 2 * * *\" }` or `schedule: { every: 15m }`";
                return Err(self.source.refuse(node.line, "a schedule has either `cron` or `every`", Some(hint)));
            }
        };
        let zone = fields.get("zone").map(|it| self.source.text(it, "zone")).transpose()?;
        if let (Some(zone), When::Every(_)) = (fields.get("zone"), &when) {
            return Err(self.source.refuse(zone.line, "an interval has no time zone", None));
        }
        let catch_up = match fields.get("catch_up") {
            None => CatchUp::default(),
            Some(node) => match self.source.text(node, "catch_up")?.as_str() {
                "none" => CatchUp::None,
                "latest" => CatchUp::Latest,
                "all" => CatchUp::All,
                other => {
                    let message = format!("`catch_up: {other}` is not one of `none`, `latest`, `all`");
                    return Err(self.source.refuse(node.line, message, None));
                }
            },
        };
        let time = |name: &str| fields.get(name).map(|it| self.source.unit::<Millis>(it, name)).transpose();
        let schedule =
            Schedule { when, zone, jitter: time("jitter")?.unwrap_or_default(), catch_up, within: time("within")? };
        match schedule.recurrence(Timestamp(0)) {
            Ok(_) => Ok(Some(schedule)),
            Err((message, hint)) => Err(self.source.refuse(node.line, message, hint.as_deref())),
        }
    }

    pub(super) fn items_from(&self, fields: &Fields<'_>) -> Result<Option<ItemsFrom>> {
        let Some(node) = fields.get("items_from") else { return Ok(None) };
        let written = self.source.fields(node, "`items_from`", &["list", "glob", "file", "command"])?;
        let text = |node: &Node, what: &str| self.source.text(node, what);
        let mut found = Vec::new();
        if let Some(node) = written.get("list") {
            let items = self.source.list(node, "list")?.iter().map(|it| text(it, "an item"));
            found.push(ItemsFrom::List(items.collect::<Result<_>>()?));
        }
        if let Some(node) = written.get("glob") {
            let pattern = text(node, "glob")?;
            if let Err(error) = glob::Pattern::new(&pattern) {
                return Err(self.source.refuse(node.line, format!("`{pattern}` is not a pattern: {error}"), None));
            }
            found.push(ItemsFrom::Glob(pattern));
        }
        if let Some(node) = written.get("file") {
            found.push(ItemsFrom::File(text(node, "file")?));
        }
        if let Some(node) = written.get("command") {
            found.push(ItemsFrom::Command(text(node, "command")?));
        }
        match found.len() {
            1 => Ok(found.pop()),
            _ => {
                let hint = "write `items_from: { glob: \"/data/*.csv\" }`, or `command:`, `file:` or `list:`";
                Err(self.source.refuse(node.line, "`items_from` has one source", Some(hint)))
            }
        }
    }
}

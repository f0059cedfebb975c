use super::{
    backup::{tell, with_signal},
    context::Context,
    failure::{Failure, Result},
    output::Output,
    wording::{count, plain, quoted},
};
use crate::{
    backup::{Restore, Restored, SET_ASIDE},
    model::{Bytes, GroupId},
    os::{
        clock::{Clock, SystemClock},
        signals::Signals,
    },
    store::restored::DueHooks,
};
use std::{path::PathBuf, sync::Arc};

/// Restore a home from a backup
///
/// The home must be empty or new. Steps that were running at the time of the backup run again, under new tokens, so that the
/// old engine and this one can't be confused. A backup has no secrets.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file that `windlass backup` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Move the home's content aside first; delete nothing
    #[arg(long)]
    force: bool,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        if self.file.is_dir() {
            let what = format!("{} is a directory; a backup is one file", self.file.display());
            let inside = self.file.join("windlass.zip");
            return Err(Failure::usage(what).hint(format!("name the file in it, such as {}", inside.display())));
        }
        let signals = Signals::install()?;
        let home = cx.home()?.path;
        let is_new = !home.exists();
        let restore = Restore { file: self.file, home, force: self.force, reserve: Bytes::mib(64) };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let restored =
            restore.run(&clock, &|| !signals.stop_requested()).map_err(|error| with_signal(error, &signals))?;
        if is_new {
            cx.remember(&restored.home);
        }
        if cx.output.json {
            return cx.output.document(&restored);
        }
        cx.output.line(format!("restored into {}", restored.home.display()))?;
        tell(cx, &restored.backup)?;
        if restored.released > 0 {
            cx.output.line(format!("  released     {} that were running", count(restored.released, "step")))?;
        }
        if let Some(aside) = &restored.moved_aside {
            cx.output.note(format!("the earlier content is in {}", quoted(&aside.to_string_lossy())));
        }
        warn(cx, &restored);
        cx.output.note("continue with `windlass worker`; `windlass status` shows what is open");
        Ok(())
    }
}

/// Warns about omitted parts, and about work that will resume, because a backup may come from another person.
fn warn(cx: &Context, restored: &Restored) {
    let out = &cx.output;
    if !restored.settings_dropped.is_empty() {
        let names: Vec<String> = restored.settings_dropped.iter().map(|it| plain(it)).collect();
        out.warn(format!(
            "settings removed: {}; set them again in `windlass.toml` if they are yours",
            names.join(", ")
        ));
    }
    for name in &restored.params_set_aside {
        let name = plain(name);
        out.warn(format!(
            "params/{name} names a server, a key or a database elsewhere, so it is not used: it is there as {name}{SET_ASIDE}; \
             rename it if it is yours"
        ));
    }
    if !restored.databases_elsewhere.is_empty() {
        let names = named(restored.databases_elsewhere.iter().map(|it| plain(it)));
        let databases = count(restored.databases_elsewhere.len() as u64, "vector database");
        out.warn(format!(
            "{databases} outside of the home: {names}; what the backup knew of the documents there was not taken over"
        ));
    }
    if let Some(first) = restored.paused.first() {
        out.warn(format!(
            "{} would write there and {} paused: {}; look with `windlass show {first}`, then `windlass resume {first}` or \
             `windlass cancel {first}`",
            count(restored.paused.len() as u64, "group"),
            if restored.paused.len() == 1 { "is" } else { "are" },
            named(restored.paused.iter().map(GroupId::to_string)),
        ));
    }
    if !restored.hooks_ended.is_empty() {
        let hooks = restored.hooks_ended.iter().map(|it| it.hooks.max(0) as u64).sum();
        let name = |it: &DueHooks| format!("{} {} of {}", plain(&it.event), plain(&it.name), it.group);
        out.warn(format!(
            "{} of groups that were not at work will not run: {}",
            count(hooks, "due hook"),
            named(restored.hooks_ended.iter().map(name)),
        ));
    }
    warn_of_schedules(out, &restored.schedules_paused);
    let (open, runs) = (restored.will_run.len(), restored.will_run.iter().map(|it| it.runs.max(0) as u64).sum());
    if let Some(first) = restored.will_run.first().map(|it| it.group) {
        out.warn(format!(
            "{} of the backup with {} will resume as soon as a worker or the daemon starts: {}; \
             look with `windlass show {first}`, and stop it with `windlass cancel {first}`",
            count(open as u64, "group"),
            count(runs, "run"),
            named(restored.will_run.iter().map(|it| format!("{} {}", it.group, plain(&it.name)))),
        ));
    }
}

fn warn_of_schedules(out: &Output, paused: &[String]) {
    let Some(first) = paused.first() else { return };
    let (are, them) = if paused.len() == 1 { ("is", "it") } else { ("are", "them") };
    out.warn(format!(
        "{} of the backup {are} paused, since the old home may still start {them}: {}; when it is gone, start {them} here with \
         `windlass schedule resume {}`",
        count(paused.len() as u64, "schedule"),
        named(paused.iter().map(|it| plain(it))),
        plain(first),
    ));
}

fn named(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = if all.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", all.take(SHOWN).collect::<Vec<_>>().join(", "))
}

/// How many groups, hooks and databases are named.
const SHOWN: usize = 5;

use super::{
    context::Context,
    database,
    failure::{Exit, Result},
    locks,
    wording::{quoted, size},
};
use crate::{
    ingest::database_path,
    model::{Millis, ResourceKey},
    store::resource_lock::Forced,
    vector::{OpenOptions, VacuumReport, VectorDb},
    view::Named,
};
use clap_complete::engine::ArgValueCompleter;

/// Free the unused space of a vector database
///
/// Waits until no other process is writing to the database. Searches keep working.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The vector database: a name, or a path to its file
    #[arg(value_name = "DB", add = ArgValueCompleter::new(super::complete::databases), required_unless_present = "all", conflicts_with = "all")]
    db: Option<String>,
    /// Vacuum every vector database of this home; skip locked ones
    #[arg(long)]
    all: bool,
    /// Give up after this time if another process is writing; 0s: don't wait
    #[arg(long, value_name = "TIME")]
    max_wait: Option<Millis>,
    /// Clear the lock's row first; the history records this
    #[arg(long)]
    force: bool,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        if !self.all {
            let named = database::named(cx, self.db.as_deref())?;
            let report = vacuum(cx, &named, self.max_wait, self.force)?;
            return tell(cx, &named, &report);
        }
        let mut reports = Vec::new();
        let mut skipped = Vec::new();
        for named in database::all(cx)? {
            match vacuum(cx, &named, Some(Millis(0)), self.force) {
                Ok(report) => reports.push((named, report)),
                Err(failure) if failure.exit == Exit::Conflict => {
                    let why = failure.message.unwrap_or_default();
                    cx.output.note(format!("skipped `{}`: {why}", named.name));
                    skipped.push(serde_json::json!({"name": named.name, "reason": why}));
                }
                Err(failure) => return Err(failure),
            }
        }
        if cx.output.json {
            let all: Vec<_> = reports.iter().map(|(named, report)| as_json(named, report)).collect();
            return cx.output.document(&serde_json::json!({"databases": all, "skipped": skipped}));
        }
        for (named, report) in &reports {
            tell(cx, named, report)?;
        }
        if reports.is_empty() && skipped.is_empty() {
            cx.output.note("no vector database yet; make one with `windlass ingest PATH`");
        }
        Ok(())
    }
}

fn vacuum(cx: &Context, named: &Named, max_wait: Option<Millis>, force: bool) -> Result<VacuumReport> {
    let path = database_path(&cx.settings()?.home, &named.path.to_string_lossy())?;
    if !path.exists() {
        return Err(database::unknown(cx, named)?);
    }
    let key = ResourceKey(format!("vec:{}", path.display()));
    if force {
        let (why, by) = ("vacuum --force".to_string(), locks::this_user());
        crate::view::force_release(cx.engine()?, Forced { key: key.clone(), why, by })?;
    }
    let guard = locks::take(cx, &key, max_wait).map_err(|failure| match failure.exit {
        Exit::Conflict if !force => failure.hint(format!(
            "wait for it; `windlass locks` shows who holds it; if its holder is gone, `windlass vacuum {} --force` clears the lock's row",
            quoted(&named.name)
        )),
        _ => failure,
    })?;
    let mut opened = VectorDb::open_for_writing(&path, &OpenOptions::default())?;
    let epoch = opened.raise_epoch()?;
    let report = opened.vacuum(epoch)?;
    drop(guard);
    Ok(report)
}

fn tell(cx: &Context, named: &Named, report: &VacuumReport) -> Result<()> {
    if cx.output.json {
        return cx.output.document(&as_json(named, report));
    }
    let VacuumReport { bytes_before, bytes_after, log_emptied } = *report;
    cx.output.line(format!("`{}`: {} before, {} now", named.name, size(bytes_before), size(bytes_after)))?;
    if !log_emptied {
        cx.output.note("a reader is still using its log; the log shrinks when that reader is done");
    }
    Ok(())
}

fn as_json(named: &Named, report: &VacuumReport) -> serde_json::Value {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    value["name"] = named.name.as_str().into();
    value
}

use super::{
    context::Context,
    failure::{Failure, Result},
    table::Table,
    wording::plain,
};
use crate::settings::{self, PROJECT};
use std::path::{Path, PathBuf};

/// Trust the home of a project that another person made
///
/// Commands in a project use its `.windlass`, with its settings, its parameter sets and its waiting work. windlass uses
/// a home that you did not make on this machine only after you trust it. A home that you name with `--home` or
/// WINDLASS_HOME needs no trust.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project's directory, or its `.windlass` [default: the nearest from here upward]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// List the trusted homes
    #[arg(long, conflicts_with_all = ["dir", "remove"])]
    list: bool,
    /// No longer trust it
    #[arg(long)]
    remove: bool,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        if self.list {
            return list(cx);
        }
        let home = self.home(cx)?;
        if self.remove {
            let removed = cx.trusted()?.remove(&home)?;
            if !removed {
                return Err(Failure::not_found(format!("{} was not trusted", home.display()))
                    .hint("`windlass trust --list` shows the trusted ones"));
            }
            return tell(cx, &home, false);
        }
        if !home.is_dir() {
            return Err(Failure::not_found(format!("there is no {}", home.display()))
                .hint("make a home of your own with `windlass init`"));
        }
        settings::check_home(&home)?;
        let added = cx.trusted()?.add(&home)?;
        tell(cx, &added.home, true)
    }

    fn home(&self, cx: &Context) -> Result<PathBuf> {
        let Some(dir) = &self.dir else { return Ok(cx.found_home()?.path) };
        let dir: PathBuf = cx.here()?.join(dir).components().collect();
        let is_home = dir.file_name().is_some_and(|it| it == PROJECT);
        Ok(if is_home { dir } else { dir.join(PROJECT) })
    }
}

fn tell(cx: &Context, home: &Path, trusted: bool) -> Result<()> {
    if cx.output.json {
        return cx.output.document(&serde_json::json!({"home": home, "trusted": trusted}));
    }
    let word = if trusted { "trusted" } else { "no longer trusted:" };
    cx.output.line(format!("{word} {}", plain(&home.to_string_lossy())))
}

fn list(cx: &Context) -> Result<()> {
    let all = cx.trusted()?.list()?;
    if cx.output.json {
        let all: Vec<_> =
            all.iter().map(|it| serde_json::json!({"home": it.home, "is_there": it.is_there()})).collect();
        return cx.output.document(&serde_json::json!({"trusted": all}));
    }
    let mut table = Table::new(&["HOME", "~STATE"]);
    for it in &all {
        let state = if it.is_there() { "" } else { "gone, another directory, or to be trusted again" };
        table.row([plain(&it.home.to_string_lossy()).into(), state.into()]);
    }
    match all.is_empty() {
        true => cx.output.note("no project's home is trusted yet; make one with `windlass init`"),
        false => cx.output.table(&table)?,
    }
    Ok(())
}

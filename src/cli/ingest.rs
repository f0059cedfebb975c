use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    ingest_report as said,
    items::path_lines,
    parameters, serve,
    submit::workers,
    wording::{count, quoted},
    work::{self, PoolArgs, Worked},
};
use crate::{
    definition::{ParameterSet, STAGES},
    engine::{Engine, LockWait, Needs, check_needs},
    ingest::{
        database_path,
        fetch::is_url,
        removal,
        source::SourceOptions,
        sync::{self, Place, SyncOptions, SyncPlan, Unread},
    },
    model::{GroupId, Holder, HolderKind, Millis, Status},
    os::signals::Signals,
};
use clap_complete::engine::ArgValueCompleter;
use std::{error::Error as _, path::PathBuf, time::Instant};

/// Read documents into a vector database, and keep it up to date
///
/// Reads new and changed files, splits them into passages and embeds these; skips unchanged files. After an interruption,
/// run the same command again to continue. Then: `windlass search "what you want to know"`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, directories, `http://` and `https://` addresses, or `-` for one document on stdin
    #[arg(value_name = "PATH", required_unless_present = "paths_from")]
    paths: Vec<PathBuf>,
    /// A file with one path per line, or `-` for stdin
    #[arg(long, value_name = "FILE")]
    paths_from: Option<PathBuf>,
    /// The vector database: a name, or a path to its file [default: the setting `database`]
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(super::complete::databases))]
    db: Option<String>,
    /// A parameter set: its id (`windlass list params`), or a YAML file [default: the setting `parameters`]
    #[arg(long, value_name = "ID", add = ArgValueCompleter::new(super::complete::parameter_sets))]
    params: Option<String>,
    /// Change one parameter, such as chunk.size=512
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The collection that the documents belong to
    #[arg(long, default_value = "default", value_name = "NAME")]
    source: String,
    /// The title of the document on stdin
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// In directories, only files that match, as in .gitignore: '*.pdf', '!drafts/'
    #[arg(long, value_name = "GLOB")]
    glob: Vec<String>,
    /// Include files whose names begin with a dot
    #[arg(long)]
    hidden: bool,
    /// Remove documents whose files no longer exist
    #[arg(long)]
    prune: bool,
    /// Show what is new, changed and removed; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Ingest everything again, including earlier failures
    #[arg(long)]
    force: bool,
    /// Follow links to directories, and to files outside the directory
    #[arg(long)]
    follow_links: bool,
    /// Exit with 3 if documents are skipped because they failed earlier
    #[arg(long)]
    strict: bool,
    /// Only submit; leave the work to a running worker
    #[arg(long)]
    detach: bool,
    /// With `--detach`: do not start the daemon, even if the setting `autostart` is on
    #[arg(long)]
    no_autostart: bool,
    #[command(flatten)]
    pools: PoolArgs,
}

/// How long a removal waits for the lock of the vector database.
const PRUNE_WAIT: Millis = Millis::minutes(10);

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let begun = Instant::now();
        check_needs(Needs::Ingest)?;
        let mut options = self.options(cx)?;
        let engine = cx.engine()?;
        self.give(engine, &mut options)?;
        if self.dry_run {
            let plan = sync::plan(engine, &options)?;
            return said::plan_in_full(cx, &plan);
        }
        let signals = Signals::install()?;
        removal::finish(engine, holder(), LockWait::No)?;
        if !self.detach {
            self.finish_unfinished(cx, engine, &options, &signals)?;
        }
        let plan = sync::plan(engine, &options)?;
        said::plan(cx, &plan)?;
        let submitted = sync::submit(engine, &plan)?;
        if let Some(submitted) = submitted {
            said::submitted(cx, submitted, plan.runs.len())?;
            if self.detach {
                return detached(cx, submitted.group, self.no_autostart);
            }
            engine.adopt(submitted.group)?;
        } else if self.detach && !plan.at_work.is_empty() {
            // Submitted before, perhaps without a worker running.
            serve::autostart(cx, self.no_autostart)?;
            if workers(cx)? == 0 {
                cx.output.note(NOBODY);
            }
        }
        let groups: Vec<GroupId> = submitted.iter().map(|it| it.group).collect();
        let status = match groups.first() {
            Some(group) => self.work(cx, *group, &signals)?,
            None => Status::Completed,
        };
        let removed = self.remove(cx, engine, &plan)?;
        let report = sync::finish(engine, &options.database, &groups)?;
        let told = said::Told { removed, groups: &groups, search: &self.search_command(cx), took: begun.elapsed() };
        said::report(cx, &plan, &report, &told)?;
        match status {
            Status::Failed => Err(Failure::quiet(Exit::WorkFailed)),
            Status::Cancelled => Err(Failure::quiet(Exit::Cancelled)),
            _ if !plan.unread.is_empty() || self.strict && !plan.unusable.is_empty() => {
                Err(Failure::quiet(Exit::WorkFailed))
            }
            _ => Ok(()),
        }
    }

    fn options(&self, cx: &Context) -> Result<SyncOptions> {
        let settings = cx.settings()?;
        let set = parameters::find(cx, self.params.as_deref().unwrap_or(&settings.parameters))?;
        let params = set.overlay(&self.set)?;
        let named = params.config[STAGES[3]]["path"].as_str().filter(|it| Some(*it) != builtin_path().as_deref());
        let name = self.db.as_deref().or(named).unwrap_or(&settings.database).to_string();
        let database = database_path(&settings.home, &name)?;
        let mut paths = self.paths.clone();
        if let Some(list) = &self.paths_from {
            paths.extend(path_lines(list)?.into_iter().map(PathBuf::from));
        }
        let source_options = SourceOptions {
            globs: self.glob.clone(),
            hidden: self.hidden,
            follow: self.follow_links,
            ..SourceOptions::default()
        };
        Ok(SyncOptions {
            source_options,
            source: self.source.clone(),
            title: self.title.clone(),
            params,
            prune: self.prune,
            force: self.force,
            dry_run: self.dry_run,
            ..SyncOptions::new(paths, database)
        })
    }

    /// Gets what is no file of this machine. One address that can't be reached does not keep the others out.
    fn give(&self, engine: &Engine, options: &mut SyncOptions) -> Result<()> {
        let place = |path: &PathBuf| match path.to_str() {
            Some("-") => Some(Place::Stdin),
            Some(text) if is_url(text) => Some(Place::Url(text.to_string())),
            _ => None,
        };
        if self.title.is_some() && !options.paths.iter().any(|it| it.as_os_str() == "-") {
            return Err(Failure::usage("`--title` is for the document on stdin").hint("name `-` as the document"));
        }
        let places: Vec<Place> = options.paths.iter().filter_map(place).collect();
        options.paths.retain(|it| place(it).is_none());
        for it in places {
            match (sync::give(engine, options, &it), it) {
                (Ok(file), _) => options.given.push(file),
                (Err(error), Place::Url(uri)) => {
                    let cause = error.source().map(|it| format!(": {it}")).unwrap_or_default();
                    let reason = format!("{error}{cause}");
                    options.ungiven.push(Unread { uri, reason });
                }
                (Err(error), Place::Stdin) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Groups that an earlier command left come first: their documents count as being at work.
    fn finish_unfinished(&self, cx: &Context, engine: &Engine, options: &SyncOptions, signals: &Signals) -> Result<()> {
        let groups = sync::unfinished(engine, &options.database)?;
        for &group in &groups {
            sync::try_server(engine, group)?;
            cx.output.note(format!("continuing {group}, which was not finished"));
            engine.adopt(group)?;
            self.work(cx, group, signals)?;
        }
        if !groups.is_empty() {
            sync::settle(engine, &options.database)?;
        }
        Ok(())
    }

    fn work(&self, cx: &Context, group: GroupId, signals: &Signals) -> Result<Status> {
        let again = this_command();
        match work::work(cx, group, &self.pools, signals, &again)? {
            Worked::Ended(end) => Ok(end.status),
            Worked::Stopped(signal) => Err(work::stopped(cx, group, signal, &again)?),
            Worked::Paused(reason) => Err(work::paused(cx, group, &reason, &again)?),
        }
    }

    fn remove(&self, cx: &Context, engine: &Engine, plan: &SyncPlan) -> Result<usize> {
        if plan.prune && !plan.removed.is_empty() {
            cx.output.note(format!("removing {}", count(plan.removed.len() as u64, "document")));
        }
        // What was deleted while a database was locked.
        removal::finish(engine, holder(), LockWait::No)?;
        let (removed, all) = sync::prune(engine, plan, holder(), LockWait::AtMost(PRUNE_WAIT))?;
        if !all {
            cx.output
                .note("the vector database is locked: searches no longer find the documents, and they are removed when it is free");
        }
        Ok(removed)
    }

    fn search_command(&self, cx: &Context) -> String {
        let db = self.db.as_ref().map(|it| format!("--db {} ", quoted(it))).unwrap_or_default();
        format!("windlass {}search {db}\"what you want to know\"", cx.home_flag())
    }
}

/// This command, shown to processes that wait for a lock that it holds.
pub fn holder() -> Holder {
    Holder { kind: HolderKind::Cli, id: i64::from(std::process::id()) }
}

fn builtin_path() -> Option<String> {
    ParameterSet::builtin().config[STAGES[3]]["path"].as_str().map(str::to_string)
}

const NOBODY: &str = "no worker is running: start one with `windlass worker`";

fn detached(cx: &Context, group: GroupId, no_autostart: bool) -> Result<()> {
    serve::autostart(cx, no_autostart)?;
    if !cx.output.json {
        cx.output.line(group.to_string())?;
    }
    match workers(cx)? {
        0 => cx.output.note(NOBODY),
        _ => cx.output.note(format!("wait for it with `windlass wait {group}`")),
    }
    Ok(())
}

/// The command line as it was given, for a shell.
fn this_command() -> String {
    let words = std::env::args_os().skip(1).map(|it| quoted(&it.to_string_lossy()));
    std::iter::once("windlass".to_string()).chain(words).collect::<Vec<_>>().join(" ")
}

use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    ingest_report as output,
    items::path_lines,
    parameters, serve,
    submit::workers,
    wording::{count, quoted},
    work::{self, PoolArgs, Worked},
};
use crate::{
    definition::{ParameterSet, STAGES},
    engine::{Needs, check_needs},
    ingest::{
        database_path,
        follow::Follow,
        source::SourceOptions,
        sync::{self, Driver, Ended, Event, Place, SyncOptions, Synced},
    },
    model::{GroupId, Holder, HolderKind, Status},
    os::signals::Signals,
};
use clap_complete::engine::ArgValueCompleter;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// How often `--watch` checks for changes.
const LOOK: Duration = Duration::from_millis(200);

/// Read documents into a vector database, and keep it up to date
///
/// Reads new and changed files, splits them into passages and embeds them; skips unchanged files. After an
/// interruption, run the same command again to continue. With `--watch` it keeps running and follows changes. Then:
/// `windlass search "what you want to know"`.
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
    /// Keep running, and ingest again whenever something changes, until Ctrl-C
    #[arg(long, conflicts_with_all = ["dry_run", "detach", "force", "title"])]
    watch: bool,
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

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let begun = Instant::now();
        check_needs(Needs::Ingest)?;
        self.pools.pools_for_all(cx.settings()?)?;
        let mut options = self.options(cx)?;
        let engine = cx.engine()?;
        if self.title.is_some() && !options.paths.iter().any(|path| Place::of(path) == Some(Place::Stdin)) {
            return Err(Failure::usage("`--title` is for the document on stdin").hint("name `-` as the document"));
        }
        if let Some(other) = self.paths.iter().find(|it| self.watch && Place::of(it).is_some()) {
            let what = format!("`--watch` follows files and directories, and {} is neither", other.display());
            return Err(Failure::usage(what).hint("leave `--watch` out, and run the command again when that changes"));
        }
        sync::receive_all(engine, &mut options)?;
        if self.dry_run {
            let plan = sync::plan(engine, &options)?;
            return output::plan_in_full(cx, &plan);
        }
        let signals = Signals::install()?;
        let mut command = Command { args: &self, cx, signals, quiet: false };
        if self.watch {
            return self.follow(cx, &options, &mut command);
        }
        match sync::run(engine, &options, &mut command)? {
            Synced::Submitted(group) => detached(cx, group, self.no_autostart),
            Synced::Ended(ended) => self.ended(cx, &ended, begun),
        }
    }

    /// Syncs repeatedly: immediately, and after each change.
    fn follow(&self, cx: &Context, options: &SyncOptions, command: &mut Command<'_>) -> Result<()> {
        let engine = cx.engine()?;
        let now = || engine.store().clock().monotonic();
        let mut follow = Follow::new([options]);
        let mut said = None;
        loop {
            follow.hear(now());
            if now() >= follow.due(0, now()) {
                follow.begins(0);
                let begun = Instant::now();
                let synced = sync::run(engine, options, command).and_then(|synced| match synced {
                    Synced::Ended(ended) => self.followed(cx, &ended, command.quiet, begun),
                    Synced::Submitted(_) => Ok(()),
                });
                follow.ended(0, now(), synced.is_ok());
                match synced {
                    // A failure that makes the sync impossible is reported as without `--watch`.
                    Err(failure) if !command.quiet || command.signals.stop_requested() => return Err(failure),
                    Err(failure) => {
                        failure
                            .message
                            .iter()
                            .filter(|it| said.as_ref() != Some(*it))
                            .for_each(|it| cx.output.warn(it));
                        said = failure.message;
                    }
                    Ok(()) => said = None,
                }
                if !command.quiet {
                    cx.output.note("watching for changes; Ctrl-C ends it");
                }
                command.quiet = true;
            }
            let wait = follow.due(0, now()).since(now()).duration();
            if command.signals.wait(wait.clamp(Duration::from_millis(1), LOOK)) {
                return Ok(());
            }
        }
    }

    /// Prints the result of a sync if it is the first one or had work to do. Failed documents do not stop the watch.
    fn followed(&self, cx: &Context, ended: &Ended, quiet: bool, begun: Instant) -> Result<()> {
        match quiet && ended.groups.is_empty() && ended.removed == 0 {
            true => Ok(()),
            false => output::report(cx, ended, &self.search_command(cx), begun.elapsed()),
        }
    }

    fn ended(&self, cx: &Context, ended: &Ended, begun: Instant) -> Result<()> {
        let plan = &ended.plan;
        if self.detach && !plan.at_work.is_empty() {
            // The documents were submitted earlier, perhaps while no worker was running.
            serve::autostart(cx, self.no_autostart)?;
            if workers(cx)? == 0 {
                cx.output.note(NOBODY);
            }
        }
        output::report(cx, ended, &self.search_command(cx), begun.elapsed())?;
        match ended.status {
            Status::Failed => Err(Failure::quiet(Exit::WorkFailed)),
            Status::Cancelled => Err(Failure::quiet(Exit::Cancelled)),
            _ if !plan.unreadable.is_empty() || self.strict && !plan.unusable.is_empty() => {
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

    fn search_command(&self, cx: &Context) -> String {
        let db = self.db.as_ref().map(|it| format!("--db {} ", quoted(it))).unwrap_or_default();
        format!("windlass {}search {db}\"what you want to know\"", cx.home_flag())
    }
}

/// The command, as the owner of the sync.
struct Command<'a> {
    args: &'a Args,
    cx: &'a Context,
    signals: Signals,
    /// With `--watch`, after the first sync: print only what was done.
    quiet: bool,
}

impl Driver for Command<'_> {
    type Error = Failure;

    fn holder(&self) -> Holder {
        holder()
    }

    fn works(&self) -> bool {
        !self.args.detach
    }

    fn work(&mut self, group: GroupId) -> Result<Status> {
        let again = this_command();
        match work::work(self.cx, group, &self.args.pools, &self.signals, &again)? {
            Worked::Ended(end) => Ok(end.status),
            Worked::Stopped(signal) => Err(work::stopped(self.cx, group, signal, &again)?),
            Worked::Paused(reason) => Err(work::paused(self.cx, group, &reason, &again)?),
        }
    }

    fn hear(&mut self, event: Event<'_>) -> Result<()> {
        let out = &self.cx.output;
        match event {
            Event::Resumed(group) => out.note(format!("continuing {group}, which was not finished")),
            Event::Planned(plan) if self.quiet && plan.is_empty() => {}
            Event::Planned(plan) => output::plan(self.cx, plan)?,
            Event::Submitted { submitted, runs } => output::submitted(self.cx, submitted, runs)?,
            Event::Removing(documents) => out.note(format!("removing {}", count(documents as u64, "document"))),
            Event::RemovalWaits => {
                out.note("the vector database is locked: searches no longer find the documents, and they are removed when it is free")
            }
        }
        Ok(())
    }
}

/// This command as a lock holder, shown to processes that wait for the lock.
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

/// The command line as typed, quoted for a shell.
fn this_command() -> String {
    let words = std::env::args_os().skip(1).map(|it| quoted(&it.to_string_lossy()));
    std::iter::once("windlass".to_string()).chain(words).collect::<Vec<_>>().join(" ")
}

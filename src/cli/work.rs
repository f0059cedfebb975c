//! Works on one group in this process until it has ended and its hooks are done.

use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    group_end::{as_json, exit_of},
    paint::{Paint, status_paint},
    progress::Progress,
    wording::{count, cut, duration, number_of, plain},
};
use crate::{
    engine::{Ending, Engine, GroupEnd, Worker, WorkerOptions},
    model::{GroupId, Millis, Scope, Status},
    os::{signals::Signals, stderr},
    process,
    settings::Settings,
    store::{
        pause,
        read::{self, FailureKind},
    },
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How often to check whether the group is paused.
const LOOK: Duration = Duration::from_millis(200);
/// How many failures, and kinds of failures, are listed.
const FAILURES: usize = 10;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct PoolArgs {
    /// Slots of a step type, such as `parse=4`: how many of its steps run at once; `*` is every type without its own pool
    #[arg(long, value_name = "TYPE=N")]
    pool: Vec<String>,
}

impl PoolArgs {
    /// The pools of a worker: from the command line, or from the settings if it names none.
    pub fn pools(&self, settings: &Settings) -> Result<BTreeMap<String, usize>> {
        match self.pool.is_empty() {
            true => Ok(settings.pools.0.clone()),
            false => self.over(BTreeMap::new()),
        }
    }

    /// The pools of a command that works until a group has ended. Pools on the command line override those of the
    /// settings, because steps of other types must not wait for ever.
    pub fn pools_for_all(&self, settings: &Settings) -> Result<BTreeMap<String, usize>> {
        self.over(settings.pools.0.clone())
    }

    fn over(&self, mut pools: BTreeMap<String, usize>) -> Result<BTreeMap<String, usize>> {
        for text in &self.pool {
            let wrong =
                || Failure::usage(format!("`{text}` is not a pool")).hint("write `--pool parse=4 --pool '*=2'`");
            let (name, size) = text.rsplit_once('=').ok_or_else(wrong)?;
            let size: usize = size.trim().parse().map_err(|_| wrong())?;
            if name.trim().is_empty() || size > 4_096 {
                return Err(wrong());
            }
            pools.insert(name.trim().to_string(), size);
        }
        Ok(pools)
    }
}

/// `parse=4 store=1 *=2`
pub fn show_pools(pools: &BTreeMap<String, usize>) -> String {
    pools.iter().map(|(name, size)| format!("{name}={size}")).collect::<Vec<_>>().join(" ")
}

/// How work on a group ended in this process.
pub enum Worked {
    Ended(GroupEnd),
    /// By this signal.
    Stopped(i32),
    /// The group was paused, because something that it needs is unavailable.
    Paused(String),
}

/// Works on a group until it has ended, and prints the result. Returns the exit code.
pub fn until_ended(cx: &Context, group: GroupId, pools: &PoolArgs) -> Result<()> {
    let signals = Signals::install()?;
    match work(cx, group, pools, &signals, &resume_command(group))? {
        Worked::Ended(end) => report(cx, cx.engine()?, end),
        Worked::Stopped(signal) => Err(stopped(cx, group, signal, &resume_command(group))?),
        Worked::Paused(reason) => Err(paused(cx, group, &reason, &resume_command(group))?),
    }
}

/// Works on a group until it has ended or a signal arrives. `command` continues the work.
pub fn work(cx: &Context, group: GroupId, pools: &PoolArgs, signals: &Signals, command: &str) -> Result<Worked> {
    let settings = cx.settings()?;
    let engine = cx.engine()?;
    let pools = pools.pools_for_all(settings)?;
    if engine.store().read(|tx| pause::waits_for(tx, group))?.is_some() {
        engine.resume_group(group)?;
    }
    process::adopt_orphans();
    let worker = Worker::start(engine, WorkerOptions { pools, scope: Scope::Group(group) })?;
    let mut progress = Progress::new(cx, engine, group)?;
    let worked = watch(cx, &worker, signals, group, &mut progress);
    if let Ok(Worked::Stopped(_)) = worked {
        worker.drain();
        progress.still();
        cx.output.note(match worker.running() {
            0 => "stopping".to_string(),
            running => format!(
                "stopping: {} may take {} to finish; press Ctrl-C again to kill",
                count(running as u64, "running step"),
                settings.stop_timeout
            ),
        });
    }
    worker.stop(settings.stop_timeout);
    // Also counts the steps that have ended in the meantime.
    progress.finish();
    let hint = format!("continue with `{command}`");
    match worked.map_err(|failure| if failure.hint.is_none() { failure.hint(hint) } else { failure })? {
        Worked::Stopped(signal) => match engine.group_end(group)? {
            Some(end) => Ok(Worked::Ended(end)),
            None => Ok(Worked::Stopped(signal)),
        },
        ended => Ok(ended),
    }
}

fn watch(cx: &Context, worker: &Worker, signals: &Signals, group: GroupId, progress: &mut Progress) -> Result<Worked> {
    let mut broken = None;
    let mut disk_low = false;
    let (mut waits_for, mut looked) = (None, Instant::now());
    let ending = cx.engine()?.wait_for_group(group, None, || {
        if worker.is_disk_low() && !disk_low {
            disk_low = true;
            cx.warn_of_disk();
        }
        broken = broken.take().or_else(|| progress.tick().err());
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            let found = cx.store().map(|it| it.read(|tx| pause::waits_for(tx, group)));
            waits_for = found.ok().and_then(Result::ok).flatten();
        }
        waits_for.is_some() || signals.stop_requested() || worker.fatal().is_some() || broken.is_some()
    })?;
    if let Some(failure) = broken {
        return Err(failure);
    }
    if let Some(reason) = worker.fatal() {
        return Err(Failure::new(Exit::Error, format!("the worker stopped: {reason}")));
    }
    if let (Some(reason), false) = (waits_for, matches!(ending, Ending::Ended(_))) {
        return Ok(Worked::Paused(reason));
    }
    let Ending::Ended(end) = ending else {
        return Ok(Worked::Stopped(signals.stop_signal().unwrap_or(libc::SIGINT)));
    };
    // The hooks of the end are part of the work.
    while !worker.is_idle()? && worker.fatal().is_none() {
        if signals.wait(Duration::from_millis(20)) {
            break;
        }
    }
    Ok(Worked::Ended(end))
}

/// Prints how to continue after a signal. The returned failure has the signal's exit code.
pub fn stopped(cx: &Context, group: GroupId, signal: i32, command: &str) -> Result<Failure> {
    let exit = if signal == libc::SIGINT { Exit::Interrupted } else { Exit::Terminated };
    match cx.output.json {
        true => cx.output.event(&serde_json::json!({"event": "stopped", "group": group, "resume": command}))?,
        false => stderr::say(format!("{group} is not finished; continue with `{command}`")),
    }
    Ok(Failure::quiet(exit))
}

/// Prints why a group is paused and how to continue.
pub fn paused(cx: &Context, group: GroupId, reason: &str, command: &str) -> Result<Failure> {
    if cx.output.json {
        let event = serde_json::json!({"event": "paused", "group": group, "reason": reason, "resume": command});
        cx.output.event(&event)?;
        return Ok(Failure::quiet(Exit::WorkFailed));
    }
    Ok(Failure::new(Exit::WorkFailed, format!("{group} is paused: {}", plain(reason)))
        .hint(format!("a running daemon resumes it when the server is back; else continue with `{command}`")))
}

fn resume_command(group: GroupId) -> String {
    super::suggestion::command(&format!("windlass run --resume {group}"))
}

fn report(cx: &Context, engine: &Engine, end: GroupEnd) -> Result<()> {
    let group = end.group;
    let (progress, detail, worked) = engine.store().read(|tx| {
        Ok((read::progress(tx, group)?, crate::store::group::detail(tx, group)?, read::worked(tx, group)?))
    })?;
    if cx.output.json {
        let (failures, kinds) = engine
            .store()
            .read(|tx| Ok((read::failures(tx, group, None, FAILURES)?, read::failure_kinds(tx, group, FAILURES)?)))?;
        let mut event = as_json(&end);
        event["event"] = "ended".into();
        event["runs"] = progress.runs.into();
        event["failures"] = serde_json::to_value(failures).unwrap_or_default();
        event["failure_kinds"] = serde_json::to_value(kinds).unwrap_or_default();
        cx.output.event(&event)?;
        return exit_of([end.status].into_iter());
    }
    let status = cx.output.paint(status_paint(end.status), &end.status.name().to_lowercase());
    let took = took(worked, end.ended.since(detail.created));
    let done = progress.ended - progress.failed - progress.cancelled;
    let mut said = format!(
        "{group} {status}: {} of {} in {took}",
        number_of(done.max(0) as u64),
        count(progress.runs as u64, "run")
    );
    if progress.failed > 0 {
        said.push_str(&format!(", {} failed", progress.failed));
    }
    if progress.cancelled > 0 {
        said.push_str(&format!(", {} cancelled", progress.cancelled));
    }
    if !cx.output.quiet || end.status != Status::Completed {
        cx.output.line(said)?;
    }
    show_failures(cx, group)?;
    exit_of([end.status].into_iter())
}

/// The time spent on a group; if much longer, also the time since submission.
pub fn took(worked: Millis, whole: Millis) -> String {
    let idle = whole.0.saturating_sub(worked.0);
    match idle > 2_000.max(worked.0 / 10) {
        true => format!("{} of work, finished {} after submission", duration(worked), duration(whole)),
        false => duration(whole),
    }
}

/// Shows the failures of a group and the next command.
pub fn show_failures(cx: &Context, group: GroupId) -> Result<()> {
    let kinds = cx.store()?.read(|tx| read::failure_kinds(tx, group, FAILURES + 1))?;
    show_kinds(cx, group, &kinds)
}

/// One line for each kind of failure: the item if it is a single run, otherwise the number of runs.
pub fn show_kinds(cx: &Context, group: GroupId, kinds: &[FailureKind]) -> Result<()> {
    for kind in kinds.iter().take(FAILURES) {
        let item = match kind.item.is_empty() {
            true => kind.run.to_string(),
            false => cut(&plain(&item_name(&kind.item)), 60),
        };
        let (mark, reason) = (cx.output.paint(Paint::Bad, "failed"), plain(&kind.reason));
        cx.output.line(match kind.runs {
            1 => format!("  {mark}  {} {}  {item}: {reason}", kind.step, kind.name),
            runs => {
                let (all, others) = (count(runs as u64, "run"), number_of(runs as u64 - 1));
                format!("  {mark}  {}  {all}: {reason}  ({} {item}, and {others} more)", kind.name, kind.step)
            }
        })?;
    }
    if kinds.len() > FAILURES {
        cx.output.advice(format!("  and more: `windlass list runs --group {group} --status failed`"))?;
    }
    if let Some(first) = kinds.first() {
        cx.output.note(format!(
            "why: `windlass why {0}`; its output: `windlass logs {0}`; retry: `windlass retry {group}`",
            first.step
        ));
    }
    Ok(())
}

/// An item on one line. For an object, its most informative field.
pub fn item_name(item: &str) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(item) else { return item.to_string() };
    let telling = ["name", "uri", "url", "id", "path", "title"].iter().find_map(|it| fields.get(*it)?.as_str());
    telling.map_or_else(|| item.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_work_is_told_apart_where_it_matters() {
        for (worked, whole, text) in [
            (800, 866, "866 ms"),
            (0, 1_900, "1.9 s"),
            (866, 200_000, "866 ms of work, finished 3 m 20 s after submission"),
            (100_000, 109_000, "1 m 49 s"),
            (100_000, 120_000, "1 m 40 s of work, finished 2 m after submission"),
        ] {
            assert_eq!(took(Millis(worked), Millis(whole)), text);
        }
    }
}

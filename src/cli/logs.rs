use super::{
    complete,
    context::Context,
    failure::{Failure, Result},
    name::Name,
    paint::Paint,
    wording::{count, cut, duration, plain, plain_lines, size},
    work::item_name,
};
use crate::{
    engine::WorkDir,
    model::{RunId, Status, StepId, Token},
    os::signals::Signals,
    process::live,
    store::{
        attempt::{self, Attempt},
        read::{self, RunFilter, StepRow},
    },
    view::{self, LogText},
};
use clap_complete::engine::ArgValueCompleter;
use regex::Regex;
use std::{collections::HashMap, time::Duration};

/// Show the output of a step, a run or a group; oldest attempt first
///
/// windlass keeps the newest part of each stream. Each attempt has a heading with its times and outcome; a single attempt in
/// a pipe has none, and `--quiet` omits all headings.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Such as s56, r34 or g12; a bare number is a step
    #[arg(value_name = "ID", value_parser = step_or_name, add = ArgValueCompleter::new(complete::work))]
    id: Name,
    /// Follow the output until the step has ended
    #[arg(short, long, conflicts_with_all = ["failed", "grep"])]
    follow: bool,
    /// Only this stream: stdout or stderr
    #[arg(long, value_name = "NAME", value_parser = ["stdout", "stderr"])]
    stream: Option<String>,
    /// Only failed steps
    #[arg(long)]
    failed: bool,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "PATTERN")]
    grep: Option<Regex>,
}

const LOOK: Duration = Duration::from_millis(100);
/// How many runs are read at once.
const RUNS: usize = 200;
/// The width of an item in a heading, in columns.
const ITEM: usize = 60;

fn step_or_name(text: &str) -> Result<Name, String> {
    match text.starts_with(|it: char| it.is_ascii_digit()) {
        true => text.parse().map(Name::Step),
        false => text.parse(),
    }
}

/// How much of each stream of each attempt was already shown, in bytes.
type Shown = HashMap<(Token, &'static str), u64>;

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let mut printer = Printer {
            cx,
            args: &self,
            headings: self.id_is_many(),
            headed: None,
            at_start: true,
            any: false,
            from_cache: None,
        };
        match self.id {
            Name::Step(id) if self.follow => return printer.follow(id),
            _ if self.follow => {
                return Err(Failure::usage("only one step can be followed").hint("name a step, such as s56"));
            }
            Name::Step(id) => {
                let run = cx.store()?.read(|tx| read::run_of_step(tx, id))?;
                let details = cx.store()?.read(|tx| read::show_run(tx, run))?;
                let steps: Vec<&StepRow> = details.steps.iter().filter(|it| it.id == id).collect();
                if let Some(cached) = steps.first().filter(|it| it.cached) {
                    return printer.cached(cached.id);
                }
                printer.steps(&steps, &details.run.item)?;
            }
            Name::Run(id) => printer.run(id)?,
            Name::Group(id) => {
                // Fails if the group does not exist.
                cx.store()?.read(|tx| crate::store::group::detail(tx, id))?;
                let mut after = None;
                loop {
                    let runs = cx.store()?.read(|tx| {
                        let filter = RunFilter { status: None, after, limit: RUNS };
                        match self.failed {
                            true => read::runs_with_steps(tx, id, Status::Failed, after, RUNS)
                                .map(Option::unwrap_or_default),
                            false => read::runs(tx, id, &filter),
                        }
                    })?;
                    for run in &runs {
                        printer.run(run.id)?;
                    }
                    match runs.last().filter(|_| runs.len() == RUNS) {
                        Some(last) => after = Some(last.id),
                        None => break,
                    }
                }
            }
            Name::Worker(_) => return Err(self.id.refused("show the output of", "name a step, a run or a group")),
        }
        if let Some((first, steps)) = printer.from_cache {
            cx.output.note(from_cache(first, steps));
        }
        if !printer.any && printer.from_cache.is_none() {
            cx.output.note(match (&self.grep, self.failed) {
                (Some(_), _) => format!("no matching line in {}", self.id),
                (None, true) => format!("no step of {} failed with output", self.id),
                (None, false) => format!("{0} printed nothing, or has not run yet; see `windlass show {0}`", self.id),
            });
        }
        Ok(())
    }

    fn id_is_many(&self) -> bool {
        matches!(self.id, Name::Group(_) | Name::Run(_))
    }
}

fn from_cache(first: StepId, steps: u64) -> String {
    let (all, are) = (count(steps, "step"), if steps == 1 { "is" } else { "are" });
    format!("{all} {are} from the cache and printed nothing; `windlass logs {first}` shows what made the result")
}

/// Prints logs with headings.
struct Printer<'a> {
    cx: &'a Context,
    args: &'a Args,
    /// Print a heading even for a single attempt in a pipe.
    headings: bool,
    /// The attempt of the last heading.
    headed: Option<(StepId, Token)>,
    /// Whether the last line was complete.
    at_start: bool,
    any: bool,
    /// The first step whose result came from the cache, and the number of such steps.
    from_cache: Option<(StepId, u64)>,
}

impl Printer<'_> {
    fn run(&mut self, id: RunId) -> Result<()> {
        let details = self.cx.store()?.read(|tx| read::show_run(tx, id))?;
        for step in details.steps.iter().filter(|it| it.cached) {
            self.from_cache = self.from_cache.map(|(first, steps)| (first, steps + 1)).or(Some((step.id, 1)));
        }
        let steps: Vec<&StepRow> = details.steps.iter().filter(|it| it.attempts > 0 || it.started.is_some()).collect();
        self.steps(&steps, &details.run.item)
    }

    fn steps(&mut self, steps: &[&StepRow], item: &str) -> Result<()> {
        for step in steps.iter().filter(|it| !self.args.failed || it.status == Status::Failed) {
            let logs = view::logs_until_now(self.cx.engine()?, step.id, Token(0))?.logs;
            let attempts = self.cx.store()?.read(|tx| attempt::of_step(tx, step.id))?;
            self.headings |= attempts.len() > 1;
            for log in logs {
                self.show(step, item, &attempts, log, 0)?;
            }
        }
        Ok(())
    }

    /// A step whose result came from the cache printed nothing. Shows the output of the step that produced the result.
    fn cached(&mut self, id: StepId) -> Result<()> {
        let store = self.cx.store()?;
        let Some(origin) = store.read(|tx| read::cached_from(tx, id))? else {
            let gone = "the step that made it has been pruned";
            self.cx.output.note(format!("{id} is from the cache, and {gone}; see `windlass show {id}`"));
            return Ok(());
        };
        self.cx.output.note(format!("{id} is from the cache: this is the output of {origin}"));
        let run = store.read(|tx| read::run_of_step(tx, origin))?;
        let details = store.read(|tx| read::show_run(tx, run))?;
        let steps: Vec<&StepRow> = details.steps.iter().filter(|it| it.id == origin).collect();
        self.steps(&steps, &details.run.item)?;
        if !self.any {
            self.cx.output.note(format!("{origin} printed nothing; see `windlass show {origin}`"));
        }
        Ok(())
    }

    /// Shows the output of a step while it runs, until it ends.
    fn follow(&mut self, id: StepId) -> Result<()> {
        let (cx, store) = (self.cx, self.cx.store()?);
        let signals = Signals::install()?;
        let mut shown = Shown::new();
        let watch = store.watch()?;
        let mut seen = None;
        loop {
            let version = watch.version()?;
            let mut ended = false;
            if seen != Some(version) {
                seen = Some(version);
                ended = store.read(|tx| read::status_of_step(tx, id))?.is_terminal();
                for log in view::logs(store, id, Token(0))?.logs {
                    self.show_new(&mut shown, log)?;
                }
            }
            if ended {
                break;
            }
            self.show_running(&mut shown, id)?;
            if signals.wait(LOOK) {
                return Ok(());
            }
        }
        if shown.is_empty() && store.read(|tx| read::show_step(tx, id))?.step.cached {
            return self.cached(id);
        }
        if shown.is_empty() {
            cx.output.note(format!("{id} printed nothing; see `windlass show {id}`"));
        }
        Ok(())
    }

    /// Shows the new output of an attempt that is running on this machine.
    fn show_running(&mut self, shown: &mut Shown, step: StepId) -> Result<()> {
        for (token, dir) in WorkDir::of_step(self.cx.engine()?.home(), step) {
            for (number, stream) in [(1, "stdout"), (2, "stderr")] {
                let position = shown.get(&(token, stream)).copied().unwrap_or(0);
                let Some((from, mut body)) = live::read_from(&dir, number, position) else { continue };
                // The remaining bytes of a character come with the next read.
                if let Err(error) = std::str::from_utf8(&body)
                    && error.error_len().is_none()
                    && error.valid_up_to() > 0
                {
                    body.truncate(error.valid_up_to());
                }
                let log = view::log_of(self.cx.store()?, step, token, stream)?;
                self.show_new(shown, log.with(from + body.len() as u64, body))?;
            }
        }
        Ok(())
    }

    /// Shows the part of a log that has not been shown yet.
    fn show_new(&mut self, shown: &mut Shown, mut log: LogText) -> Result<()> {
        if self.args.stream.as_deref().is_some_and(|it| it != log.stream) {
            return Ok(());
        }
        let position = shown.insert((log.token, log.stream), log.total);
        if position == Some(log.total) {
            return Ok(());
        }
        let (first, before) = (log.total.saturating_sub(log.body.len() as u64), position.unwrap_or(0));
        if before > first {
            log.body.drain(..((before - first) as usize).min(log.body.len()));
            log.text = String::from_utf8_lossy(&log.body).into_owned();
        }
        let details = self.cx.store()?.read(|tx| read::show_run(tx, log.run))?;
        let Some(step) = details.steps.iter().find(|it| it.id == log.step) else { return Ok(()) };
        let attempts = self.cx.store()?.read(|tx| attempt::of_step(tx, log.step))?;
        self.show(step, &details.run.item, &attempts, log, before)
    }

    /// `before`: the bytes of the stream that were already shown.
    fn show(&mut self, step: &StepRow, item: &str, attempts: &[Attempt], mut log: LogText, before: u64) -> Result<()> {
        if self.args.stream.as_deref().is_some_and(|it| it != log.stream) {
            return Ok(());
        }
        if let Some(pattern) = &self.args.grep {
            let lines = log.text.lines().filter(|it| pattern.is_match(it));
            log.text = lines.map(|it| format!("{it}\n")).collect();
            log.body = log.text.clone().into_bytes();
            if log.text.is_empty() {
                return Ok(());
            }
        }
        self.any = true;
        let out = &self.cx.output;
        if out.json {
            return out.event(&log);
        }
        let heading = (self.headings || out.width.is_some()) && !out.quiet;
        if heading && self.headed != Some((log.step, log.token)) {
            self.headed = Some((log.step, log.token));
            if !self.at_start {
                out.line("")?;
            }
            out.line(out.paint(Paint::Bold, &self.heading(step, item, attempts, &log)))?;
            self.at_start = true;
        }
        let missing = log.total.saturating_sub(log.body.len() as u64).saturating_sub(before);
        if missing > 0 && self.args.grep.is_none() {
            out.note(format!("({} of {} before this were not kept)", size(missing), log.stream));
        }
        self.at_start = log.body.last().is_none_or(|it| *it == b'\n');
        match out.width {
            // The output of a step must not be able to control the terminal.
            Some(_) => out.bytes(plain_lines(&log.text).as_bytes()),
            None => out.bytes(&log.body),
        }
    }

    /// `== s56 check, attempt 2 on w7, 3 m ago, 1.2 s, data.csv: failed: exit code 1: no rows ==`
    fn heading(&self, step: &StepRow, item: &str, attempts: &[Attempt], log: &LogText) -> String {
        let found = attempts.iter().find(|it| it.token == log.token);
        let mut text = format!("== {} {}, attempt {}", step.id, plain(&step.name), log.attempt);
        if let Some(it) = found {
            let took = duration(it.ended.unwrap_or(self.cx.now()).since(it.started));
            text.push_str(&format!(" on {}, {}, {took}", it.worker, self.cx.when(it.started)));
        }
        if !item.is_empty() {
            text.push_str(&format!(", {}", cut(&plain(&item_name(item)), ITEM)));
        }
        let outcome = found.and_then(|it| it.outcome).unwrap_or("running");
        let reason = found.and_then(|it| it.detail.as_ref()).and_then(|it| attempt::reason(&it.to_string()));
        // Some reasons begin with the outcome, and a success has nothing to add.
        match reason.filter(|_| outcome != "succeeded") {
            Some(reason) if reason.starts_with(outcome) => format!("{text}: {} ==", plain(&reason)),
            Some(reason) => format!("{text}: {outcome}: {} ==", plain(&reason)),
            None => format!("{text}: {outcome} =="),
        }
    }
}

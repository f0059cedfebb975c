//! The progress of a group: moving bars on a terminal, plain lines otherwise, events with `--json`.

use super::{
    context::Context,
    failure::Result,
    output::{Output, stderr_size},
    wording::{count, cut, duration, number_of, plain, width},
};
use crate::{
    engine::Engine,
    model::{GroupId, Millis},
    os::stderr,
    store::read::{self, Tally},
    view,
};
use std::time::{Duration, Instant};

/// If there are more stages than this, one bar shows them all.
const BARS: usize = 8;
/// The width of a bar, and the space between its parts, in columns.
const LONGEST: usize = 30;
const SHORTEST: usize = 5;
const GAP: usize = 2;
/// The columns reserved for a name that needs them.
const NAME: usize = 8;
const LIVELY: Duration = Duration::from_millis(150);
const EVENTS: Duration = Duration::from_secs(1);
const LINES: Duration = Duration::from_secs(5);
/// Reading progress takes at most 1/20 of the time.
const SHARE: u32 = 20;

pub struct Progress<'a> {
    engine: &'a Engine,
    group: GroupId,
    output: Output,
    look: Look,
    next: Instant,
    last: Option<(read::Progress, Option<String>)>,
    /// Deferred steps of the group, in words, and when to look for them again.
    no_room: Option<String>,
    /// A step of the group that waits for an approval, in words.
    question: Option<String>,
    look_for_room: Instant,
}

enum Look {
    Bars { tally: Tally, stages: Vec<Stage> },
    Events,
    Lines,
    Silent,
}

impl<'a> Progress<'a> {
    pub fn new(cx: &Context, engine: &'a Engine, group: GroupId) -> Result<Progress<'a>> {
        let output = cx.output;
        let look = match output {
            Output { json: true, .. } => Look::Events,
            Output { quiet: true, .. } => Look::Silent,
            Output { lively: true, .. } => {
                let tally = engine.store().read(|tx| Tally::begin(tx, group))?;
                let total = engine.store().read(|tx| read::progress(tx, group))?.runs;
                let most = BARS.min(stderr_size().0.saturating_sub(3));
                let stages = stages(&tally, total, most);
                Look::Bars { tally, stages }
            }
            _ => Look::Lines,
        };
        let next = match look {
            Look::Lines => Instant::now() + LINES,
            _ => Instant::now(),
        };
        Ok(Progress::looking(engine, group, output, look, next))
    }

    fn looking(engine: &'a Engine, group: GroupId, output: Output, look: Look, next: Instant) -> Progress<'a> {
        let look_for_room = Instant::now() + EVENTS;
        Progress { engine, group, output, look, next, last: None, no_room: None, question: None, look_for_room }
    }

    /// Shows bars on a terminal, and nothing elsewhere.
    pub fn on_terminal(cx: &Context, engine: &'a Engine, group: GroupId) -> Result<Progress<'a>> {
        match cx.output.lively && !cx.output.quiet {
            true => Progress::new(cx, engine, group),
            false => Ok(Progress::looking(engine, group, cx.output, Look::Silent, Instant::now())),
        }
    }

    /// To be called often. It reads and prints only when due.
    pub fn tick(&mut self) -> Result<()> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        if now >= self.look_for_room && !matches!(self.look, Look::Silent) {
            self.no_room = view::waits_for_room(self.engine.store(), Some(self.group))?.map(|it| it.0);
            self.question = view::question(self.engine.store(), self.group)?;
            self.look_for_room = Instant::now() + EVENTS;
        }
        let pause = match &mut self.look {
            Look::Silent => return Ok(()),
            Look::Bars { tally, stages } => {
                self.engine.store().read(|tx| tally.advance(tx))?;
                count_in(tally, stages);
                draw(stages, self.no_room.as_deref().or(self.question.as_deref()), now, false);
                LIVELY
            }
            Look::Events => {
                self.tell(|group, it, no_room| {
                    serde_json::json!({
                        "event": "progress", "group": group, "runs": it.runs, "ended": it.ended, "failed": it.failed,
                        "cancelled": it.cancelled, "running": it.running, "no_room": no_room,
                    })
                    .to_string()
                })?;
                EVENTS
            }
            Look::Lines => {
                self.tell(|group, it, no_room| {
                    let failed = if it.failed > 0 { format!(", {} failed", it.failed) } else { String::new() };
                    let runs = count(it.runs.max(0) as u64, "run");
                    let steps = count(it.running.max(0) as u64, "step");
                    let no_room = no_room.map(|it| format!("; {}", plain(it))).unwrap_or_default();
                    format!("{group}: {} of {runs} ended{failed}, {steps} running{no_room}", it.ended)
                })?;
                LINES
            }
        };
        self.next = Instant::now() + pause.max(now.elapsed() * SHARE);
        Ok(())
    }

    fn tell(&mut self, words: impl Fn(GroupId, &read::Progress, Option<&str>) -> String) -> Result<()> {
        let group = self.group;
        let below = match self.look {
            Look::Events => self.no_room.clone(),
            _ => self.no_room.clone().or(self.question.clone()),
        };
        let seen = (self.engine.store().read(|tx| read::progress(tx, group))?, below);
        if self.last.as_ref() != Some(&seen) {
            let said = words(group, &seen.0, seen.1.as_deref());
            self.last = Some(seen);
            match self.look {
                Look::Events => self.output.flushed(said)?,
                _ => self.output.note(said),
            }
        }
        Ok(())
    }

    /// Stops showing times, because there is nothing left to wait for.
    pub fn still(&mut self) {
        if let Look::Bars { stages, .. } = &self.look {
            draw(stages, None, Instant::now(), true);
        }
    }

    /// Shows the final state and leaves the bars on the screen.
    pub fn finish(&mut self) {
        if let Look::Bars { tally, stages } = &mut self.look {
            if self.engine.store().read(|tx| tally.advance(tx)).is_ok() {
                count_in(tally, stages);
            }
            draw(stages, None, Instant::now(), true);
            stderr::leave();
            self.look = Look::Silent;
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// One stage: how much of it is done, and since when this process has watched it.
struct Stage {
    name: String,
    total: i64,
    begun: Instant,
    /// What was already done at the first look. It says nothing about the speed.
    before: i64,
    done: i64,
    failed: i64,
}

/// One stage for each step of the workflow, or a single one if there are too many.
fn stages(tally: &Tally, runs: i64, most: usize) -> Vec<Stage> {
    let begun = Instant::now();
    let stage = |name: &str, total: i64| Stage { name: name.to_string(), total, begun, before: 0, done: 0, failed: 0 };
    let mut stages: Vec<Stage> = match tally.steps.len() <= most {
        true => tally.steps.iter().map(|it| stage(&it.name, runs)).collect(),
        false => vec![stage("steps", runs * tally.steps.len() as i64)],
    };
    count_in(tally, &mut stages);
    stages.iter_mut().for_each(|it| it.before = it.done);
    stages
}

fn count_in(tally: &Tally, stages: &mut [Stage]) {
    if stages.len() == tally.steps.len() {
        for (step, stage) in tally.steps.iter().zip(stages) {
            (stage.done, stage.failed) = (step.completed + step.skipped + step.failed, step.failed);
        }
    } else if let Some(stage) = stages.first_mut() {
        let sum = |part: fn(&read::StepTally) -> i64| tally.steps.iter().map(part).sum::<i64>();
        stage.failed = sum(|it| it.failed);
        stage.done = sum(|it| it.completed + it.skipped) + stage.failed;
    }
}

fn draw(stages: &[Stage], below: Option<&str>, now: Instant, ended: bool) {
    let columns = stderr_size().1;
    let widest = stages.iter().map(|it| width(&it.name)).max().unwrap_or(0);
    let bars = stages.iter().map(|it| it.line(widest, columns, now.duration_since(it.begun), ended));
    let below = below.map(|it| cut(&plain(it), columns.saturating_sub(1)));
    stderr::draw(bars.chain(below).collect());
}

impl Stage {
    /// `parse  ██████░░░░  1,204/5,000  3 m 20 s left  12/s  2 failed`, in less than `columns`. If it does not fit, the
    /// bar goes first, then the end of the name, then the rest from the right.
    fn line(&self, widest: usize, columns: usize, took: Duration, ended: bool) -> String {
        let mut tail = vec![format!("{}/{}", number_of(self.done.max(0) as u64), number_of(self.total.max(0) as u64))];
        if self.failed > 0 {
            tail.push(format!("{} failed", number_of(self.failed as u64)));
        }
        // Only work done while watching predicts the remaining time.
        let (here, rest) = (self.done - self.before, self.total - self.done);
        if !ended && here > 0 && rest > 0 && took > Duration::ZERO {
            let left = took.as_secs_f64() / here as f64 * rest as f64;
            tail.push(format!("{} left", duration(Millis::seconds(left.ceil().max(1.0) as u64))));
            let pace = format!("{:.0}/s", here as f64 / took.as_secs_f64());
            tail.extend(Some(pace).filter(|it| it != "0/s"));
        }
        // The last column stays free, because some terminals wrap there.
        let room = columns.saturating_sub(1);
        let least = widest.min(NAME);
        while tail.len() > 1 && least + GAP + width(&tail.join("  ")) > room {
            tail.pop();
        }
        let tail = tail.join("  ");
        let named = widest.min((room / 3).max(least));
        let name = cut(&plain(&self.name), named);
        let name = format!("{name}{}", " ".repeat(named.saturating_sub(width(&name))));
        let bar = room.saturating_sub(named + width(&tail) + 2 * GAP).min(LONGEST);
        let line = match bar < SHORTEST {
            true => format!("{name}  {tail}"),
            false => {
                let full =
                    (self.done.max(0) as u128 * bar as u128 / self.total.max(1) as u128).min(bar as u128) as usize;
                format!("{name}  {}{}  {tail}", "█".repeat(full), "░".repeat(bar - full))
            }
        };
        cut(&line, room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(before: i64, done: i64) -> Stage {
        Stage { name: "fetch-everything".into(), total: 5_000, begun: Instant::now(), before, done, failed: 0 }
    }

    #[test]
    fn a_line_fits_whatever_the_width_is() {
        let stage = Stage { failed: 12, ..stage(0, 1_234) };
        for columns in 0..200 {
            let line = stage.line(20, columns, Duration::from_secs(100), false);
            assert!(width(&line) < columns.max(1), "{columns}: {line}");
        }
        let line = |columns| stage.line(16, columns, Duration::from_secs(100), false);
        assert_eq!(
            line(100),
            "fetch-everything  ███████░░░░░░░░░░░░░░░░░░░░░░░  1,234/5,000  12 failed  5 m 6 s left  12/s"
        );
        assert_eq!(line(40), "fetch-everyt…  1,234/5,000  12 failed");
        assert_eq!(line(24), "fetch-e…  1,234/5,000");
    }

    #[test]
    fn the_time_left_follows_from_what_was_done_here() {
        let left = |before, done, seconds| {
            let line = stage(before, done).line(5, 100, Duration::from_secs(seconds), false);
            line.split("  ").find(|it| it.ends_with("left")).map(str::to_string)
        };
        assert_eq!(left(4_000, 4_100, 10).as_deref(), Some("1 m 30 s left"), "100 in 10 s, and 900 are left");
        assert_eq!(left(0, 4_100, 10).as_deref(), Some("3.0 s left"));
        assert_eq!(left(4_000, 4_000, 10), None, "nothing was done yet");
        assert_eq!(left(4_000, 5_000, 10), None, "nothing is left");
        assert!(!stage(0, 10).line(5, 100, Duration::from_secs(1), true).contains("left"), "it has ended");
    }
}

//! How far a group is: moving bars on a terminal, plain lines otherwise, events with `--json`.

use super::{context::Context, failure::Result, output::Output, wording::count};
use crate::{
    engine::Engine,
    model::GroupId,
    store::overview::{self, Tally},
};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// More stages than these share one bar.
const BARS: usize = 8;
const LIVELY: Duration = Duration::from_millis(150);
const EVENTS: Duration = Duration::from_secs(1);
const LINES: Duration = Duration::from_secs(5);
/// Looking takes at most one part in this many of the time.
const SHARE: u32 = 20;

pub struct Progress<'a> {
    engine: &'a Engine,
    group: GroupId,
    output: Output,
    look: Look,
    next: Instant,
    last: Option<overview::Progress>,
}

enum Look {
    Bars { tally: Tally, bars: Vec<ProgressBar>, all: MultiProgress },
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
                let total = engine.store().read(|tx| overview::progress(tx, group))?.runs;
                let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
                let bars = bars(&tally, total.max(0) as u64, &all);
                Look::Bars { tally, bars, all }
            }
            _ => Look::Lines,
        };
        let next = match look {
            Look::Lines => Instant::now() + LINES,
            _ => Instant::now(),
        };
        Ok(Progress { engine, group, output, look, next, last: None })
    }

    /// To be called often; looks and tells only when it is time.
    pub fn tick(&mut self) -> Result<()> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        let pause = match &mut self.look {
            Look::Silent => return Ok(()),
            Look::Bars { tally, bars, .. } => {
                self.engine.store().read(|tx| tally.advance(tx))?;
                show(tally, bars);
                LIVELY
            }
            Look::Events => {
                self.tell(|group, it| {
                    serde_json::json!({
                        "event": "progress", "group": group, "runs": it.runs, "ended": it.ended, "failed": it.failed,
                        "cancelled": it.cancelled, "running": it.running,
                    })
                    .to_string()
                })?;
                EVENTS
            }
            Look::Lines => {
                self.tell(|group, it| {
                    let failed = if it.failed > 0 { format!(", {} failed", it.failed) } else { String::new() };
                    let runs = count(it.runs.max(0) as u64, "run");
                    format!(
                        "{group}: {} of {runs} ended{failed}, {} running",
                        it.ended,
                        count(it.running.max(0) as u64, "step")
                    )
                })?;
                LINES
            }
        };
        self.next = Instant::now() + pause.max(now.elapsed() * SHARE);
        Ok(())
    }

    fn tell(&mut self, words: impl Fn(GroupId, &overview::Progress) -> String) -> Result<()> {
        let group = self.group;
        let seen = self.engine.store().read(|tx| overview::progress(tx, group))?;
        if self.last != Some(seen) {
            self.last = Some(seen);
            match self.look {
                Look::Events => self.output.flushed(words(group, &seen))?,
                _ => self.output.note(words(group, &seen)),
            }
        }
        Ok(())
    }

    /// Shows the last state once more and leaves the bars standing.
    pub fn finish(&mut self) {
        if let Look::Bars { tally, bars, all } = &mut self.look {
            if self.engine.store().read(|tx| tally.advance(tx)).is_ok() {
                show(tally, bars);
            }
            bars.iter().for_each(|it| it.abandon());
            let _ = all.clear();
        }
    }
}

fn bars(tally: &Tally, runs: u64, all: &MultiProgress) -> Vec<ProgressBar> {
    let names: Vec<String> = match tally.steps.len() {
        0..=BARS => tally.steps.iter().map(|it| it.name.clone()).collect(),
        _ => vec!["steps".to_string()],
    };
    let total = if names.len() == tally.steps.len() { runs } else { runs * tally.steps.len() as u64 };
    let widest = names.iter().map(|it| it.chars().count()).max().unwrap_or(0);
    // The template is ours and constant: if it can't be read the plain bar does.
    let style = ProgressStyle::with_template("{prefix} {bar:30} {human_pos}/{human_len}  {per_sec}  {eta} left{msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = |name: &String| {
        let bar = all.add(ProgressBar::new(total).with_style(style.clone()));
        bar.set_prefix(format!("{name:widest$}"));
        bar
    };
    names.iter().map(bar).collect()
}

fn show(tally: &Tally, bars: &[ProgressBar]) {
    let set = |bar: &ProgressBar, completed: i64, failed: i64| {
        bar.set_position((completed + failed).max(0) as u64);
        if failed > 0 {
            bar.set_message(format!("  {failed} failed"));
        }
    };
    if bars.len() == tally.steps.len() {
        tally.steps.iter().zip(bars).for_each(|(step, bar)| set(bar, step.completed, step.failed));
    } else if let Some(bar) = bars.first() {
        let sum = |part: fn(&overview::StepTally) -> i64| tally.steps.iter().map(part).sum();
        set(bar, sum(|it| it.completed), sum(|it| it.failed));
    }
}

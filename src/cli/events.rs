use super::{context::Context, failure::Result, paint::Paint, wording::plain};
use crate::{
    model::{Event, EventKind, GroupId},
    os::signals::Signals,
    store::event::{self, Cursor},
    view,
};
use clap_complete::engine::ArgValueCompleter;
use std::time::Duration;

/// Show events, oldest first
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Follow new events until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only events of this group
    #[arg(long, value_name = "GROUP", add = ArgValueCompleter::new(super::complete::groups))]
    group: Option<GroupId>,
    /// Number of the newest events to show first
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    lines: usize,
    /// Start after this event: the `cursor` from JSON output
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

/// How many transactions are read at once.
const BATCHES: usize = 1_000;
const LOOK: Duration = Duration::from_millis(100);

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let store = cx.store()?;
        let signals = if self.follow { Some(Signals::install()?) } else { None };
        let (mut cursor, begin) = match &self.after {
            Some(text) => (view::read_cursor(text)?, Vec::new()),
            None => self.newest(cx)?,
        };
        for (at, event) in &begin {
            show(cx, *at, event)?;
        }
        let watch = store.watch()?;
        let mut seen = None;
        loop {
            let version = watch.version()?;
            if seen != Some(version) {
                seen = Some(version);
                loop {
                    let found = store.read(|tx| event::after(tx, cursor, BATCHES))?;
                    let Some((last, _)) = found.last() else { break };
                    cursor = *last;
                    for (at, event) in found.iter().filter(|(_, it)| self.wants(it)) {
                        show(cx, *at, event)?;
                    }
                }
            }
            match &signals {
                Some(signals) if !signals.wait(LOOK) => (),
                _ => return Ok(()),
            }
        }
    }

    fn wants(&self, event: &Event) -> bool {
        self.group.is_none_or(|it| event.group == Some(it))
    }

    /// The newest matching events, and the cursor after them.
    fn newest(&self, cx: &Context) -> Result<(Cursor, Vec<(Cursor, Event)>)> {
        let store = cx.store()?;
        let end = store.read(event::newest)?;
        let mut kept: Vec<(Cursor, Event)> = Vec::new();
        // Each transaction has at least one event, so the newest N events are in the newest N transactions. The events
        // of one group can be anywhere.
        let from = if self.group.is_some() { 0 } else { end.seq - self.lines as i64 };
        let mut cursor = Cursor { seq: from.max(0), index: 0 };
        loop {
            let found = store.read(|tx| event::after(tx, cursor, BATCHES))?;
            let Some((last, _)) = found.last() else { break };
            cursor = *last;
            kept.extend(found.into_iter().filter(|(_, it)| self.wants(it)));
            let surplus = kept.len().saturating_sub(self.lines);
            kept.drain(..surplus);
        }
        Ok((cursor.max(end), kept))
    }
}

fn show(cx: &Context, cursor: Cursor, event: &Event) -> Result<()> {
    if cx.output.json {
        return cx.output.event(&view::event_view(cursor, event));
    }
    let kind = event.kind.name().to_uppercase();
    let paint = match event.kind {
        EventKind::StepFailed | EventKind::ItemFailed | EventKind::HookFailed | EventKind::ScheduleMissed => Paint::Bad,
        EventKind::StepError
        | EventKind::StepReaped
        | EventKind::LockForced
        | EventKind::DatabaseDeleted
        | EventKind::Cancel => Paint::Warn,
        EventKind::GroupEnd
        | EventKind::ItemEnd
        | EventKind::StepEnd
        | EventKind::HookEnd
        | EventKind::ScheduleFired => Paint::Good,
        _ => Paint::Dim,
    };
    let names =
        [event.group.map(|it| it.to_string()), event.run.map(|it| it.to_string()), event.step.map(|it| it.to_string())];
    let names: Vec<String> = names.into_iter().flatten().collect();
    let when = cx.when(event.at);
    cx.output.flushed(
        format!(
            "{when:<10}  {}  {}  {}",
            cx.output.paint(paint, &format!("{kind:<16}")),
            names.join(" "),
            plain(&event.detail)
        )
        .trim_end(),
    )
}

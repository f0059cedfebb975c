use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    group_end::{as_json, exit_of},
    paint::status_paint,
    progress::Progress,
    submit::workers,
    work::show_failures,
};
use crate::{
    engine::Ending,
    model::{GroupId, Millis},
};
use clap_complete::engine::ArgValueCompleter;
use std::time::Instant;

/// Wait until groups have ended, whichever process runs them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The groups, such as g12
    #[arg(required = true, value_name = "GROUP", add = ArgValueCompleter::new(super::complete::open_groups))]
    groups: Vec<GroupId>,
    /// Give up after this time, such as 10m
    #[arg(long, value_name = "TIME")]
    timeout: Option<Millis>,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let engine = cx.engine()?;
        let deadline = self.timeout.and_then(|it| Instant::now().checked_add(it.duration()));
        let mut ends = Vec::new();
        for &group in &self.groups {
            if engine.group_end(group)?.is_none() && workers(cx)? == 0 {
                cx.output.note("no worker is running: start one with `windlass worker`");
            }
            let mut progress = Progress::on_terminal(cx, engine, group)?;
            let mut broken = None;
            let ending = engine.wait_for_group(group, deadline, || {
                broken = progress.tick().err();
                broken.is_some()
            })?;
            progress.finish();
            if let Some(failure) = broken {
                return Err(failure);
            }
            match ending {
                Ending::Ended(end) => ends.push(end),
                Ending::TimedOut | Ending::GaveUp => {
                    let after = self.timeout.unwrap_or_default();
                    return Err(Failure::new(Exit::TimedOut, format!("{group} has not ended after {after}"))
                        .hint(format!("see `windlass show {group}`")));
                }
            }
        }
        if cx.output.json {
            let all: Vec<_> = ends.iter().map(as_json).collect();
            cx.output.document(&serde_json::json!({"groups": all}))?;
        } else {
            for end in &ends {
                let status = cx.output.paint(status_paint(end.status), end.status.name());
                cx.output.line(format!("{} {status}", end.group))?;
                show_failures(cx, end.group)?;
            }
        }
        exit_of(ends.iter().map(|it| it.status))
    }
}

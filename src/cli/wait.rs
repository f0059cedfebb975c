use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    progress::Progress,
    submit::workers,
    table::status_paint,
    work::show_failures,
};
use crate::{
    engine::{Ending, GroupEnd},
    model::{GroupId, Millis, Status},
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

pub fn as_json(end: &GroupEnd) -> serde_json::Value {
    serde_json::json!({
        "group": end.group, "status": end.status, "failed": end.failed, "cancelled": end.cancelled, "ended": end.ended,
    })
}

/// The exit code for groups with these statuses: failed outranks cancelled, which outranks completed.
pub fn exit_of(statuses: impl Iterator<Item = Status>) -> Result<()> {
    match statuses.max_by_key(|it| (*it == Status::Failed, *it == Status::Cancelled)) {
        Some(Status::Failed) => Err(Failure::quiet(Exit::WorkFailed)),
        Some(Status::Cancelled) => Err(Failure::quiet(Exit::Cancelled)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_end_gives_the_exit_code() {
        use Status::*;
        assert!(exit_of([Completed, Completed].into_iter()).is_ok());
        assert_eq!(exit_of([Completed, Cancelled].into_iter()).unwrap_err().exit, Exit::Cancelled);
        assert_eq!(exit_of([Failed, Cancelled, Completed].into_iter()).unwrap_err().exit, Exit::WorkFailed);
    }
}

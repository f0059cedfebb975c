use super::{
    context::Context,
    failure::Result,
    wording::{plain_lines, size},
};
use crate::{
    model::{StepId, Token},
    os::signals::Signals,
    store::overview,
    view::{self, LogText},
};
use std::{collections::HashSet, time::Duration};

/// Show what a step printed, oldest attempt first
///
/// Of each stream the newest part is kept.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The step, such as s56
    #[arg(value_name = "STEP")]
    step: StepId,
    /// Wait for more attempts until the step has ended
    #[arg(short, long)]
    follow: bool,
    /// Only this stream: stdout or stderr
    #[arg(long, value_name = "NAME", value_parser = ["stdout", "stderr"])]
    stream: Option<String>,
}

const LOOK: Duration = Duration::from_millis(100);

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let store = cx.store()?;
        let signals = if self.follow { Some(Signals::install()?) } else { None };
        let mut shown: HashSet<(Token, &str)> = HashSet::new();
        let watch = store.watch()?;
        let mut seen = None;
        loop {
            let version = watch.version()?;
            let mut status = None;
            if seen != Some(version) {
                seen = Some(version);
                let now = store.read(|tx| overview::status_of_step(tx, self.step))?;
                for log in view::logs(store, self.step)?.logs {
                    if shown.insert((log.token, log.stream)) {
                        self.show(cx, &log)?;
                    }
                }
                status = Some(now);
            }
            let ended = status.is_some_and(|it| it.is_terminal());
            match &signals {
                Some(signals) if !ended => {
                    if signals.wait(LOOK) {
                        return Ok(());
                    }
                }
                _ => break,
            }
        }
        if shown.is_empty() {
            cx.output.note(format!("{} printed nothing, or has not run yet; see `windlass show {0}`", self.step));
        }
        Ok(())
    }

    fn show(&self, cx: &Context, log: &LogText) -> Result<()> {
        let name = log.stream;
        if self.stream.as_deref().is_some_and(|it| it != name) {
            return Ok(());
        }
        if cx.output.json {
            return cx.output.event(log);
        }
        let body = &log.body;
        let missing = log.total.saturating_sub(body.len() as u64);
        if missing > 0 {
            cx.output.note(format!("({} of {name} before this were not kept)", size(missing)));
        }
        match cx.output.width {
            // A terminal must not obey what a step printed.
            Some(_) => cx.output.bytes(plain_lines(&String::from_utf8_lossy(body)).as_bytes()),
            None => cx.output.bytes(body),
        }
    }
}

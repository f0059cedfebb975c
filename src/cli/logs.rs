use super::{
    context::Context,
    failure::{Failure, Result},
    wording::{plain_lines, size},
};
use crate::{
    model::{StepId, Token},
    os::signals::Signals,
    store::{
        attempt::{self, Log},
        overview,
    },
};
use std::{collections::HashSet, io::Read, time::Duration};

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

/// A kept stream is far smaller; more can't be ours.
const MOST: u64 = 64 << 20;
const LOOK: Duration = Duration::from_millis(100);

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let store = cx.store()?;
        let signals = if self.follow { Some(Signals::install()?) } else { None };
        let mut shown: HashSet<(Token, i64)> = HashSet::new();
        let watch = store.watch()?;
        let mut seen = None;
        loop {
            let version = watch.version()?;
            let mut status = None;
            if seen != Some(version) {
                seen = Some(version);
                let now = store.read(|tx| overview::status_of_step(tx, self.step))?;
                for (token, log) in store.read(|tx| attempt::logs(tx, self.step))? {
                    if shown.insert((token, log.stream)) {
                        self.show(cx, token, &log)?;
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

    fn show(&self, cx: &Context, token: Token, log: &Log) -> Result<()> {
        let name = if log.stream == 1 { "stdout" } else { "stderr" };
        if self.stream.as_deref().is_some_and(|it| it != name) {
            return Ok(());
        }
        let mut body = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(&log.body[..])
            .map_err(|error| Failure::new(super::failure::Exit::Error, format!("the log is damaged: {error}")))?;
        decoder
            .take(MOST)
            .read_to_end(&mut body)
            .map_err(|error| Failure::new(super::failure::Exit::Error, format!("the log is damaged: {error}")))?;
        if cx.output.json {
            return cx.output.event(&serde_json::json!({
                "step": self.step, "token": token, "stream": name, "total": log.total,
                "text": String::from_utf8_lossy(&body),
            }));
        }
        let missing = log.total.saturating_sub(body.len() as u64);
        if missing > 0 {
            cx.output.note(format!("({} of {name} before this were not kept)", size(missing)));
        }
        match cx.output.width {
            // A terminal must not obey what a step printed.
            Some(_) => cx.output.bytes(plain_lines(&String::from_utf8_lossy(&body)).as_bytes()),
            None => cx.output.bytes(&body),
        }
    }
}

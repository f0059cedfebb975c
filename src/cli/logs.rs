use super::{
    context::Context,
    failure::Result,
    wording::{plain_lines, size},
};
use crate::{
    engine::WorkDir,
    model::{StepId, Token},
    os::signals::Signals,
    process::live,
    store::overview,
    view::{self, LogText},
};
use std::{collections::HashMap, time::Duration};

/// Show what a step printed, oldest attempt first
///
/// Of each stream the newest part is kept.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The step, such as s56
    #[arg(value_name = "STEP")]
    step: StepId,
    /// Show what is printed as it comes, until the step has ended
    #[arg(short, long)]
    follow: bool,
    /// Only this stream: stdout or stderr
    #[arg(long, value_name = "NAME", value_parser = ["stdout", "stderr"])]
    stream: Option<String>,
}

const LOOK: Duration = Duration::from_millis(100);

/// Up to where each stream of each attempt was shown.
type Shown = HashMap<(Token, &'static str), u64>;

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let store = cx.store()?;
        let signals = if self.follow { Some(Signals::install()?) } else { None };
        let mut shown = Shown::new();
        let watch = store.watch()?;
        let mut seen = None;
        loop {
            let version = watch.version()?;
            let mut status = None;
            if seen != Some(version) {
                seen = Some(version);
                let now = store.read(|tx| overview::status_of_step(tx, self.step))?;
                for log in view::logs(store, self.step, Token(0))?.logs {
                    self.show(cx, &mut shown, log)?;
                }
                status = Some(now);
            }
            let ended = status.is_some_and(|it| it.is_terminal());
            match &signals {
                Some(signals) if !ended => {
                    self.show_running(cx, &mut shown)?;
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

    /// What an attempt that runs on this machine has printed since the last look.
    fn show_running(&self, cx: &Context, shown: &mut Shown) -> Result<()> {
        for (token, dir) in WorkDir::of_step(cx.engine()?.home(), self.step) {
            for (number, stream) in [(1, "stdout"), (2, "stderr")] {
                let position = shown.get(&(token, stream)).copied().unwrap_or(0);
                let Some((from, mut body)) = live::read_from(&dir, number, position) else { continue };
                // The rest of a letter comes with the next piece.
                if let Err(error) = std::str::from_utf8(&body)
                    && error.error_len().is_none()
                    && error.valid_up_to() > 0
                {
                    body.truncate(error.valid_up_to());
                }
                let (total, text) = (from + body.len() as u64, String::from_utf8_lossy(&body).into_owned());
                self.show(cx, shown, LogText { step: self.step, token, stream, total, text, body })?;
            }
        }
        Ok(())
    }

    /// Shows the part of a log that was not shown yet.
    fn show(&self, cx: &Context, shown: &mut Shown, mut log: LogText) -> Result<()> {
        let name = log.stream;
        if self.stream.as_deref().is_some_and(|it| it != name) {
            return Ok(());
        }
        let position = shown.insert((log.token, name), log.total);
        let (first, before) = (log.total.saturating_sub(log.body.len() as u64), position.unwrap_or(0));
        if position == Some(log.total) {
            return Ok(());
        }
        if before > first {
            log.body.drain(..((before - first) as usize).min(log.body.len()));
            log.text = String::from_utf8_lossy(&log.body).into_owned();
        }
        if cx.output.json {
            return cx.output.event(&log);
        }
        let missing = first.saturating_sub(before);
        if missing > 0 {
            cx.output.note(format!("({} of {name} before this were not kept)", size(missing)));
        }
        match cx.output.width {
            // A terminal must not obey what a step printed.
            Some(_) => cx.output.bytes(plain_lines(&log.text).as_bytes()),
            None => cx.output.bytes(&log.body),
        }
    }
}

use super::{context::Context, failure::Result};
use crate::{
    daemon::stop::{self, Stopped},
    model::Millis,
};
use std::time::Duration;

/// Stop the daemon after its running steps finish
///
/// If it does not end in time, it is killed; its steps run again at the next start. If none runs, says so and exits with 0.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long to wait before killing it [default: setting `stop_timeout` plus ten seconds]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Millis>,
}

/// Time for the daemon in addition to its steps: to end children and requests, and for a last checkpoint.
const MORE: Duration = Duration::from_secs(10);

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let settings = cx.settings()?;
        let grace = self.timeout.map_or(settings.stop_timeout.duration() + MORE, |it| it.duration());
        let stopped = stop::run(settings, grace, |what| cx.output.note(what))?;
        let (state, pid, words) = match stopped {
            Stopped::NotRunning => ("not running", None, "windlass is not running".to_string()),
            Stopped::Ended { pid, forced: false } => ("stopped", pid, "windlass has stopped".to_string()),
            Stopped::Ended { pid, forced: true } => {
                ("killed", pid, "windlass was killed; its steps run again at the next start".to_string())
            }
        };
        if cx.output.json {
            return cx.output.document(&serde_json::json!({"state": state, "pid": pid}));
        }
        cx.output.note(words);
        Ok(())
    }
}

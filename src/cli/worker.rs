use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    work::{PoolArgs, show_pools},
};
use crate::{
    engine::{Worker, WorkerOptions},
    model::Scope,
    os::signals::Signals,
    process::{self, sdk},
};
use std::time::Duration;

/// Claim and run steps of every group, until stopped
///
/// After the first Ctrl-C or SIGTERM, running steps may finish (setting `stop_timeout`); a second one kills them.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    instead: Option<Instead>,
    #[command(flatten)]
    pools: PoolArgs,
    /// Stop when no step is ready, running or delayed, and no hook is due
    #[arg(long)]
    until_idle: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Instead {
    /// Print the library for writing worker processes (see docs/workers.md)
    Sdk {
        /// The language of the worker
        language: Language,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Language {
    Python,
}

/// The interval between checks for remaining work.
const LOOK: Duration = Duration::from_millis(100);

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        if let Some(Instead::Sdk { language: Language::Python }) = self.instead {
            return cx.output.bytes(sdk::PYTHON.as_bytes());
        }
        let settings = cx.settings()?;
        let engine = cx.engine()?;
        let signals = Signals::install()?;
        let pools = self.pools.pools(settings)?;
        process::adopt_orphans();
        let worker = Worker::start(engine, WorkerOptions { pools: pools.clone(), scope: Scope::Everything })?;
        cx.output.note(format!("worker {} with {}", worker.id(), show_pools(&pools)));
        let mut disk_low = false;
        let ended = loop {
            if signals.wait(LOOK) {
                worker.drain();
                cx.output.note(format!("stopping; running steps may take {} to finish", settings.stop_timeout));
                break "signal";
            }
            if worker.fatal().is_some() {
                break "error";
            }
            if self.until_idle && worker.is_idle()? {
                break "idle";
            }
            if worker.is_disk_low() != disk_low {
                disk_low = !disk_low;
                match disk_low {
                    true => cx.warn_of_disk(),
                    false => cx.output.note("there is space on the disk again"),
                }
            }
        };
        worker.stop(settings.stop_timeout);
        match worker.fatal() {
            Some(reason) => {
                Err(Failure::new(Exit::Error, format!("the worker stopped: {reason}")).hint("see `windlass doctor`"))
            }
            None if cx.output.json => cx.output.document(&serde_json::json!({"worker": worker.id(), "ended": ended})),
            None => Ok(()),
        }
    }
}

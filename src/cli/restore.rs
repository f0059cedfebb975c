use super::{
    backup::{tell, with_signal},
    context::Context,
    failure::Result,
    wording::{count, quoted},
};
use crate::{
    backup::Restore,
    model::Bytes,
    os::{
        clock::{Clock, SystemClock},
        signals::Signals,
    },
};
use std::{path::PathBuf, sync::Arc};

/// Make a home of a backup
///
/// Into an empty or new home. What ran when the backup was taken runs again; its workers' tokens are never given out anew, so
/// the old engine and this one can't be taken for each other. Secrets are not in a backup.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What `windlass backup` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Move what is in the home aside first; nothing is deleted
    #[arg(long)]
    force: bool,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let signals = Signals::install()?;
        let home = cx.home()?.path;
        let restore = Restore { file: self.file, home, force: self.force, reserve: Bytes::mib(64) };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let restored =
            restore.run(&clock, &|| !signals.stop_requested()).map_err(|error| with_signal(error, &signals))?;
        if cx.output.json {
            return cx.output.document(&restored);
        }
        cx.output.line(format!("restored into {}", restored.home.display()))?;
        tell(cx, &restored.backup)?;
        if restored.given_back > 0 {
            cx.output.line(format!("  given back   {} that ran", count(restored.given_back, "step")))?;
        }
        if let Some(aside) = &restored.moved_aside {
            cx.output.note(format!("what was there is in {}", quoted(&aside.to_string_lossy())));
        }
        if restored.artifact_dir_unset {
            cx.output.note("the setting `artifact_dir` was taken out: two homes must not share a directory");
        }
        cx.output.note("go on with `windlass worker`; see what is open with `windlass status`");
        Ok(())
    }
}

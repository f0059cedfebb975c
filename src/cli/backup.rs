use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    wording::{count, size},
};
use crate::{
    backup::{self, Checked, Taken},
    os::signals::Signals,
};
use std::path::PathBuf;

/// Back up this home into one file while work continues, and check the file
///
/// The file is a zip archive with the databases, the artifacts, the parameter sets and the settings; it contains no
/// secrets. It appears only once it is complete and checked: it is read back and compared with its hashes, and its
/// databases are checked. `windlass restore` restores a home from it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to write, such as windlass.zip
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only check an existing backup
    #[arg(long)]
    check: bool,
    /// Replace an existing file
    #[arg(long, conflicts_with = "check")]
    force: bool,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let signals = Signals::install()?;
        let go_on = || !signals.stop_requested();
        if self.check {
            let checked = backup::verify(&self.file, &go_on).map_err(|error| with_signal(error, &signals))?;
            if cx.output.json {
                return cx.output.document(&checked);
            }
            cx.output.line(format!("{} is intact", self.file.display()))?;
            return tell(cx, &checked);
        }
        if self.file.is_dir() || self.file.as_os_str().as_encoded_bytes().ends_with(b"/") {
            let file = self.file.join("windlass.zip");
            if !self.file.is_dir() {
                let what = format!("{} does not exist, and a backup is one file", self.file.display());
                let name = self.file.to_string_lossy().trim_end_matches('/').to_string();
                return Err(Failure::usage(what).hint(format!("name the file, such as {name}.zip")));
            }
            return Err(Failure::usage(format!("{} is a directory; a backup is one file", self.file.display()))
                .hint(format!("name the file, such as {}", file.display())));
        }
        if self.file.exists() && !self.force {
            return Err(Failure::new(Exit::Conflict, format!("{} already exists", self.file.display()))
                .hint("choose another name, or give `--force`"));
        }
        let taken = backup::take(cx.engine()?, &self.file, &go_on).map_err(|error| with_signal(error, &signals))?;
        if cx.output.json {
            cx.output.document(&taken)?;
            return all_of_it(&taken.checked);
        }
        let Taken { path, bytes, checked } = &taken;
        let whole = if checked.damaged.is_empty() { "read back and intact" } else { "read back" };
        cx.output.line(format!("{} ({}), {whole}", path.display(), size(*bytes)))?;
        tell(cx, checked)?;
        all_of_it(checked)
    }
}

/// Fails if artifacts are missing from the backup. A warning is not enough, because uploads can't be made again.
fn all_of_it(checked: &Checked) -> Result<()> {
    let Some(first) = checked.damaged.first() else { return Ok(()) };
    let missing = count(checked.damaged.len() as u64, "artifact");
    let what = format!("{missing} could not be read and are not in the backup, {first} the first of them");
    Err(Failure::new(Exit::Error, what)
        .hint("check `artifact_dir`: a step makes its file again, but an upload needs another copy"))
}

/// If a signal stopped the backup, the exit code is that of the signal.
pub fn with_signal(error: backup::Error, signals: &Signals) -> Failure {
    match (&error, signals.stop_signal()) {
        (backup::Error::Stopped, Some(libc::SIGINT)) => Failure::new(Exit::Interrupted, error.to_string()),
        (backup::Error::Stopped, Some(_)) => Failure::new(Exit::Terminated, error.to_string()),
        _ => error.into(),
    }
}

/// Prints the contents of a backup for people.
pub fn tell(cx: &Context, checked: &Checked) -> Result<()> {
    let out = &cx.output;
    out.line(format!("  taken        {} of {}", cx.when(checked.created), checked.home))?;
    out.line(format!("  artifacts    {} ({})", count(checked.artifacts, "file"), size(checked.artifact_bytes)))?;
    if !checked.vector_databases.is_empty() {
        out.line(format!("  vectors      {}", checked.vector_databases.join(", ")))?;
    }
    if !checked.damaged.is_empty() {
        let damaged = count(checked.damaged.len() as u64, "artifact");
        out.warn(format!(
            "{damaged} were damaged at the time of the backup and are not in it; their steps run again when needed"
        ));
    }
    for path in &checked.left_out {
        out.warn(format!(
            "{path} is outside the home and not in the backup: copy it yourself while nothing ingests into it"
        ));
    }
    Ok(())
}

use super::{
    context::Context,
    failure::{Exit, Failure, Result},
};
use crate::settings::{self, PROJECT};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// Make a home directory for this project
///
/// Every windlass command in this directory and below then uses it. With `--home`, makes that directory instead.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory to make `.windlass` in [default: the current one]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

const SETTINGS: &str =
    "# Settings of this home. `windlass settings` lists all of them, with their values and where each came from.\n";
const IGNORED: &str = ".gitignore";

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let home = self.home(cx)?;
        settings::check_home(&home)?;
        refuse_used(&home)?;
        crate::os::file_system::refuse_network_file_system(&home)?;
        crate::os::private::create_dir_all(&home).map_err(|it| Failure::io("make", &home, it))?;
        for (name, text) in [(settings::FILE, SETTINGS), (IGNORED, "*\n")] {
            let path = home.join(name);
            let made = fs::File::create_new(&path).and_then(|mut it| it.write_all(text.as_bytes()));
            match made {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Failure::io("write", &path, error));
                }
                _ => (),
            }
        }
        cx.remember(&home);
        if cx.output.json {
            return cx.output.document(&serde_json::json!({"home": home}));
        }
        cx.output.line(format!("made {}", home.display()))?;
        if cx.flag().is_none() && std::env::var_os("WINDLASS_HOME").is_some_and(|it| !it.is_empty()) {
            cx.output.warn("WINDLASS_HOME is set, and takes precedence over a project's home");
        }
        cx.output.note("next: `windlass ingest DIR`, or `windlass run --each 'echo {{ item }}' --items a b`");
        Ok(())
    }

    fn home(&self, cx: &Context) -> Result<PathBuf> {
        match (cx.flag(), &self.dir) {
            (Some(_), Some(_)) => Err(Failure::usage("`--home` and DIR both name the home").hint("give one of them")),
            (Some(_), None) => Ok(cx.found_home()?.path),
            (None, dir) => {
                let dir = dir.as_deref().unwrap_or(Path::new("."));
                let dir: PathBuf = cx.here()?.join(dir).components().collect();
                Ok(dir.join(PROJECT))
            }
        }
    }
}

/// Refuses a directory that already has content, because it may belong to someone else.
fn refuse_used(home: &Path) -> Result<()> {
    let mut entries = fs::read_dir(home).into_iter().flatten().flatten();
    if entries.all(|it| it.file_name() == IGNORED) {
        return Ok(());
    }
    let said = match home.join(settings::FILE).exists() {
        true => format!("{} is already a windlass home", home.display()),
        false => format!("{} is not empty", home.display()),
    };
    Err(Failure::new(Exit::Conflict, said).hint("see `windlass status`"))
}

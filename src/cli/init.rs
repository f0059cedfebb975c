use super::{
    context::Context,
    failure::{Exit, Failure, Result},
};
use std::{fs, io::Write, path::PathBuf};

/// Make a home directory of its own for this project
///
/// Every windlass command below this directory then uses it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory in which `.windlass` is made
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
}

const SETTINGS: &str =
    "# Settings of this home. `windlass settings` lists all of them, with their values and where each came from.\n";

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let dir: std::path::PathBuf = cx.here()?.join(&self.dir).components().collect();
        let home = dir.join(".windlass");
        if home.join(crate::settings::FILE).exists() {
            let said = format!("{} is a windlass home already", home.display());
            return Err(Failure::new(Exit::Conflict, said).hint("see `windlass status`"));
        }
        crate::os::file_system::refuse_network_file_system(&home)?;
        crate::os::private::create_dir_all(&home).map_err(|it| Failure::io("make", &home, it))?;
        for (name, text) in [(crate::settings::FILE, SETTINGS), (".gitignore", "*\n")] {
            let path = home.join(name);
            let made = fs::File::create_new(&path).and_then(|mut it| it.write_all(text.as_bytes()));
            match made {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Failure::io("write", &path, error));
                }
                _ => (),
            }
        }
        if cx.output.json {
            return cx.output.document(&serde_json::json!({"home": home}));
        }
        cx.output.line(format!("made {}", home.display()))?;
        cx.output.note("next: `windlass ingest DIR`, or `windlass run --each 'echo {{ item }}' --items a b`");
        Ok(())
    }
}

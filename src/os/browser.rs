//! Opening a page for the user at this machine.

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::NamedTempFile;

/// A browser that was asked to open a secret address.
///
/// The address is in a file for the user alone, which sends the browser on: every user of the machine can read the argument
/// list of a process. Dropping this removes the file.
#[derive(Debug)]
pub struct Opening {
    starter: Child,
    _file: NamedTempFile,
}

impl Opening {
    /// Whether the program that finds the browser has failed.
    pub fn has_failed(&mut self) -> bool {
        self.starter.try_wait().is_ok_and(|it| it.is_some_and(|it| !it.success()))
    }
}

/// Asks the user's browser to open the address; `None` where there is no desktop to open it on. `home` is a private
/// directory.
pub fn open(address: &str, home: &Path) -> io::Result<Option<Opening>> {
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|it| env::var_os(it).is_some_and(|it| !it.is_empty()));
    let program = match cfg!(target_vendor = "apple") {
        true => "open",
        false if desktop => "xdg-open",
        false => return Ok(None),
    };
    // Created with mode 0600, whatever the umask.
    let mut file = tempfile::Builder::new().prefix("windlass-ui-").suffix(".html").tempfile_in(place(home))?;
    file.write_all(redirect(address).as_bytes())?;
    file.flush()?;
    let mut command = Command::new(program);
    command.arg(file.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(starter) => Ok(Some(Opening { starter, _file: file })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A browser that is a snap may read neither hidden directories nor the temporary one, but what is plain in `$HOME`.
fn place(home: &Path) -> PathBuf {
    let user = env::var_os("HOME").map(PathBuf::from).filter(|it| it.is_absolute() && it.is_dir());
    match user {
        Some(user) if Path::new("/snap/bin").is_dir() => user,
        _ => home.to_path_buf(),
    }
}

/// A page that redirects at once. The address is our own and has no character that HTML would interpret.
fn redirect(address: &str) -> String {
    format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"refresh\" content=\"0;url={address}\"><title>windlass</title>\
         <p><a href=\"{address}\">Open windlass</a>\n"
    )
}

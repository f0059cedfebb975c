//! Opens a page in the browser of the user at this machine.

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::NamedTempFile;

/// A browser that was asked to open a secret address.
///
/// Every user of the machine can read the arguments of a process, so the address is in a private file that redirects
/// the browser. Dropping this value removes the file.
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

/// Asks the user's browser to open the address. Returns `None` if there is no desktop. `home` is a private directory.
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

/// A browser installed as a snap can't read hidden directories or the temporary directory, only visible ones in
/// `$HOME`.
fn place(home: &Path) -> PathBuf {
    let user = env::var_os("HOME").map(PathBuf::from).filter(|it| it.is_absolute() && it.is_dir());
    match user {
        Some(user) if Path::new("/snap/bin").is_dir() => user,
        _ => home.to_path_buf(),
    }
}

/// A page that redirects immediately. We made the address, and it has no character that HTML would interpret.
fn redirect(address: &str) -> String {
    format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"refresh\" content=\"0;url={address}\"><title>windlass</title>\
         <p><a href=\"{address}\">Open windlass</a>\n"
    )
}

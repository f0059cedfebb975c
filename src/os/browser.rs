//! Opening a page for whoever sits at this machine.

use std::{
    env,
    process::{Command, Stdio},
};

/// Opens the address in the user's browser; false when there is no desktop to open it on, or it could not be started.
pub fn open(address: &str) -> bool {
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|it| env::var_os(it).is_some_and(|it| !it.is_empty()));
    let program = match cfg!(target_vendor = "apple") {
        true => "open",
        false if desktop => "xdg-open",
        false => return false,
    };
    let mut command = Command::new(program);
    command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|it| it.success())
}

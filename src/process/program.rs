//! Which program to execute as the shim.

use crate::os::Unpoisoned;
use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// Whether the `main` of this program checks the role in which it was started.
static CHECKS_ROLE: AtomicBool = AtomicBool::new(false);
static CHOSEN: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Uses the windlass binary at `path` as the shim. For programs that embed the engine and can't call
/// `shim::run_if_asked` at the start of their own `main`.
#[cfg(any(test, feature = "internals"))]
pub fn use_program(path: &Path) {
    *CHOSEN.lock().unpoisoned() = Some(path.to_path_buf());
}

/// Records that the `main` of this program checks its role.
pub(super) fn checks_role_in_main() {
    CHECKS_ROLE.store(true, Ordering::Relaxed);
}

fn checks_role() -> bool {
    CHECKS_ROLE.load(Ordering::Relaxed)
}

/// Whether the shim is this program itself, which then checks its role in `main`.
pub fn is_this_program() -> bool {
    CHOSEN.lock().unpoisoned().is_none() && checks_role()
}

/// The program to execute: the chosen one; otherwise this program if its `main` checks its role; otherwise a `windlass`
/// in the same directory.
pub fn program() -> Result<PathBuf, String> {
    if let Some(chosen) = CHOSEN.lock().unpoisoned().clone() {
        return Ok(chosen);
    }
    let this = std::env::current_exe().map_err(|error| format!("can't find the running program: {error}"))?;
    if checks_role() {
        // On Linux the link leads to the running program even after an upgrade has replaced its file.
        let link = Path::new("/proc/self/exe");
        return Ok(if cfg!(target_os = "linux") { link.to_path_buf() } else { this });
    }
    let beside = this.ancestors().skip(1).take(2).map(|it| it.join("windlass")).find(|it| it.is_file());
    beside.ok_or_else(|| {
        "this program can't start commands: call `windlass::process::shim::run_if_asked()` first in its `main`, or put \
         the `windlass` binary beside it"
            .to_string()
    })
}

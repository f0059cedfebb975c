//! Requirements of a test. A test that can't run reports this in one format, and `scripts/check` counts such tests.
#![allow(dead_code)] // Each test program uses its own part of it.

use std::{
    fs::File,
    io::Write,
    process::{Command, Stdio},
    thread,
};

/// Whether this program is installed. If not, the test is recorded as skipped.
#[must_use]
pub fn needs(program: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .any(|folder| rustix::fs::access(folder.join(program), rustix::fs::Access::EXEC_OK).is_ok())
    });
    found || skip(&format!("`{program}` is not installed"))
}

/// Whether this program succeeds with these arguments. If not, the test is recorded as skipped.
#[must_use]
pub fn needs_working(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let works = command.status().is_ok_and(|status| status.success());
    works || skip(&format!("`{program} {}` does not work", arguments.join(" ")))
}

/// Whether this process runs as root. If not, the test is recorded as skipped.
#[must_use]
pub fn needs_root() -> bool {
    rustix::process::geteuid().is_root() || skip("only root can do this")
}

/// Records that a test, or a part of it, is skipped, and why: on stderr and in the file that `TEST_SKIPPED` names.
/// Always returns false.
pub fn skip(why: &str) -> bool {
    let line = format!("SKIPPED: {}: {why}\n", thread::current().name().unwrap_or("?"));
    eprint!("{line}");
    let place = std::env::var_os("TEST_SKIPPED");
    if let Some(place) = place.or_else(|| option_env!("CARGO_TARGET_TMPDIR").map(|it| format!("{it}/skipped").into())) {
        let mut file = File::options().append(true).create(true).open(place).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
    false
}

//! Runs a command in the foreground, on the unchanged terminal.

use super::guard::Guard;
use crate::os::{
    signals::Signals,
    spawn::{self, Reaped},
};
use std::{
    ffi::OsString,
    fs::File,
    io,
    os::unix::process::ExitStatusExt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const LOOK: Duration = Duration::from_millis(20);
/// A process that survives KILL for this long is stuck in the kernel.
const STUCK: Duration = Duration::from_secs(10);

/// Runs `argv` until its last descendant ends, and returns its exit code, or 128 + the signal that killed it.
///
/// The command inherits `held`, so a lock on it lasts until the last process of the command is gone. If this process is
/// killed, the command dies with it. Ctrl-C reaches the command through the terminal; SIGTERM and SIGHUP are forwarded.
/// Each of these signals also ends the processes that an ended command left running. If the guard is killed, this process
/// adopts what is left of the command and kills it. `tick` is called once per `every`.
pub fn run_in_foreground(argv: &[OsString], held: &File, every: Duration, mut tick: impl FnMut()) -> io::Result<i32> {
    if argv.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no command was given"));
    }
    // Installed before the start, so that no signal ends us while the command runs.
    let more = Arc::new(AtomicUsize::new(0));
    let later = Arc::clone(&more);
    let signals = Signals::install_with(move |_| _ = later.fetch_add(1, Ordering::AcqRel))?;
    spawn::adopt_orphans()?;
    let mut guard = Guard::start(argv, held)?;
    let mut passed_on = 0;
    let mut ticked = Instant::now();
    let status = loop {
        if let Some(status) = guard.child.try_wait()? {
            break status;
        }
        let heard = more.load(Ordering::Acquire) + usize::from(signals.stop_requested());
        if heard > passed_on {
            passed_on = heard;
            match signals.stop_signal() {
                Some(libc::SIGINT) => guard.interrupt(),
                _ => guard.terminate(),
            }
        }
        if ticked.elapsed() >= every {
            ticked = Instant::now();
            tick();
        }
        std::thread::sleep(LOOK);
    };
    if status.signal().is_some() {
        kill_all();
    }
    if let Some(error) = guard.start_error() {
        return Err(error);
    }
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// Kills the processes that a killed guard left behind. They are descendants of this process now.
fn kill_all() {
    let begun = Instant::now();
    while begun.elapsed() < STUCK {
        spawn::kill_descendants(None);
        loop {
            match spawn::reap() {
                Ok(Reaped::Child { .. }) => {}
                Ok(Reaped::Nobody) => break,
                Ok(Reaped::Childless) | Err(_) => return,
            }
        }
        std::thread::sleep(LOOK);
    }
}

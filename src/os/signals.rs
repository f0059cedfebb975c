//! Signals to this process. The first stop signal drains, the second kills. Ctrl-Z waits for a write to end. A closed
//! terminal counts as a stop signal, unless `nohup` ignores it.

use super::{threads::Threads, unpoisoned::Unpoisoned};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP},
    iterator::{Handle, Signals as Iterator},
};
use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

/// Listens for SIGINT, SIGTERM, SIGHUP and SIGTSTP until it is dropped.
#[derive(Debug)]
pub struct Signals {
    shared: Arc<StopRequest>,
    handle: Handle,
    threads: Threads,
}

#[derive(Debug, Default)]
struct StopRequest {
    stop: Mutex<bool>,
    /// The last signal that asked for a stop; 0 if none.
    signal: AtomicI32,
    changed: Condvar,
}

impl Signals {
    /// The first SIGINT, SIGTERM or SIGHUP asks for a stop; a second one exits at once with 128 + signal (130, 143, 129).
    pub fn install() -> io::Result<Signals> {
        Signals::install_with(|signal| std::process::exit(128 + signal))
    }

    /// As `install`, but calls `on_second` for the second and later signals.
    pub fn install_with(on_second: impl Fn(i32) + Send + 'static) -> io::Result<Signals> {
        let mut iterator = Iterator::new([SIGINT, SIGTERM, SIGTSTP])?;
        if !is_ignored(SIGHUP) {
            iterator.add_signal(SIGHUP)?;
        }
        let handle = iterator.handle();
        let shared = Arc::new(StopRequest::default());
        let handler = Arc::clone(&shared);
        let threads = Threads::default();
        threads.start("signals", move || {
            for signal in iterator.forever() {
                match signal {
                    SIGTSTP => suspend_when_allowed(),
                    _ => {
                        // A stop requested some other way is not a signal, so the first signal after it still only
                        // asks.
                        let is_second = handler.signal.swap(signal, Ordering::AcqRel) != 0;
                        handler.request_stop();
                        if is_second {
                            on_second(signal);
                        }
                    }
                }
            }
        })?;
        Ok(Signals { shared, handle, threads })
    }

    pub fn stop_requested(&self) -> bool {
        *self.shared.lock()
    }

    /// Waits at most `timeout` for a stop request. Returns true if there is one.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut stop = self.shared.lock();
        while !*stop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            stop = self.shared.changed.wait_timeout(stop, left).unpoisoned().0;
        }
        *stop
    }

    /// The signal that requested the stop, if a signal did.
    pub fn stop_signal(&self) -> Option<i32> {
        Some(self.shared.signal.load(Ordering::Acquire)).filter(|it| *it != 0)
    }

    /// Requests a stop as the first signal would, for example after a request over HTTP.
    pub fn request_stop(&self) {
        self.shared.request_stop();
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handle.close();
        self.threads.join();
    }
}

impl StopRequest {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.stop.lock().unpoisoned()
    }

    fn request_stop(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }
}

#[derive(Debug)]
struct Suspension {
    holders: usize,
    wanted: bool,
}

static SUSPENSION: Mutex<Suspension> = Mutex::new(Suspension { holders: 0, wanted: false });

/// Postpones Ctrl-Z while any guard exists. The process stops itself when the last one is dropped.
#[derive(Debug)]
#[cfg(any(test, feature = "internals"))]
pub struct SuspendGuard(());

/// Postpones Ctrl-Z (SIGTSTP) during a write transaction, because a process that is stopped inside one blocks all other
/// writers. Works while `Signals` is installed. SIGSTOP can't be postponed.
#[cfg(any(test, feature = "internals"))]
pub fn hold_suspend() -> SuspendGuard {
    suspension().holders += 1;
    SuspendGuard(())
}

#[cfg(any(test, feature = "internals"))]
impl Drop for SuspendGuard {
    fn drop(&mut self) {
        let mut state = suspension();
        state.holders -= 1;
        if state.holders == 0 && std::mem::take(&mut state.wanted) {
            suspend(state);
        }
    }
}

fn suspend_when_allowed() {
    let mut state = suspension();
    match state.holders {
        0 => suspend(state),
        _ => state.wanted = true,
    }
}

/// Stops the process while holding the lock, so that no thread enters a transaction between the decision and the stop.
fn suspend(state: MutexGuard<'_, Suspension>) {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
    drop(state);
}

fn suspension() -> MutexGuard<'static, Suspension> {
    SUSPENSION.lock().unpoisoned()
}

/// Whether this process was started with the signal ignored, as `nohup` does.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: only reads a disposition, into a local that is large enough.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
    }
}

/// Lets a closed pipe end this process quietly, as in other command-line tools (`windlass list | head`). Only for
/// commands that print and exit: a closed socket must not kill a server.
#[cfg(any(test, feature = "internals"))]
pub fn reset_sigpipe() {
    // SAFETY: sets a default disposition; none of our handlers is involved.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

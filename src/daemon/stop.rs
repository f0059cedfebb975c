//! Stopping the daemon: the sentinel first, then the request, then a wait for its *lock*. Its pid proves nothing.

use super::{
    claim::{self, Holder},
    contact,
    error::{Error, Result},
    files::{LOCK, Phase},
    sentinel,
};
use crate::{
    http::token,
    model::{Millis, Timestamp},
    os::{Clock, ProcessHandle, SystemClock, peer::Blow, process_stat},
    settings::Settings,
};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

const LOOK: Duration = Duration::from_millis(20);
/// How long the API may take to agree.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a killed process may take to be gone.
const KILLED: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    NotRunning,
    /// `forced`: it had to be killed.
    Ended {
        pid: Option<u32>,
        forced: bool,
    },
}

/// Stops the daemon of a home. After `grace` it is killed, with its group.
pub fn run(settings: &Settings, grace: Duration, mut say: impl FnMut(&str)) -> Result<Stopped> {
    let home = &settings.home;
    if !home.is_dir() || !claim::is_held(home)? {
        sentinel_of_nobody(home);
        return Ok(Stopped::NotRunning);
    }
    let mut raised = Raised::new(home, &mut say);
    let target = Target::of(home)?;
    if target.is_gone(home)? {
        return Ok(Stopped::NotRunning);
    }
    target.ask(settings)?;
    if target.wait(home, grace, &mut raised, &mut say)? {
        return Ok(Stopped::Ended { pid: target.holder.pid, forced: false });
    }
    let Some(process) = &target.process else {
        return Err(Error::OutOfReach { holder: target.holder.words() });
    };
    say(&format!("windlass ({}) has not ended after {} s: killing it", target.holder.words(), grace.as_secs()));
    process.strike_group(Blow::Kill).map_err(|source| Error::System { action: "kill windlass", source })?;
    match target.wait(home, KILLED, &mut raised, &mut say)? {
        true => Ok(Stopped::Ended { pid: target.holder.pid, forced: true }),
        false => Err(Error::DidNotStop { holder: target.holder.words() }),
    }
}

/// No daemon runs, so a sentinel that is left would only be in the way until it counts as absent.
fn sentinel_of_nobody(home: &Path) {
    if home.is_dir() {
        sentinel::sweep(home, SystemClock.wall());
    }
}

/// The daemon to stop. One that takes over while we wait is another.
struct Target {
    holder: Holder,
    /// Signalled only if its identity is certain.
    process: Option<ProcessHandle>,
}

impl Target {
    fn of(home: &Path) -> Result<Target> {
        let holder = Holder::of(home);
        let process = match &holder.info {
            Some(info) => ProcessHandle::open(&info.identity),
            // Its file is not there or not whole.
            None => holder.pid.and_then(process_stat::identity_of).and_then(|it| ProcessHandle::open(&it)),
        };
        // A file may name any process: where the kernel reports the holder of the lock, only that one is signalled. It is read
        // once we hold on to the process, so that it can't have changed in between. It can be missing just after a daemon
        // was killed while it started a child; then the lock is free in a moment.
        let lock = home.join(LOCK);
        let holds = |it: &ProcessHandle| process_stat::who_holds_lock(&lock) == Some(it.pid());
        let process = process.filter(|it| !process_stat::lock_holders_are_known() || holds(it));
        let ours =
            |it: &ProcessHandle| holder.info.is_some() || process_stat::runs_this_program_with(it.pid(), "serve");
        let process = process.filter(ours);
        if let Some(pid) = holder.stranger(home) {
            return Err(Error::Stranger { pid });
        }
        Ok(Target { holder, process })
    }

    /// The API is the polite way, and the only one into another pid namespace.
    fn ask(&self, settings: &Settings) -> Result<()> {
        if self.holder.info.as_ref().is_some_and(|it| it.phase == Phase::Stopping) {
            return Ok(());
        }
        let token = token::find(settings)?;
        let agreed = match (&self.holder.http, &self.holder.info, token) {
            (Some(http), Some(_), Some(token)) => contact::post(http, "/api/v1/stop", &token, ANSWER).is_some(),
            _ => false,
        };
        match (&self.process, agreed) {
            (Some(process), false) => {
                process.strike(Blow::Terminate).map_err(|source| Error::System { action: "signal windlass", source })
            }
            _ => Ok(()),
        }
    }

    /// Whether the lock is free, or another process has it.
    fn is_gone(&self, home: &Path) -> Result<bool> {
        if !claim::is_held(home)? {
            return Ok(true);
        }
        let now = Holder::of(home);
        let other = match (&now.info, &self.holder.info) {
            (Some(new), Some(old)) => new.nonce != old.nonce,
            _ => now.pid.is_some() && self.holder.pid.is_some() && now.pid != self.holder.pid,
        };
        Ok(other)
    }

    fn wait(&self, home: &Path, grace: Duration, raised: &mut Raised, say: &mut impl FnMut(&str)) -> Result<bool> {
        let begun = Instant::now();
        let mut said = 0;
        while begun.elapsed() < grace {
            if self.is_gone(home)? {
                return Ok(true);
            }
            raised.renew();
            let seconds = begun.elapsed().as_secs();
            if seconds >= said + 2 {
                said = seconds;
                say(&format!("waiting for windlass ({}) to finish its steps: {seconds} s", self.holder.words()));
            }
            thread::sleep(LOOK);
        }
        self.is_gone(home)
    }
}

/// The sentinel, active until this is dropped: also after an error.
struct Raised<'a> {
    home: &'a Path,
    at: Timestamp,
}

impl Raised<'_> {
    /// A full disk or a home that can't be written is no reason to let the daemon run on.
    fn new<'a>(home: &'a Path, say: &mut impl FnMut(&str)) -> Raised<'a> {
        let at = SystemClock.wall();
        if let Err(error) = sentinel::raise(home, at) {
            say(&format!("other commands can start windlass meanwhile: {}: {error}", home.display()));
        }
        Raised { home, at }
    }

    fn renew(&mut self) {
        let now = SystemClock.wall();
        // Also when the wall clock was set back.
        if now.since(self.at) >= sentinel::RENEW || self.at.since(now) > Millis(0) {
            self.at = now;
            let _ = sentinel::raise(self.home, now);
        }
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        sentinel::clear(self.home);
    }
}

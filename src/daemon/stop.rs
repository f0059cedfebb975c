//! Stops the daemon: raises the sentinel, sends the request, then waits for the *lock*. A pid proves nothing.

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
/// How long the API may take to accept the request.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a killed process may take to disappear.
const KILLED: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    NotRunning,
    /// `forced`: the daemon had to be killed.
    Ended {
        pid: Option<u32>,
        forced: bool,
    },
}

/// Stops the daemon of a home. After `grace`, kills it and its process group.
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

/// If no daemon is running, a leftover sentinel would only block starts until it expires.
fn sentinel_of_nobody(home: &Path) {
    if home.is_dir() {
        sentinel::sweep(home, SystemClock.wall());
    }
}

/// The daemon to stop. If another one takes over in the meantime, it is not affected.
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
            // Its file is missing or incomplete.
            None => holder.pid.and_then(process_stat::identity_of).and_then(|it| ProcessHandle::open(&it)),
        };
        // A file can name any process, so if the kernel reports the holder of the lock, only that process is signalled.
        // This reads the holder while the handle is open, so that the pid can't be reused in between. The holder can be
        // missing just after a daemon was killed while starting a child; the lock is then about to become free.
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

    /// The API is the polite way, and the only one that reaches another pid namespace.
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

    /// Whether the lock is free or held by another process.
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

/// The sentinel, active until this is dropped, even after an error.
struct Raised<'a> {
    home: &'a Path,
    at: Timestamp,
}

impl Raised<'_> {
    /// If the sentinel can't be written, for example on a full disk, the daemon is stopped anyway.
    fn new<'a>(home: &'a Path, say: &mut impl FnMut(&str)) -> Raised<'a> {
        let at = SystemClock.wall();
        if let Err(error) = sentinel::raise(home, at) {
            say(&format!("other commands can start windlass meanwhile: {}: {error}", home.display()));
        }
        Raised { home, at }
    }

    fn renew(&mut self) {
        let now = SystemClock.wall();
        // Also renews after the wall clock was set back.
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

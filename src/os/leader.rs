//! A child process that leads its own session and ends its whole process tree, and the cleanup after one that is killed
//! first.
//!
//! On Linux a process can adopt its descendants' orphans. So each process that a killed leader leaves behind either is
//! still in the leader's session, or becomes a child of this process: one that this process did not start, in a session
//! that is not its own. Both kinds are killed.

use super::{process_stat, spawn, unpoisoned::Unpoisoned};
use crate::model::ExitStatus;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::{
    collections::BTreeSet,
    io,
    process::{Child, Command},
    sync::{
        Mutex, MutexGuard, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A process that survives KILL for this long is stuck in the kernel and is left alone.
const STUCK: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

static ADOPTING: AtomicBool = AtomicBool::new(false);
/// Held for reading while a leader starts, so that an unlisted leader does not count as an orphan.
static STARTING: RwLock<()> = RwLock::new(());
/// Leaders that have not been waited for.
static LISTED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
/// Leaders that outlive their owner.
static RELEASED: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Makes this process adopt its descendants' orphans and kill those that a killed leader leaves behind.
///
/// Do not use this in a program that starts daemons in their own sessions: after a leader is killed, a daemon that was
/// started later looks like one of its orphans.
pub fn adopt_orphans() {
    // No Linux of the last decade refuses this. If one did, processes that stay in the leader's session would still be
    // found.
    ADOPTING.store(spawn::adopt_orphans().is_ok(), Ordering::Release);
}

/// A started leader. Call `bury` or `release` on it.
#[derive(Debug)]
pub struct Leader {
    child: Child,
}

/// What happened to the processes that a leader left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Processes that were killed.
    pub ended: usize,
    /// Processes that could not be killed.
    pub stuck: usize,
}

impl Leader {
    /// Starts a program that will lead a session.
    pub fn start(command: &mut Command) -> io::Result<Leader> {
        reap_released();
        let _starting = STARTING.read().unpoisoned();
        let child = command.spawn()?;
        lock(&LISTED).insert(child.id());
        Ok(Leader { child })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is stopped. A stopped leader watches nothing.
    pub fn is_stopped(&self) -> bool {
        process_stat::is_stopped(self.child.id())
    }

    /// Waits for the leader to end, kills it after `patience`, and kills the processes that it left behind.
    pub fn bury(mut self, patience: Duration) -> Left {
        if !self.ends_within(patience) {
            let _ = self.child.kill();
            self.ends_within(STUCK);
        }
        // Until then the leader stays a zombie, so no other process can get its pid, which is also the id of its
        // session.
        let left = match self.ended_well() {
            true => Left::default(),
            false => end_strays(self.child.id()),
        };
        let waited = self.child.try_wait();
        match waited {
            Ok(None) => lock(&RELEASED).push(self.child), // stuck in the system
            _ => _ = lock(&LISTED).remove(&self.child.id()),
        }
        left
    }

    /// Detaches it: it keeps running after this process ends.
    pub fn release(self) {
        lock(&RELEASED).push(self.child);
    }

    fn ends_within(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut pause = Duration::from_micros(200);
        loop {
            match self.look() {
                Ok(Some(_)) | Err(_) => return true,
                Ok(None) if Instant::now() >= until => return false,
                Ok(None) => thread::sleep(pause),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn ended_well(&self) -> bool {
        matches!(self.look(), Ok(Some(ExitStatus::Code(0))))
    }

    /// The exit status, if it has ended. The process can still be waited for.
    fn look(&self) -> io::Result<Option<ExitStatus>> {
        let Some(pid) = pid(self.child.id()) else { return Ok(None) };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let found = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), options))?;
        Ok(found.map(|it| {
            let signal = it.terminating_signal().map(ExitStatus::Signal);
            signal.unwrap_or(ExitStatus::Code(it.exit_status().unwrap_or(-1)))
        }))
    }
}

/// Kills the processes that a dead leader left behind. Repeats, since they may fork in the meantime.
fn end_strays(leader: u32) -> Left {
    let until = Instant::now() + STUCK;
    let mut pause = Duration::from_millis(1);
    let mut ended = BTreeSet::new();
    loop {
        let strays = kill_strays(leader);
        if strays.is_empty() || Instant::now() >= until {
            return Left { ended: ended.difference(&strays).count(), stuck: strays.len() };
        }
        ended.extend(strays);
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One round. Returns the processes that it found.
fn kill_strays(leader: u32) -> BTreeSet<u32> {
    let _none_starts = STARTING.write().unpoisoned();
    let all = process_stat::kin();
    // A clock tick is 10 ms. If two processes started in the same tick, the later one has the higher pid.
    let since = all.iter().find(|it| it.pid == leader).map_or((0, 0), |it| (it.start_time, it.pid));
    let this = std::process::id();
    let own_session = all.iter().find(|it| it.pid == this).map_or(0, |it| it.session);
    let listed = lock(&LISTED).clone();
    let adopted = |it: &process_stat::Kin| {
        ADOPTING.load(Ordering::Acquire)
            && it.parent == this
            && it.session != own_session
            && (it.start_time, it.pid) > since
    };
    let is_root =
        |it: &&process_stat::Kin| it.pid != this && !listed.contains(&it.pid) && (it.session == leader || adopted(it));
    let mut strays: BTreeSet<u32> = all.iter().filter(is_root).map(|it| it.pid).collect();
    loop {
        let below = all.iter().filter(|it| strays.contains(&it.parent)).map(|it| it.pid).collect::<BTreeSet<u32>>();
        if below.is_subset(&strays) {
            break;
        }
        strays.extend(below);
    }
    for it in all.iter().filter(|it| strays.contains(&it.pid)) {
        let Some(pid) = pid(it.pid) else { continue };
        if !it.is_dead {
            let _ = kill_process(pid, Signal::KILL);
        } else if it.parent == this {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }
    let dead: BTreeSet<u32> = all.iter().filter(|it| it.is_dead).map(|it| it.pid).collect();
    strays.difference(&dead).copied().collect()
}

/// Waits for those released leaders that have ended.
fn reap_released() {
    lock(&RELEASED).retain_mut(|it| {
        let lives = matches!(it.try_wait(), Ok(None));
        if !lives {
            lock(&LISTED).remove(&it.id());
        }
        lives
    });
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unpoisoned()
}

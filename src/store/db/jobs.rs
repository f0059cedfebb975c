//! Requests to the writer, its reports of commits, and the state that both sides share.

use crate::model::Event;
use crate::store::{
    error::Result,
    presence::Presence,
    reply::{Answer, Reply},
    request::Request,
    tx::WriteTx,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, atomic::AtomicI64},
    time::{Duration, Instant},
};

/// The effects of a commit.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    #[cfg_attr(not(any(test, feature = "internals")), allow(dead_code))]
    pub events: &'a [Event],
    /// Something became claimable, or is due earlier.
    pub woke: bool,
    /// Settlements whose lease was already lost.
    pub lost_leases: u64,
    /// Claims of a step whose resource key another step took first.
    pub lost_races: u64,
    pub took: Duration,
    /// Requests that shared the commit.
    pub requests: usize,
}

/// Why a transaction could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteFailure {
    DiskFull,
    /// Another process has not finished writing.
    Busy,
    Broken,
}

#[derive(Default)]
pub(in crate::store) struct PulseState {
    pub since: Option<Instant>,
    pub failure: Option<WriteFailure>,
}

pub(in crate::store) type Work = Box<dyn FnOnce(&WriteTx) -> Result<Answer> + Send>;

pub(in crate::store) enum Job {
    Request(Request),
    Work(Option<Work>),
}

pub(in crate::store) struct Waiting {
    pub job: Job,
    pub answer: Reply,
}

#[derive(Default)]
pub(in crate::store) struct Queue {
    pub waiting: VecDeque<Waiting>,
    pub closing: bool,
}

pub(in crate::store) struct Shared {
    pub queue: Mutex<Queue>,
    pub filled: Condvar,
    pub listeners: Mutex<Vec<Arc<dyn CommitListener>>>,
    /// Includes the log once there is a writer, because the writer keeps the log in place.
    pub file: Mutex<Presence>,
    /// The daemon epoch under which this process writes; 0: it is not a daemon.
    pub epoch: AtomicI64,
    pub pulse: Mutex<PulseState>,
}

/// Called after each commit, on the writer thread. Must not block.
pub trait CommitListener: Send + Sync {
    fn committed(&self, commit: &Commit<'_>);

    /// Called by the waiting thread when a write has not been answered for two seconds, and then every two seconds.
    fn waiting(&self) {}
}

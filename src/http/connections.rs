//! The open connections, and which to close if there are too many.

use crate::os::Unpoisoned;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
};
use tokio::task::AbortHandle;

/// The state of a connection, in the order in which connections are closed to make room for a new one: unauthenticated ones
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// It has not sent a whole request yet.
    Silent,
    /// It has sent requests before. It is now waiting, or reading a response.
    Idle,
    /// A request is being worked on.
    Busy,
}

#[derive(Default)]
pub struct Connections {
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
    /// Connections closed to make room for newer ones.
    evicted: AtomicU64,
}

struct Open {
    state: Arc<State>,
    abort: Option<AbortHandle>,
}

/// One connection, as its task sees it.
pub struct State {
    phase: AtomicU8,
    /// Whether its last request was authenticated.
    trusted: AtomicBool,
    /// A counter over all connections. The connection with the smallest value has been quiet longest.
    touched: AtomicU64,
}

/// Where a request records whether its sender is authenticated. Unauthenticated connections never displace authenticated ones.
#[derive(Clone)]
pub struct Standing(Arc<State>);

impl Standing {
    pub fn is(&self, trusted: bool) {
        self.0.trusted.store(trusted, Ordering::Relaxed);
    }
}

/// Removes the connection from the list when its task ends, for whatever reason.
pub struct Entry {
    number: u64,
    pub state: Arc<State>,
    list: Arc<Connections>,
}

impl State {
    pub fn set(&self, phase: Phase, list: &Connections) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.touched.store(list.next.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Connections {
    /// Adds a connection. If there are already `limit`, the least useful one is cut.
    pub fn enter(self: &Arc<Connections>, limit: usize) -> Entry {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(State {
            phase: AtomicU8::new(Phase::Silent as u8),
            trusted: AtomicBool::new(false),
            touched: AtomicU64::new(number),
        });
        let mut open = self.lock();
        while open.len() >= limit.max(1) {
            let worst = open.iter().min_by_key(|(_, it)| it.rank()).map(|it| *it.0);
            let Some(cut) = worst.and_then(|it| open.remove(&it)) else { break };
            self.evicted.fetch_add(1, Ordering::Relaxed);
            if let Some(abort) = cut.abort {
                abort.abort();
            }
        }
        open.insert(number, Open { state: state.clone(), abort: None });
        Entry { number, state, list: self.clone() }
    }

    /// Sets how the connection can be cut. A connection that has already ended is not added again.
    pub fn can_be_cut(&self, number: u64, abort: AbortHandle) {
        if let Some(open) = self.lock().get_mut(&number) {
            open.abort = Some(abort);
        }
    }

    pub fn count(&self) -> usize {
        self.lock().len()
    }

    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unpoisoned()
    }
}

impl Open {
    fn rank(&self) -> (bool, u8, u64) {
        let trusted = self.state.trusted.load(Ordering::Relaxed);
        (trusted, self.state.phase.load(Ordering::Relaxed), self.state.touched.load(Ordering::Relaxed))
    }
}

impl Entry {
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn enter(&self, phase: Phase) {
        self.state.set(phase, &self.list);
    }

    pub fn standing(&self) -> Standing {
        Standing(self.state.clone())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.list.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_said_nothing_for_longest_goes_first_and_a_request_at_work_last() {
        let list = Arc::new(Connections::default());
        let (busy, idle, silent) = (list.enter(3), list.enter(3), list.enter(3));
        busy.enter(Phase::Busy);
        idle.enter(Phase::Idle);
        let known = |entry: &Entry| list.lock().contains_key(&entry.number());
        let fourth = list.enter(3);
        assert_eq!((known(&busy), known(&idle), known(&silent), known(&fourth)), (true, true, false, true));
        fourth.enter(Phase::Busy);
        let fifth = list.enter(3);
        assert_eq!((known(&busy), known(&idle), known(&fifth)), (true, false, true));
        drop((busy, idle, silent, fourth, fifth));
        assert_eq!((list.count(), list.evicted()), (0, 2));
    }

    #[test]
    fn strangers_go_before_somebody_who_is_known() {
        let list = Arc::new(Connections::default());
        let (known, stranger) = (list.enter(2), list.enter(2));
        known.standing().is(true);
        known.enter(Phase::Idle);
        stranger.enter(Phase::Busy);
        let there = |entry: &Entry| list.lock().contains_key(&entry.number());
        let third = list.enter(2);
        assert_eq!((there(&known), there(&stranger), there(&third)), (true, false, true));
        // A client that sends a wrong token later counts as unauthenticated again.
        known.standing().is(false);
        third.enter(Phase::Busy);
        drop(list.enter(2));
        assert!(!there(&known) && there(&third));
    }
}

//! Starts processes in separate threads, so that a step can stop waiting for one.

use super::inner::Inner;
use crate::{
    os::{CancelToken, Unpoisoned},
    process::worker::{StartFailure, Worker},
};
use std::{
    io,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

/// How often to check for a cancel.
const LOOK: Duration = Duration::from_millis(100);

type Started = Result<Worker, StartFailure>;

/// A process that is starting.
pub(super) struct Start {
    ticket: Arc<Ticket>,
}

struct Ticket {
    state: Mutex<State>,
    ended: Condvar,
}

enum State {
    Awaited,
    /// The step has left: the pool takes the worker.
    Left,
    Ended(Box<Started>),
}

impl Inner {
    /// Starts a process in the place that was reserved for it.
    pub(super) fn start_aside(self: &Arc<Self>, number: u64) -> Start {
        let ticket = Arc::new(Ticket { state: Mutex::new(State::Awaited), ended: Condvar::new() });
        let (inner, theirs) = (self.clone(), ticket.clone());
        let begun = self.starters.start("windlass-start", move || {
            let started = inner.start(number, &inner.closing);
            if let Some(started) = theirs.end(started) {
                inner.take_in(started);
            }
        });
        if let Err(error) = begun {
            self.no_start(number, &error, &ticket);
        }
        Start { ticket }
    }

    /// Adds a process that no step is waiting for.
    fn take_in(&self, started: Started) {
        let Ok(worker) = started else { return };
        let mut state = self.lock();
        state.enter(&worker, None);
        let health = worker.health();
        state.put(worker, health, None);
        self.wake_waiters(&state);
        if state.supervisor_dozes {
            self.chores.notify_one();
        }
    }

    fn no_start(&self, number: u64, error: &io::Error, ticket: &Ticket) {
        let mut state = self.lock();
        state.start_ended(number);
        self.wake_waiters(&state);
        drop(state);
        let _ = ticket.end(Err(StartFailure::NoRoom(format!("no thread available to start it: {error}"))));
    }
}

impl Start {
    /// Returns the result, if it arrives by `until` and before a cancel. Otherwise the pool gets the worker.
    pub(super) fn wait(self, until: Instant, cancel: &CancelToken) -> Option<Started> {
        let mut state = self.ticket.state.lock().unpoisoned();
        loop {
            if let State::Ended(_) = &*state {
                break;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || cancel.intent().is_some() {
                break;
            }
            state = self.ticket.ended.wait_timeout(state, left.min(LOOK)).unpoisoned().0;
        }
        match std::mem::replace(&mut *state, State::Left) {
            State::Ended(started) => Some(*started),
            State::Awaited | State::Left => None,
        }
    }
}

impl Ticket {
    /// Hands over the result, or returns it if the step has left.
    fn end(&self, started: Started) -> Option<Started> {
        let mut state = self.state.lock().unpoisoned();
        if let State::Left = &*state {
            return Some(started);
        }
        *state = State::Ended(Box::new(started));
        self.ended.notify_all();
        None
    }
}

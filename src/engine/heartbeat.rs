//! The heartbeat of a worker: a thread that beats, and does nothing else.
//!
//! It waits for no database, no lock file and no other thread, so that only a process that is stopped, or gets no
//! processor, becomes silent. While no lease could be lost it sleeps: an idle worker writes nothing.

use super::notify::Notify;
use crate::os::thread_stat;
use std::{
    sync::{
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

/// What the heartbeat shares with the consumers.
#[derive(Default)]
pub(super) struct Heartbeat {
    notify: Notify,
    /// It sleeps until the notify is rung.
    asleep: AtomicBool,
    /// Claims that were sent and not answered: a lease may come at any moment, however long they wait for their turn.
    claims: AtomicUsize,
    /// Shows others that it is alive; 0 until it has begun.
    pub thread: AtomicU32,
}

impl Heartbeat {
    /// A lease can be lost from now on.
    pub(super) fn rouse(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            self.notify.ring();
        }
    }

    /// Rings it out of its sleep in any case.
    pub(super) fn ring(&self) {
        self.notify.ring_all();
    }

    /// A claim is on its way until what is returned is dropped.
    pub(super) fn claiming(&self) -> Claiming<'_> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        self.rouse();
        Claiming(self)
    }

    fn expects(&self) -> bool {
        self.claims.load(Ordering::SeqCst) > 0
    }

    /// Beats every so often until it is over, except while nothing could be taken away. `begun` is dropped once it beats.
    pub(super) fn run(
        &self,
        between: Duration,
        begun: Sender<()>,
        rests: impl Fn() -> bool,
        over: impl Fn() -> bool,
        beat: impl Fn(),
    ) {
        self.thread.store(thread_stat::own_thread(), Ordering::SeqCst);
        beat();
        drop(begun);
        while !over() {
            let heard = self.notify.heard();
            // Set before the check, so that a later caller rings.
            self.asleep.store(true, Ordering::SeqCst);
            if !self.expects() && rests() && !over() {
                self.notify.wait(heard);
                self.asleep.store(false, Ordering::SeqCst);
                continue;
            }
            self.asleep.store(false, Ordering::SeqCst);
            beat();
            self.notify.wait_for(heard, between);
        }
    }
}

/// A claim on its way.
pub(super) struct Claiming<'a>(&'a Heartbeat);

impl Drop for Claiming<'_> {
    fn drop(&mut self) {
        self.0.claims.fetch_sub(1, Ordering::SeqCst);
    }
}

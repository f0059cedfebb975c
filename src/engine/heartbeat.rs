//! The heartbeat of a worker: a thread that beats, and does nothing else.
//!
//! It waits for no database, no lock file and no other thread, so that only a process that is stopped, or gets no
//! processor, becomes silent. While no lease could be lost it sleeps: an idle worker writes nothing.

use super::{notify::Notify, worker::Shared};
use crate::os::thread_stat;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    mpsc::Sender,
};

/// What the heartbeat shares with the consumers.
#[derive(Default)]
pub(super) struct Heartbeat {
    notify: Notify,
    /// It sleeps until the notify is rung.
    asleep: AtomicBool,
    /// Claims that were sent and not answered: a lease may come at any moment, however long they wait for their turn.
    claims: AtomicUsize,
    /// Others look here for what it does; 0 until it has begun.
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
}

/// A claim on its way.
pub(super) struct Claiming<'a>(&'a Heartbeat);

impl Drop for Claiming<'_> {
    fn drop(&mut self) {
        self.0.claims.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `begun` is dropped once the heartbeat beats.
pub(super) fn run(shared: &Arc<Shared>, begun: Sender<()>) {
    let heartbeat = &shared.heartbeat;
    heartbeat.thread.store(thread_stat::own_thread(), Ordering::SeqCst);
    shared.beat();
    drop(begun);
    let between = shared.engine.options.heartbeat.duration();
    while !shared.finished.load(Ordering::Acquire) {
        let heard = heartbeat.notify.heard();
        // Before the look, so that a later caller rings.
        heartbeat.asleep.store(true, Ordering::SeqCst);
        let rests = !heartbeat.expects() && shared.attempts().is_empty();
        if rests && !shared.finished.load(Ordering::Acquire) {
            heartbeat.notify.wait(heard);
            heartbeat.asleep.store(false, Ordering::SeqCst);
            continue;
        }
        heartbeat.asleep.store(false, Ordering::SeqCst);
        shared.beat();
        heartbeat.notify.wait_for(heard, between);
    }
}

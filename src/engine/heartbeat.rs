//! The heartbeat of a worker: a thread that does nothing else.
//!
//! It waits for no database, lock file or other thread, so only a process that is stopped, or gets no processor,
//! becomes silent. It sleeps while there is no lease to lose, so an idle worker writes nothing.

use super::notify::Notify;
use crate::os::thread_stat;
use std::{
    sync::{
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

/// The state that the heartbeat shares with the consumers.
#[derive(Default)]
pub(super) struct Heartbeat {
    notify: Notify,
    /// Whether it sleeps until it is rung.
    asleep: AtomicBool,
    /// Claims in progress. A lease may arrive at any moment, however long the claim waits for its turn.
    claims: AtomicUsize,
    /// The id of its thread, by which others see that it is alive; 0 until it has begun.
    pub thread: AtomicU32,
}

impl Heartbeat {
    /// From now on a lease can be lost.
    pub(super) fn rouse(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            self.notify.ring();
        }
    }

    /// Wakes it from its sleep unconditionally.
    pub(super) fn ring(&self) {
        self.notify.ring_all();
    }

    /// A claim is in progress until the returned value is dropped.
    pub(super) fn claiming(&self) -> Claiming<'_> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        self.rouse();
        Claiming(self)
    }

    fn expects(&self) -> bool {
        self.claims.load(Ordering::SeqCst) > 0
    }

    /// Sends a heartbeat at regular intervals until the worker ends, except while there is nothing to lose. `begun` is
    /// dropped with the first heartbeat.
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
            // Set before the check, so that a later caller wakes it.
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

/// A claim in progress.
pub(super) struct Claiming<'a>(&'a Heartbeat);

impl Drop for Claiming<'_> {
    fn drop(&mut self) {
        self.0.claims.fetch_sub(1, Ordering::SeqCst);
    }
}

//! Wakes threads that wait for work. Rung after commits. A ring between a check for work and the wait is not lost.

use crate::os::Unpoisoned;
use std::{
    sync::{Condvar, Mutex, MutexGuard},
    time::Duration,
};

/// The number of rings, and the threads that wait for the next one.
#[derive(Debug, Default)]
pub(super) struct Notify {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Notify {
    /// Call this before checking for work, then pass the result to `wait`.
    pub(super) fn heard(&self) -> u64 {
        *self.lock()
    }

    /// Wakes one thread. If it finds work, it wakes the next.
    pub(super) fn ring(&self) {
        *self.lock() += 1;
        self.rung.notify_one();
    }

    /// Wakes one more thread without counting a ring.
    pub(super) fn pass_on(&self) {
        self.rung.notify_one();
    }

    /// Wakes all threads, because something ended.
    pub(super) fn ring_all(&self) {
        *self.lock() += 1;
        self.rung.notify_all();
    }

    /// Waits for a ring after `heard`.
    pub(super) fn wait(&self, heard: u64) {
        let mut rings = self.lock();
        while *rings == heard {
            rings = self.rung.wait(rings).unpoisoned();
        }
    }

    /// The same, for at most `timeout`. Returns true if it was rung.
    pub(super) fn wait_for(&self, heard: u64, timeout: Duration) -> bool {
        let rings = self.lock();
        let waited = self.rung.wait_timeout_while(rings, timeout, |it| *it == heard);
        *waited.unpoisoned().0 != heard
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.rings.lock().unpoisoned()
    }
}

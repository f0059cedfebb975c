//! Wakes threads that wait for work. Rung after commits; a ring between the check for work and the wait is not lost.

use crate::os::Unpoisoned;
use std::{
    sync::{Condvar, Mutex, MutexGuard},
    time::Duration,
};

/// A count of rings, and the waiters for the next one.
#[derive(Debug, Default)]
pub(super) struct Notify {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Notify {
    /// Read this before you check for work, then pass it to `wait`.
    pub(super) fn heard(&self) -> u64 {
        *self.lock()
    }

    /// Wakes one; if it finds work, it wakes the next.
    pub(super) fn ring(&self) {
        *self.lock() += 1;
        self.rung.notify_one();
    }

    /// Wakes one more without a new ring.
    pub(super) fn pass_on(&self) {
        self.rung.notify_one();
    }

    /// Wakes everyone: something ended.
    pub(super) fn ring_all(&self) {
        *self.lock() += 1;
        self.rung.notify_all();
    }

    /// Waits until it was rung since `heard`.
    pub(super) fn wait(&self, heard: u64) {
        let mut rings = self.lock();
        while *rings == heard {
            rings = self.rung.wait(rings).unpoisoned();
        }
    }

    /// The same, at most for `timeout`; true when it was rung.
    pub(super) fn wait_for(&self, heard: u64, timeout: Duration) -> bool {
        let rings = self.lock();
        let waited = self.rung.wait_timeout_while(rings, timeout, |it| *it == heard);
        *waited.unpoisoned().0 != heard
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.rings.lock().unpoisoned()
    }
}

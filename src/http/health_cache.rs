//! The most recent responses of `/health`.

use crate::os::Unpoisoned;
use axum::{body::Bytes, http::StatusCode};
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// The maximum age of a cached response. Making one reads /proc on the thread that serves all clients.
const RECENT: Duration = Duration::from_millis(50);

/// The last response for authenticated callers, and the last for others.
#[derive(Default)]
pub(super) struct Recent(Mutex<[Option<CachedAnswer>; 2]>);

struct CachedAnswer {
    at: Instant,
    /// Whether the process was stopping. This is reported without delay.
    stopping: bool,
    answer: (StatusCode, Bytes),
}

impl Recent {
    pub(super) fn of(&self, (known, stopping): (bool, bool)) -> Option<(StatusCode, Bytes)> {
        let all = self.0.lock().unpoisoned();
        let kept = all[usize::from(known)].as_ref()?;
        (kept.stopping == stopping && kept.at.elapsed() < RECENT).then(|| kept.answer.clone())
    }

    pub(super) fn keep(&self, (known, stopping): (bool, bool), answer: (StatusCode, Bytes)) -> (StatusCode, Bytes) {
        let mut all = self.0.lock().unpoisoned();
        all[usize::from(known)] = Some(CachedAnswer { at: Instant::now(), stopping, answer: answer.clone() });
        answer
    }
}

//! The unopened links and the open sessions. This process keeps only the digests of their secrets, in memory.

use super::token::digest;
use crate::{model::Timestamp, os::Unpoisoned};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// The header that carries a session.
pub const HEADER: &str = "x-windlass-session";
/// How long a link is valid.
pub(super) const LINK_LASTS: Duration = Duration::from_secs(600);
/// The most unopened links; the oldest is dropped first.
const LINKS: usize = 32;
/// A session ends after this long without use. Time in which the machine sleeps counts.
pub(super) const IDLE: Duration = Duration::from_secs(12 * 3600);
/// A session always ends at this age.
pub(super) const SESSION_LASTS: Duration = Duration::from_secs(7 * 86_400);
/// The most sessions; the one unused for longest is dropped first.
const SESSIONS: usize = 64;

/// The unopened links.
#[derive(Default)]
pub struct Links(Mutex<VecDeque<(String, Instant)>>);

impl Links {
    pub fn issue(&self) -> String {
        // Without randomness there is no link, because an empty code never opens one.
        let code = random::<24>().unwrap_or_default();
        let mut waiting = lock(&self.0);
        if waiting.len() == LINKS {
            waiting.pop_front();
        }
        waiting.push_back((code.clone(), Instant::now()));
        code
    }

    pub(super) fn waits(&self, code: &str, now: Instant) -> bool {
        let mut waiting = lock(&self.0);
        waiting.retain(|it| now.saturating_duration_since(it.1) < LINK_LASTS);
        waiting.iter().any(|it| !code.is_empty() && it.0 == code)
    }

    pub(super) fn redeem(&self, code: &str, now: Instant) -> bool {
        let known = self.waits(code, now);
        if known {
            lock(&self.0).retain(|it| it.0 != code);
        }
        known
    }
}

/// Identifies a session. Never reused.
pub type SessionId = u64;

/// The open sessions, by the digest of their secret.
#[derive(Default)]
pub struct Sessions {
    open: Mutex<HashMap<[u8; 32], Session>>,
}

struct Session {
    id: SessionId,
    began: Timestamp,
    used: Timestamp,
    /// The host and port that the browser opened it under: its origin.
    host: String,
}

impl Session {
    fn is_over(&self, now: Timestamp) -> bool {
        let (idle, age) = (now.since(self.used).0, now.since(self.began).0);
        idle >= IDLE.as_millis() as u64 || age >= SESSION_LASTS.as_millis() as u64
    }
}

impl Sessions {
    /// Opens a session. Only the caller knows its secret. `None` without randomness.
    pub(super) fn begin(&self, host: &str, now: Timestamp) -> Option<String> {
        let secret = random::<32>()?;
        let mut open = lock(&self.open);
        open.retain(|_, it| !it.is_over(now));
        if open.len() >= SESSIONS {
            let oldest = open.iter().min_by_key(|it| it.1.used).map(|it| *it.0);
            oldest.and_then(|it| open.remove(&it));
        }
        let id = u64::from_ne_bytes(digest(secret.as_bytes())[..8].try_into().unwrap_or_default());
        let session = Session { id, began: now, used: now, host: host.to_ascii_lowercase() };
        open.insert(digest(secret.as_bytes()), session);
        Some(secret)
    }

    /// The session with this secret. Finding it counts as use.
    pub fn find(&self, secret: &[u8], host: &str, now: Timestamp) -> Option<SessionId> {
        let mut open = lock(&self.open);
        let key = digest(secret);
        let session = open.get_mut(&key).filter(|it| it.host.eq_ignore_ascii_case(host))?;
        if session.is_over(now) {
            open.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.id)
    }

    /// Whether a session is still open. Asking does not count as use.
    pub fn is_open(&self, id: SessionId, now: Timestamp) -> bool {
        lock(&self.open).values().any(|it| it.id == id && !it.is_over(now))
    }

    /// Ends one session or all of them. Returns the number.
    pub(super) fn end(&self, which: Option<SessionId>) -> usize {
        let mut open = lock(&self.open);
        let before = open.len();
        open.retain(|_, it| which.is_some_and(|id| it.id != id));
        before - open.len()
    }
}

fn random<const BYTES: usize>() -> Option<String> {
    let mut bytes = [0u8; BYTES];
    getrandom::fill(&mut bytes).ok().map(|()| hex::encode(bytes))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unpoisoned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_once_and_not_for_ever() {
        let links = Links::default();
        let (first, second, now) = (links.issue(), links.issue(), Instant::now());
        assert!(links.waits(&first, now) && links.redeem(&first, now) && !links.redeem(&first, now));
        assert!(!links.redeem(&second, now + LINK_LASTS) && !links.redeem("", now));
        let oldest = links.issue();
        (0..LINKS).for_each(|_| drop(links.issue()));
        assert!(!links.redeem(&oldest, now), "the number of links is bounded");
    }

    #[test]
    fn a_session_ends_when_it_is_idle_old_or_signed_out_and_counts_for_one_host_only() {
        let sessions = Sessions::default();
        let at = |after: Duration| Timestamp(1_000_000 + after.as_millis() as i64);
        let start = at(Duration::ZERO);
        let begin = || sessions.begin("127.0.0.1:8787", start).unwrap().into_bytes();
        let (first, second) = (begin(), begin());
        let find = |secret: &[u8], after| sessions.find(secret, "127.0.0.1:8787", at(after));
        let id = find(&first, Duration::ZERO).unwrap();
        assert_eq!(sessions.find(&first, "127.0.0.1:9999", start), None, "another port is another origin");
        assert_eq!(sessions.find(b"", "127.0.0.1:8787", start), None);
        let nearly = IDLE - Duration::from_secs(1);
        assert!(find(&first, nearly).is_some() && find(&first, nearly * 2).is_some(), "what is used stays");
        assert_eq!(find(&second, IDLE), None, "what is not used ends");
        for day in 1..14 {
            let after = Duration::from_secs(day * 43_000);
            assert_eq!(find(&first, after).is_some(), after < SESSION_LASTS, "after {after:?}");
        }
        assert_eq!(find(&first, SESSION_LASTS), None, "nothing stays for ever");
        assert!(!sessions.is_open(id, at(SESSION_LASTS)));
        let (third, fourth) = (begin(), begin());
        let id = find(&third, Duration::ZERO).unwrap();
        assert!(sessions.is_open(id, start) && sessions.end(Some(id)) == 1);
        assert!(!sessions.is_open(id, start) && find(&third, Duration::ZERO).is_none());
        assert!(find(&fourth, Duration::ZERO).is_some(), "of another session only that one ended");
        (0..SESSIONS * 2).for_each(|_| drop(begin()));
        assert_eq!((sessions.end(None), find(&fourth, Duration::ZERO)), (SESSIONS, None), "their number is bounded");
    }
}

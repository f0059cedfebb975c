//! Asks running work to stop, and says why.

use super::unpoisoned::Unpoisoned;
use crate::model::KillIntent;
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// A request to stop, shared by all its clones. It can't be withdrawn.
///
/// The first intent wins, with one exception: `Cancel` outranks every other intent, because a cancelled step must never
/// run again, whatever else happened to it.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<Cancellation>);

#[derive(Debug, Default)]
struct Cancellation {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    intent: Option<KillIntent>,
    // Write ends. Closing them wakes whoever polls the read ends.
    wakers: Vec<(u64, OwnedFd)>,
    next_waker: u64,
}

/// A descriptor that hangs up when the token is cancelled, for use with poll(2).
#[derive(Debug)]
pub struct CancelWake {
    read: OwnedFd,
    number: u64,
    shared: Arc<Cancellation>,
}

impl CancelToken {
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    pub fn cancel(&self, intent: KillIntent) {
        let mut state = self.0.lock();
        if state.intent.is_none() || intent == KillIntent::Cancel {
            state.intent = Some(intent);
        }
        state.wakers.clear();
        drop(state);
        self.0.changed.notify_all();
    }

    pub fn intent(&self) -> Option<KillIntent> {
        self.0.lock().intent
    }

    pub fn is_cancelled(&self) -> bool {
        self.intent().is_some()
    }

    /// Waits at most `timeout` for a request to stop: an interruptible sleep.
    pub fn wait(&self, timeout: Duration) -> Option<KillIntent> {
        let deadline = Instant::now() + timeout;
        let mut state = self.0.lock();
        while state.intent.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.0.changed.wait_timeout(state, left).unpoisoned().0;
        }
        state.intent
    }

    /// A descriptor to poll along with others. If the token is already cancelled, it has already hung up.
    pub fn wake(&self) -> io::Result<CancelWake> {
        let (reader, writer) = io::pipe()?;
        let mut state = self.0.lock();
        let number = state.next_waker;
        state.next_waker += 1;
        if state.intent.is_none() {
            state.wakers.push((number, writer.into()));
        }
        Ok(CancelWake { read: reader.into(), number, shared: Arc::clone(&self.0) })
    }
}

impl Cancellation {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

impl AsFd for CancelWake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

impl Drop for CancelWake {
    fn drop(&mut self) {
        self.shared.lock().wakers.retain(|it| it.0 != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Millis, ResourceLimit};
    use std::{io::Read, thread};

    #[test]
    fn the_first_intent_wins_but_cancel_outranks_all() {
        use KillIntent::*;
        let table = [
            (vec![Shutdown, Deadline(Millis(5))], Shutdown),
            (vec![Deadline(Millis(5)), Limit(ResourceLimit::Memory)], Deadline(Millis(5))),
            (vec![Limit(ResourceLimit::Memory), Shutdown], Limit(ResourceLimit::Memory)),
            (vec![Shutdown, Cancel], Cancel),
            (vec![Cancel, Deadline(Millis(5))], Cancel),
        ];
        for (intents, winner) in table {
            let token = CancelToken::new();
            assert!(!token.is_cancelled());
            intents.iter().for_each(|it| token.cancel(*it));
            assert_eq!(token.intent(), Some(winner), "{intents:?}");
        }
    }

    #[test]
    fn a_sleeper_is_woken_by_the_cancel() {
        let token = CancelToken::new();
        assert_eq!(token.wait(Duration::from_millis(1)), None);
        let sleeper = token.clone();
        let thread = thread::spawn(move || sleeper.wait(Duration::from_secs(60)));
        token.cancel(KillIntent::Cancel);
        assert_eq!(thread.join().unwrap(), Some(KillIntent::Cancel));
    }

    #[test]
    fn wakes_hang_up_on_cancel_and_leave_nothing_behind() {
        let token = CancelToken::new();
        drop(token.wake().unwrap());
        assert!(token.0.lock().wakers.is_empty());
        let before = token.wake().unwrap();
        token.cancel(KillIntent::Shutdown);
        let after = token.wake().unwrap();
        for wake in [before, after] {
            let mut pipe = std::fs::File::from(wake.as_fd().try_clone_to_owned().unwrap());
            assert_eq!(pipe.read(&mut [0]).unwrap(), 0);
        }
    }
}

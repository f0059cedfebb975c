//! How callers get answers from the writer. It fills in the answers of a whole transaction and wakes one caller, which
//! wakes the others. The next transaction can begin in the meantime.

use crate::os::Unpoisoned;
use crate::store::error::{Error, Result};
use std::{
    any::Any,
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// The result of a request or closure, of the type that its caller expects.
pub(in crate::store) type Answer = Box<dyn Any + Send>;

pub(in crate::store) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unpoisoned()
}

#[derive(Default)]
struct Slot {
    outcome: Option<Result<Answer>>,
    /// Callers that have an answer and have not been woken.
    sleepers: Vec<Thread>,
}

/// The writer's end. If it is dropped without an answer, the caller gets `Closed`.
pub(in crate::store) struct Reply {
    slot: Arc<Mutex<Slot>>,
    caller: Thread,
    filled: bool,
}

/// The caller's end, for the thread that created it.
pub(in crate::store) struct Hearing {
    slot: Arc<Mutex<Slot>>,
}

pub(in crate::store) fn pair() -> (Reply, Hearing) {
    let slot = Arc::default();
    (Reply { slot: Arc::clone(&slot), caller: thread::current(), filled: false }, Hearing { slot })
}

impl Reply {
    pub(in crate::store) fn send(mut self, outcome: Result<Answer>) {
        self.fill(outcome, Vec::new());
        self.caller.unpark();
    }

    fn fill(&mut self, outcome: Result<Answer>, sleepers: Vec<Thread>) {
        let mut slot = lock(&self.slot);
        slot.outcome = Some(outcome);
        slot.sleepers = sleepers;
        self.filled = true;
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.filled {
            self.fill(Err(Error::Closed), Vec::new());
            self.caller.unpark();
        }
    }
}

/// Answers many callers. The first one wakes the others. None can continue before its own answer is there.
pub(in crate::store) fn send_all(answers: impl IntoIterator<Item = (Reply, Result<Answer>)>) {
    let mut answers = answers.into_iter();
    let Some((mut first, first_outcome)) = answers.next() else { return };
    let mut sleepers = Vec::new();
    for (mut reply, outcome) in answers {
        reply.fill(outcome, Vec::new());
        sleepers.push(reply.caller.clone());
    }
    first.fill(first_outcome, sleepers);
    first.caller.unpark();
}

impl Hearing {
    /// Waits for the answer, and calls `still` each time this interval has passed.
    pub(in crate::store) fn recv(self, long: Duration, still: impl Fn()) -> Result<Answer> {
        let mut since: Option<Instant> = None;
        loop {
            let (outcome, sleepers) = {
                let mut slot = lock(&self.slot);
                (slot.outcome.take(), std::mem::take(&mut slot.sleepers))
            };
            sleepers.iter().for_each(Thread::unpark);
            match outcome {
                Some(outcome) => return outcome,
                // A wakeup may be spurious or belong to an earlier wait.
                None => {
                    let since = since.get_or_insert_with(Instant::now);
                    thread::park_timeout(long.saturating_sub(since.elapsed()));
                    if since.elapsed() >= long {
                        still();
                        *since = Instant::now();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn every_caller_of_a_transaction_hears_its_own_answer() {
        let (ask, requests) = mpsc::channel();
        let callers: Vec<_> = (0..50_usize)
            .map(|number| {
                let ask = ask.clone();
                thread::spawn(move || {
                    let (reply, hearing) = pair();
                    ask.send((reply, Ok(Box::new(number) as Answer))).expect("the writer listens");
                    drop(ask);
                    let heard = hearing.recv(LONG, || ()).expect("it is an answer");
                    assert_eq!(heard.downcast::<usize>().ok(), Some(Box::new(number)));
                })
            })
            .collect();
        drop(ask);
        send_all(requests.into_iter().collect::<Vec<_>>());
        callers.into_iter().for_each(|it| it.join().expect("it heard its own"));
    }

    #[test]
    fn a_caller_whom_nobody_answers_hears_that_the_store_is_closed() {
        let (reply, hearing) = pair();
        drop(reply);
        assert!(matches!(hearing.recv(LONG, || ()), Err(Error::Closed)));
    }

    #[test]
    fn a_caller_that_is_woken_for_another_reason_goes_on_waiting() {
        let (reply, hearing) = pair();
        let caller = reply.caller.clone();
        let waits = thread::spawn(move || {
            caller.unpark();
            reply.send(Ok(Box::new(7_i32)));
        });
        thread::current().unpark();
        let heard = hearing.recv(LONG, || ()).expect("it is an answer");
        assert_eq!(heard.downcast::<i32>().ok(), Some(Box::new(7)));
        waits.join().expect("it ends");
    }

    #[test]
    fn a_caller_that_waits_for_long_hears_so_until_its_answer_comes() {
        let (reply, hearing) = pair();
        let (say, said) = mpsc::channel();
        let answers = thread::spawn(move || {
            said.iter().take(3).for_each(drop);
            reply.send(Ok(Box::new(7_i32)));
        });
        let still_waiting = move || {
            let _ = say.send(());
        };
        let heard = hearing.recv(Duration::from_millis(1), still_waiting).expect("it is an answer");
        assert_eq!(heard.downcast::<i32>().ok(), Some(Box::new(7)));
        answers.join().expect("it ends");
    }
}

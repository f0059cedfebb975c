//! One transaction of the writer: runs many requests and closures, one after another.

use crate::store::{
    cancel, claim, delayed,
    error::{Error, Result},
    event, group_end,
    jobs::{Job, Shared, Waiting, Work},
    memory::Memory,
    reply::{Answer, Reply, lock},
    request::{Request, Settled},
    settle,
    tx::WriteTx,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

const BATCH: usize = 256;
const BATCH_TIME: Duration = Duration::from_millis(20);

/// An answer that waits for the COMMIT. It includes the request, which runs again alone if the batch fails.
pub(in crate::store) struct Done {
    pub outcome: Result<Answer>,
    pub again: Option<Request>,
    pub answer: Reply,
}

pub(in crate::store) fn refused(waiting: Waiting) -> Done {
    let again = match waiting.job {
        Job::Request(request) => Some(request),
        Job::Work(_) => None,
    };
    Done { outcome: Err(Error::Aborted), again, answer: waiting.answer }
}

pub(in crate::store) fn work(
    tx: &WriteTx,
    shared: &Shared,
    mut first: Option<Waiting>,
    done: &mut Vec<Done>,
) -> Result<()> {
    let begun = Instant::now();
    let promoted = delayed::promote(tx);
    loop {
        let waiting = first.take().or_else(|| lock(&shared.queue).waiting.pop_front());
        let Some(waiting) = waiting else { break };
        let Waiting { job, answer } = waiting;
        if let Err(error) = &promoted {
            done.push(refused(Waiting { job, answer }));
            return Err(error.duplicate());
        }
        let (outcome, again, fatal) = run_job(tx, job);
        done.push(Done { outcome, again, answer });
        if let Some(error) = fatal {
            return Err(error);
        }
        if done.len() >= BATCH || begun.elapsed() > BATCH_TIME {
            break;
        }
    }
    promoted
}

/// Runs one job. The third value is an error that ends the whole transaction.
fn run_job(tx: &WriteTx, job: Job) -> (Result<Answer>, Option<Request>, Option<Error>) {
    match job {
        Job::Request(request) => match run_request(tx, &request) {
            Ok(answer) => (Ok(answer), Some(request), None),
            Err(error) => (Err(error.duplicate()), Some(request), Some(error)),
        },
        Job::Work(work) => match run_work(tx, work) {
            Ok(outcome) => {
                let fatal = match &outcome {
                    Err(error) if error.ends_transaction() || tx.is_autocommit() => Some(error.duplicate()),
                    _ => None,
                };
                (outcome, None, fatal)
            }
            Err(error) => (Err(error.duplicate()), None, Some(error)),
        },
    }
}

fn run_request(tx: &WriteTx, request: &Request) -> Result<Answer> {
    Ok(match request {
        Request::Claim(claim) => Box::new(claim::claim(tx, claim)?),
        Request::Settle(settle) => {
            let held = settle::settle(tx, settle.lease, &settle.settlement)?;
            // No claim takes a step of a group that its parent has just given up.
            cancel::below(tx)?;
            let next = settle.then.as_ref().map_or(Ok(Vec::new()), |claim| claim::claim(tx, claim))?;
            Box::new(Settled { held, next })
        }
    })
}

/// Runs a closure in its own savepoint. The inner result is that of the closure; on an error, its writes are undone.
/// The outer error means that the savepoint itself failed, so the content of the transaction is unknown.
fn run_work(tx: &WriteTx, work: Option<Work>) -> Result<Result<Answer>> {
    let Some(work) = work else { return Ok(Err(Error::Aborted)) };
    flush(tx)?;
    tx.execute("SAVEPOINT closure", [])?;
    let events = tx.memory().events.len();
    let outcome = catch_unwind(AssertUnwindSafe(|| work(tx))).unwrap_or(Err(Error::Panicked));
    // Inside the savepoint, so that a failure to write the sums undoes the closure too.
    let outcome = outcome.and_then(|answer| flush(tx).map(|()| answer));
    if tx.is_autocommit() {
        return Ok(Err(outcome.err().unwrap_or(Error::Aborted)));
    }
    match outcome {
        Ok(answer) => {
            tx.execute("RELEASE closure", [])?;
            Ok(Ok(answer))
        }
        Err(error) => {
            tx.execute("ROLLBACK TO closure", [])?;
            tx.execute("RELEASE closure", [])?;
            // The closure's changes in memory may no longer match the database. Reload it, but keep the earlier events
            // of this batch.
            let mut fresh = Memory::load(tx)?;
            let mut memory = tx.memory();
            fresh.events = std::mem::take(&mut memory.events);
            fresh.events.truncate(events);
            fresh.counters = memory.counters;
            fresh.woke = memory.woke;
            fresh.lost_leases = memory.lost_leases;
            fresh.lost_races = memory.lost_races;
            *memory = fresh;
            Ok(Err(error))
        }
    }
}

/// Cancels the groups of steps that were asked to stop, and writes the sums.
fn flush(tx: &WriteTx) -> Result<()> {
    cancel::below(tx)?;
    group_end::apply_sums(tx)
}

/// Writes the sums, events and counters of the whole batch, once.
pub(in crate::store) fn finish(tx: &WriteTx) -> Result<()> {
    flush(tx)?;
    event::append(tx)?;
    tx.save_counters()
}

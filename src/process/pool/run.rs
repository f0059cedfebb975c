//! Runs one step on a worker of the pool, and ends its unit.

use super::{
    inner::{Inner, Unavailable},
    state::Idle,
};
use crate::{
    decide::outcome::{Failure, ResultFrame, StartError, WorkerFacts, of_worker},
    model::{
        AttemptStats, Millis, Outcome, RunId,
        bounded::{CODE, MESSAGE, bounded},
    },
    os::CancelToken,
    process::{
        capture::{CAPTURE, Captured},
        exchange::{Reply, RequestOptions, WorkLimits},
        protocol::{Failed, LONGEST, Request, Work},
        worker::{Broken, Worker},
    },
};
use serde_json::Value;
use std::{fs::File, os::fd::AsFd, path::Path, sync::Arc};

/// In the attempt statistics.
const LAST_LINES: usize = 4096;

/// One attempt of a step.
#[derive(Debug)]
pub struct Job<'a> {
    pub work: &'a Work,
    pub unit: UnitOf,
    pub cancel: &'a CancelToken,
    /// Measured from the moment at which the request is sent.
    pub deadline: Option<Millis>,
    pub limits: WorkLimits,
    /// Requires a process that has served no step before, so that whatever happens to it is caused by this step.
    pub alone: bool,
    /// A directory for output that a follower reads while the step runs (`process::live`). It may not exist yet.
    pub live: Option<&'a Path>,
    /// Held until the step is done, or until the last process of the worker's tree is dead.
    pub lock: Option<&'a File>,
}

/// The unit that a step belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitOf {
    /// The step alone.
    Step,
    /// The steps of a run share one worker, which is finalized after the last one.
    Run { run: RunId, last: bool },
}

/// The result of a job.
#[derive(Debug)]
pub enum Done {
    Ran(Box<Ran>),
    /// The job was not sent: try again later. Without a reason nothing is wrong; there is just no free worker.
    NotNow {
        reason: Option<String>,
        after: Millis,
    },
}

/// How an attempt ended.
#[derive(Debug)]
pub struct Ran {
    pub outcome: Outcome,
    pub value: Option<Value>,
    /// Empty for a step that succeeded quickly and without output.
    pub certificate: AttemptStats,
    /// How many units the process had served before.
    pub served: u64,
    /// Whether the worker has nothing to tear down.
    pub clean: bool,
    pub stdout: Captured,
    pub stderr: Captured,
    /// From the request to the answer.
    pub took: Millis,
}

impl UnitOf {
    fn run(self) -> Option<RunId> {
        match self {
            UnitOf::Step => None,
            UnitOf::Run { run, .. } => Some(run),
        }
    }
}

pub(super) fn run(inner: &Arc<Inner>, job: &Job) -> Done {
    let taken = match job.alone {
        true => inner.check_out_new(&job.work.step, job.cancel),
        false => inner.check_out(&job.work.step, job.unit.run(), job.cancel),
    };
    let mut worker = match taken {
        Ok(worker) => worker,
        Err(Unavailable::NotNow { reason, after }) => return Done::NotNow { reason, after },
        Err(Unavailable::NoRoom(why)) => {
            let start_error = Some(StartError::NoRoom(why));
            return unsent(of_worker(&WorkerFacts { start_error, ..WorkerFacts::default() }), Broken::default());
        }
        Err(Unavailable::NotStartable(why)) => {
            let start_error = Some(StartError::NotStartable(why));
            return unsent(of_worker(&WorkerFacts { start_error, ..WorkerFacts::default() }), Broken::default());
        }
        Err(Unavailable::Broken(broken)) => {
            // A worker that exits by itself will do so again. A slow one may be faster next time.
            let outcome = match broken.by_itself {
                true => Outcome::permanent("not_startable", broken.why.as_str()),
                false => Outcome::retryable("not_ready", broken.why.as_str()),
            };
            return unsent(outcome, *broken);
        }
        Err(Unavailable::Stopped(intent)) => {
            let stopped = of_worker(&WorkerFacts { intent: Some(intent), ..WorkerFacts::default() });
            return unsent(stopped, Broken::default());
        }
    };
    if let Some(lock) = job.lock {
        // If the shim does not receive this, it is dead and so is its worker; the request will show that.
        let _ = worker.hold(lock.as_fd());
    }
    let timeouts = worker.timeouts;
    let options = RequestOptions {
        deadline: job.deadline,
        limits: job.limits,
        live: job.live,
        ..RequestOptions::of(job.cancel, &timeouts)
    };
    let reply = worker.ask(&Request::Run(job.work), &options);
    let mut ran = judge(&worker, reply);
    if worker.exit_info().is_some() {
        inner.lost(worker);
        return Done::Ran(Box::new(ran));
    }
    let goes_on = matches!(job.unit, UnitOf::Run { last: false, .. }) && ran.outcome == Outcome::Succeeded;
    let kept_for = job.unit.run().filter(|_| goes_on);
    let ended = match kept_for {
        Some(_) => Ok(()),
        None if ran.clean => {
            worker.units += 1;
            Ok(())
        }
        None => finalize(&mut worker, job.unit.run().map_or(&job.work.step, |_| &job.work.run), Some(&mut ran)),
    };
    if job.lock.is_some() {
        worker.let_go();
    }
    match ended {
        Ok(()) => inner.give_back(worker, kept_for),
        Err(why) => {
            ran.certificate.remarks.push(why);
            inner.lost(worker);
        }
    }
    Done::Ran(Box::new(ran))
}

fn unsent(outcome: Outcome, Broken { stdout, stderr, .. }: Broken) -> Done {
    let certificate = AttemptStats { last_lines: stderr.tail(LAST_LINES), ..AttemptStats::default() };
    let took = Millis(0);
    Done::Ran(Box::new(Ran { outcome, value: None, certificate, served: 0, clean: false, stdout, stderr, took }))
}

/// Requests the end of a unit and waits for it. An error is added to the statistics of the step before it, and never
/// counts against the next step. A worker that fails is discarded.
fn finalize(worker: &mut Worker, unit: &str, ran: Option<&mut Ran>) -> Result<(), String> {
    let timeouts = worker.timeouts;
    // Teardown always runs, even if the step itself was cancelled.
    let calm = CancelToken::new();
    // Another process that holds the pipe of an ended worker is not worth waiting for: no result can be lost any more.
    let drain = timeouts.drain.min(Millis::seconds(2));
    let options = RequestOptions { deadline: Some(timeouts.finalize), drain, ..RequestOptions::of(&calm, &timeouts) };
    let reply = worker.ask(&Request::Finalize { unit }, &options);
    worker.units += 1;
    let why = match (&reply.answer, reply.intent) {
        (Some(answer), _) => {
            answer.failed.as_ref().map(|it| format!("finalize failed: {}", bounded(it.message.clone(), MESSAGE)))
        }
        (None, Some(_)) => Some(format!("finalize took longer than {}", timeouts.finalize)),
        (None, None) => Some("finalize ended the worker".to_string()),
    };
    if let Some(ran) = ran {
        ran.stdout.push(&reply.stdout.newest, CAPTURE);
        ran.stderr.push(&reply.stderr.newest, CAPTURE);
    }
    match why {
        None => Ok(()),
        Some(why) => {
            tracing::warn!(pid = worker.pid, unit, "{why}; the worker process is replaced");
            Err(why)
        }
    }
}

fn judge(worker: &Worker, mut reply: Reply) -> Ran {
    if let Some(length) = reply.too_long {
        let message = format!("the request for the worker would have {length} bytes; a frame has at most {LONGEST}");
        reply.remarks.push("pass large values as files of an earlier step".to_string());
        return ran(worker, Outcome::permanent("input", message), None, reply);
    }
    let (value, frame, clean) = match reply.answer.take() {
        Some(answer) => (answer.value, Some(result_frame(answer.failed, &mut reply.stderr)), answer.clean),
        None => (None, None, false),
    };
    if reply.recovered {
        reply.remarks.push("result recovered from drained output".to_string());
    }
    let last_line = reply.stderr.last_line();
    let outcome = of_worker(&WorkerFacts {
        intent: reply.intent,
        start_error: None,
        frame: frame.as_ref(),
        exit: reply.exit,
        out_of_memory: worker.exit_info().is_some_and(|it| it.out_of_memory),
        open_files_hit: false,
        peak_rss: reply.peak_rss,
        raw_messages: reply.raw_messages,
        parse_failures: reply.parse_failures,
        last_line: &last_line,
    });
    let value = value.filter(|_| outcome == Outcome::Succeeded);
    Ran { clean, ..ran(worker, outcome, value, reply) }
}

/// The traceback of a failure goes into the log, where users expect it.
fn result_frame(failed: Option<Failed>, log: &mut Captured) -> ResultFrame {
    let Some(failed) = failed else { return ResultFrame::default() };
    log.note(failed.traceback.as_deref().unwrap_or_default());
    let or = |text: String, otherwise: &str, most: usize| match text.is_empty() {
        true => otherwise.to_string(),
        false => bounded(text, most),
    };
    let failure = Failure {
        retryable: failed.retryable,
        kind: or(failed.kind, "failed", CODE),
        message: or(failed.message, "the worker gave no reason", MESSAGE),
    };
    ResultFrame { failed: Some(failure) }
}

fn ran(worker: &Worker, outcome: Outcome, value: Option<Value>, reply: Reply) -> Ran {
    let mut certificate = AttemptStats {
        exit: worker.exit_info().and_then(|it| it.exit),
        peak_rss: reply.peak_rss,
        cpu: reply.cpu,
        last_lines: reply.stderr.tail(LAST_LINES),
        remarks: reply.remarks,
    };
    if worker.exit_info().is_some() {
        certificate.remarks.push(format!("worker process {} had served {}", worker.pid, units(worker.units)));
    }
    Ran {
        outcome,
        value,
        certificate,
        served: worker.units,
        clean: false,
        stdout: reply.stdout,
        stderr: reply.stderr,
        took: reply.took,
    }
}

fn units(number: u64) -> String {
    if number == 1 { "1 unit".to_string() } else { format!("{number} units") }
}

impl Inner {
    /// Returns a worker to the pool: reserved for the next step of a run, or after its unit was finalized.
    fn give_back(&self, worker: Worker, kept_for: Option<RunId>) {
        let health = worker.health();
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return self.lost(worker);
        }
        let mut recycled = None;
        let replaced = state.recycling.as_ref().filter(|it| it.number == worker.number).map(|it| (it.ready, it.reason));
        match (kept_for, replaced) {
            (None, Some((true, reason))) => recycled = Some(state.retire(worker, reason)),
            (None, None) => match state.judge(&self.spec, &worker, &health) {
                Some(reason) if state.can_recycle() => state.begin_recycling(worker, reason, health),
                Some(reason) if reason.is_urgent() && state.can_start() => state.enqueue(worker, reason, health),
                _ => state.put(worker, health, None),
            },
            (None, Some((false, _))) => match state.judge(&self.spec, &worker, &health) {
                Some(reason) if reason.is_urgent() => state.set_aside(worker, health),
                _ => state.put(worker, health, None),
            },
            (kept_for, _) => state.put(worker, health, kept_for),
        }
        self.wake_waiters(&state);
        if state.supervisor_dozes {
            self.chores.notify_one();
        }
        drop(state);
        if let Some(recycled) = recycled {
            self.tell(&recycled);
        }
    }

    /// Discards a dead or unusable worker; the next step gets another.
    pub(super) fn lost(&self, mut worker: Worker) {
        worker.end(&CancelToken::new());
        let mut state = self.lock();
        state.leave(worker.number);
        self.wake_waiters(&state);
    }

    /// Ends the unit of a run, because its next step did not come.
    pub(super) fn end_unit(&self, idle: Box<Idle>) {
        let Idle { mut worker, run, .. } = *idle;
        let unit = run.map(|it| it.to_string()).unwrap_or_default();
        match worker.attend() && finalize(&mut worker, &unit, None).is_ok() {
            true => self.give_back(worker, None),
            false => self.lost(worker),
        }
    }
}

//! The supervisor of a pool: watches idle workers, prepares replacements and ends workers that are no longer needed.

use super::{
    inner::Inner,
    spec::Recycled,
    state::{Idle, State},
};
use crate::{
    os::{CancelToken, Unpoisoned, readiness::wait_readable, threads},
    process::worker::{StartFailure, Worker},
};
use std::{
    io::Read,
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// The minimum time between two checks of idle workers, since a step may be about to take one.
const SHORTEST: Duration = Duration::from_millis(20);

enum Chore {
    /// Start a process to replace the one that is being recycled.
    Replace(u64),
    End(Box<Worker>),
    /// End the unit of a worker, because the next step of its run did not come.
    EndUnit(Box<Idle>),
    /// Watch these until a step needs one.
    Watch(Vec<Idle>, Duration),
    Close(Vec<Worker>),
}

pub(super) fn keep(inner: &Inner) {
    loop {
        match next_chore(inner) {
            Chore::Replace(number) => replace(inner, number),
            Chore::End(mut worker) => worker.end(&CancelToken::new()),
            Chore::EndUnit(idle) => inner.end_unit(idle),
            Chore::Watch(idle, at_most) => watch(inner, idle, at_most),
            Chore::Close(workers) => return end_all(workers),
        }
    }
}

fn next_chore(inner: &Inner) -> Chore {
    let mut state = inner.lock();
    loop {
        if state.closed {
            let aside = state.recycling.as_mut().and_then(|it| it.aside.take());
            let queue = std::mem::take(&mut state.queue).into_iter().map(|it| it.0);
            let idle = std::mem::take(&mut state.idle).into_iter().map(|it| it.worker);
            let mut workers: Vec<Worker> = idle.chain(queue).chain(aside).collect();
            workers.append(&mut state.ending);
            state.roster.retain(|number, _| workers.iter().all(|it| it.number != *number));
            return Chore::Close(workers);
        }
        take_from_queue(&mut state);
        if let Some(worker) = state.ending.pop() {
            return Chore::End(Box::new(worker));
        }
        if state.recycling.as_ref().is_some_and(|it| !it.ready) {
            return Chore::Replace(state.make_room());
        }
        let now = Instant::now();
        if let Some(chore) = for_the_idle(inner, &mut state, now) {
            return chore;
        }
        let next = state.idle.iter().map(|it| it.seen + inner.spec.timing.linger.duration()).min();
        state = match next {
            Some(next) => {
                let wait = next.saturating_duration_since(now).max(SHORTEST);
                inner.chores.wait_timeout(state, wait).unpoisoned().0
            }
            None => {
                state.supervisor_dozes = true;
                let mut woken = inner.chores.wait(state).unpoisoned();
                woken.supervisor_dozes = false;
                woken
            }
        };
    }
}

/// The next worker that waits for its replacement. If no replacement can be started, all of them return to work.
fn take_from_queue(state: &mut State) {
    while let Some((worker, reason)) = state.queue.pop_front() {
        let health = worker.health();
        if !state.can_start() {
            state.put(worker, health, None);
        } else if state.recycling.is_none() {
            return state.begin_recycling(worker, reason, health);
        } else {
            return state.queue.push_front((worker, reason));
        }
    }
}

/// What to do with the idle workers: end one, end its unit, or watch them.
fn for_the_idle(inner: &Inner, state: &mut State, now: Instant) -> Option<Chore> {
    let timing = &inner.spec.timing;
    let limit = |it: &Idle| if it.run.is_some() { timing.hold_most.duration() } else { timing.idle_most.duration() };
    if let Some(at) = state.idle.iter().position(|it| now.duration_since(it.since) >= limit(it)) {
        let idle = state.idle.remove(at);
        if idle.run.is_some() {
            state.set_busy(idle.worker.number, true);
            return Some(Chore::EndUnit(Box::new(idle)));
        }
        state.leave(idle.worker.number);
        return Some(Chore::End(Box::new(idle.worker)));
    }
    let lingers = |it: &Idle| now.duration_since(it.seen) < timing.linger.duration();
    if state.idle.is_empty() || state.idle.iter().any(lingers) || state.waiting > 0 {
        return None;
    }
    let next = state.idle.iter().map(|it| (it.since + limit(it)).saturating_duration_since(now)).min();
    let idle = std::mem::take(&mut state.idle);
    state.watched = idle.len();
    // Busy workers may return and need watching too.
    let all_here = state.watched == state.roster.len();
    let most = if all_here { next.unwrap_or_default() } else { timing.linger.duration() };
    Some(Chore::Watch(idle, most.max(Duration::from_millis(1))))
}

/// Waits until one of them prints or dies, or until a step needs one.
fn watch(inner: &Inner, mut idle: Vec<Idle>, at_most: Duration) {
    let until = Instant::now() + at_most;
    loop {
        let mut fds = vec![Some(inner.notify.0.as_fd())];
        fds.extend(idle.iter().flat_map(|it| it.worker.signs()));
        let left = until.saturating_duration_since(Instant::now());
        let Ok(ready) = wait_readable(&fds, left) else { break };
        for at in (0..idle.len()).rev() {
            if ready[1 + 4 * at..5 + 4 * at].contains(&true) && !idle[at].worker.attend() {
                inner.bury(idle.remove(at).worker);
                inner.lock().watched -= 1;
            }
        }
        if ready[0] || Instant::now() >= until || idle.is_empty() {
            break;
        }
    }
    while matches!((&inner.notify.0).read(&mut [0; 64]), Ok(count) if count > 0) {}
    let mut state = inner.lock();
    let now = Instant::now();
    idle.iter_mut().for_each(|it| it.seen = now);
    // In front of those that have returned in the meantime, which were used more recently.
    idle.append(&mut state.idle);
    state.idle = idle;
    state.watched = 0;
    inner.wake_waiters(&state);
}

/// Starts a replacement. The old worker ends only after the new one is ready.
fn replace(inner: &Inner, number: u64) {
    let started = inner.start(number, &inner.closing);
    let mut state = inner.lock();
    let recycled = match started {
        Ok(worker) => {
            state.enter(&worker, None);
            let health = worker.health();
            state.put(worker, health, None);
            finish(&mut state)
        }
        Err(failure) => {
            give_up(&mut state, &failure, &inner.spec.name);
            None
        }
    };
    inner.wake_waiters(&state);
    drop(state);
    if let Some(recycled) = recycled {
        inner.tell(&recycled);
    }
}

/// The old worker ends immediately if it is idle, otherwise when it returns.
fn finish(state: &mut State) -> Option<Recycled> {
    let recycling = state.recycling.as_mut()?;
    recycling.ready = true;
    let (number, reason) = (recycling.number, recycling.reason);
    let aside = recycling.aside.take();
    let at = state.idle.iter().position(|it| it.worker.number == number && it.run.is_none());
    let old = aside.or_else(|| at.map(|at| state.idle.remove(at).worker))?;
    Some(state.retire(old, reason))
}

/// Keeps the old worker: one that exceeds its limits is better than none.
fn give_up(state: &mut State, failure: &StartFailure, pool: &str) {
    let why = match failure {
        StartFailure::Failed(broken) => &broken.why,
        StartFailure::NoRoom(why) | StartFailure::NotStartable(why) => why,
        StartFailure::Stopped(_) => "the pool is being closed",
    };
    tracing::warn!(worker = pool, "failed to replace a worker process: {why}");
    let Some(recycling) = state.recycling.take() else { return };
    if let Some(listed) = state.roster.get_mut(&recycling.number) {
        listed.leaving = false;
    }
    if let Some(worker) = recycling.aside {
        let health = worker.health();
        state.put(worker, health, None);
    }
}

fn end_all(workers: Vec<Worker>) {
    threads::for_each(workers, |mut worker| worker.end(&CancelToken::new()));
}

impl Inner {
    pub(super) fn tell(&self, recycled: &Recycled) {
        let Recycled { pid, reason, age, units } = recycled;
        let worker = &self.spec.name;
        tracing::info!(worker, pid, reason = reason.signal(), %age, units, "recycled a worker process: {reason}");
        (self.listener)(recycled);
    }
}

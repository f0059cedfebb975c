//! A few threads for the blocking parts of requests, with a bounded queue.

use super::failure::{Failure, Result};
use crate::os::{Unpoisoned, threads::Threads};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};
use tokio::sync::oneshot;

/// The maximum number of threads; each starts when it is first needed.
const THREADS: usize = 4;
/// The stack size of a main thread, which the limits on nesting assume.
const STACK: usize = 8 << 20;
/// The maximum number of waiting jobs.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Jobs {
    shared: Arc<JobQueue>,
    threads: Threads,
}

#[derive(Default)]
struct JobQueue {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    /// Threads that are waiting for a job.
    idle: usize,
    threads: usize,
    closed: bool,
}

impl Jobs {
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let (tell, hear) = oneshot::channel();
        self.enqueue(Box::new(move || {
            // The client disconnected, or its time limit was reached.
            if tell.is_closed() {
                return;
            }
            let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
                tracing::error!("a request panicked");
                Err(Failure::new(500, "an internal error; see the log"))
            });
            let _ = tell.send(done);
        }))?;
        hear.await.unwrap_or_else(|_| Err(Failure::unavailable("windlass is stopping", 5)))
    }

    /// The numbers of waiting jobs and of busy threads.
    pub fn load(&self) -> (usize, usize) {
        let queue = lock(&self.shared.queue);
        (queue.waiting.len(), queue.threads - queue.idle)
    }

    /// Drops waiting jobs and joins the threads that have ended. Does not wait for a stuck thread.
    pub fn close(&self) {
        let mut queue = lock(&self.shared.queue);
        queue.closed = true;
        queue.waiting.clear();
        drop(queue);
        self.shared.filled.notify_all();
        self.threads.join_ended();
    }

    fn enqueue(&self, job: Job) -> Result<()> {
        let mut queue = lock(&self.shared.queue);
        if queue.closed {
            return Err(Failure::unavailable("windlass is stopping", 5));
        }
        if queue.waiting.len() >= QUEUE {
            return Err(Failure::unavailable("too many requests wait for the database", 1));
        }
        queue.waiting.push_back(job);
        let wants_thread = queue.idle < queue.waiting.len() && queue.threads < THREADS;
        if wants_thread {
            queue.threads += 1;
        }
        let number = queue.threads;
        drop(queue);
        self.shared.filled.notify_one();
        if !wants_thread {
            return Ok(());
        }
        let shared = self.shared.clone();
        let name = format!("windlass-api-{number}");
        if let Err(error) = self.threads.start_with_stack(&name, STACK, move || shared.work()) {
            let mut queue = lock(&self.shared.queue);
            queue.threads -= 1;
            if queue.threads == 0 {
                queue.waiting.pop_back();
                return Err(Failure::unavailable(format!("no thread available for the request: {error}"), 1));
            }
        }
        Ok(())
    }
}

impl JobQueue {
    fn work(&self) {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.waiting.pop_front() {
                drop(queue);
                job();
                queue = lock(&self.queue);
                continue;
            }
            if queue.closed {
                return;
            }
            queue.idle += 1;
            queue = self.filled.wait(queue).unpoisoned();
            queue.idle -= 1;
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unpoisoned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn a_full_queue_refuses_and_a_panic_is_an_answer() {
        let jobs = Jobs::default();
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let stuck = || {
            let gate = gate.clone();
            jobs.enqueue(Box::new(move || {
                let _ = lock(&gate).recv();
            }))
        };
        for busy in 1..=THREADS {
            stuck().unwrap();
            while jobs.load() != (0, busy) {
                std::thread::yield_now();
            }
        }
        (0..QUEUE).for_each(|_| stuck().unwrap());
        assert_eq!(stuck().unwrap_err().status.as_u16(), 503);
        drop(open);
        runtime().block_on(async {
            while jobs.load().0 > 0 {
                std::thread::yield_now();
            }
            let panicked: Result<()> = jobs.run(|| panic!("planted")).await;
            assert_eq!(panicked.unwrap_err().status.as_u16(), 500);
            assert_eq!(jobs.run(|| Ok(7)).await, Ok(7));
            jobs.close();
            assert_eq!(jobs.run(|| Ok(7)).await.unwrap_err().status.as_u16(), 503);
        });
    }
}

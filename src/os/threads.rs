//! Threads. The whole program creates them here and gives them names, so that a person who inspects the process knows
//! what each one does.

use super::unpoisoned::Unpoisoned;
use std::{
    io,
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle, Scope, ScopedJoinHandle},
    time::Instant,
};

/// Starts a thread.
pub fn start<T: Send + 'static>(
    name: impl Into<String>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.into()).spawn(work)
}

/// Starts a thread that ends before its scope does. `stack` is in bytes; `None` means the default size.
pub fn start_within<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    name: impl Into<String>,
    stack: Option<usize>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    let builder = thread::Builder::new().name(name.into());
    stack.into_iter().fold(builder, thread::Builder::stack_size).spawn_scoped(scope, work)
}

/// The threads of a service: something long-lived, such as a worker, a pool or the writer of a store.
///
/// A service keeps them in a field. Its `stop` (or `close`, or `Drop`) sets a flag in its shared state, wakes its
/// threads and calls [`join`](Threads::join). Calling `stop` again does nothing.
#[derive(Debug, Default)]
pub struct Threads {
    handles: Mutex<Vec<JoinHandle<()>>>,
    at_work: Arc<AtWork>,
}

#[derive(Debug, Default)]
struct AtWork {
    count: Mutex<usize>,
    ended: Condvar,
}

/// Counts a thread from its start to its end, even if it panics.
struct Counted(Arc<AtWork>);

impl Drop for Counted {
    fn drop(&mut self) {
        *self.0.count.lock().unpoisoned() -= 1;
        self.0.ended.notify_all();
    }
}

impl Threads {
    pub fn start(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.build(thread::Builder::new().name(name.into()), work)
    }

    /// Like `start`, with a stack of this many bytes.
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    pub fn start_with_stack(&self, name: &str, stack: usize, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.build(thread::Builder::new().name(name.into()).stack_size(stack), work)
    }

    fn build(&self, builder: thread::Builder, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        *self.at_work.count.lock().unpoisoned() += 1;
        let counted = Counted(self.at_work.clone());
        let handle = builder.spawn(move || {
            let _counted = counted;
            work();
        })?;
        let mut handles = self.handles.lock().unpoisoned();
        // A thread that has ended keeps its stack until it is joined.
        handles.retain(|it| !it.is_finished());
        handles.push(handle);
        Ok(())
    }

    /// Waits until all threads have ended or the deadline passes. Returns false if some are still running.
    pub fn wait(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let count = self.at_work.count.lock().unpoisoned();
        *self.at_work.ended.wait_timeout_while(count, left, |count| *count > 0).unpoisoned().0 == 0
    }

    /// Joins the threads that have ended and abandons the others.
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    pub fn join_ended(&self) {
        let ended: Vec<_> = self.handles.lock().unpoisoned().extract_if(.., |handle| handle.is_finished()).collect();
        for handle in ended {
            let _ = handle.join();
        }
    }

    /// Waits until all threads have ended. Idempotent.
    pub fn join(&self) {
        let handles = std::mem::take(&mut *self.handles.lock().unpoisoned());
        for handle in handles {
            let _ = handle.join();
        }
    }
}

/// Runs `work` in a thread of its own. If none can be started, runs it before returning.
pub fn aside(name: &str, work: impl FnOnce() + Send + 'static) {
    let work = Arc::new(Mutex::new(Some(work)));
    let theirs = work.clone();
    if start(name, move || run(&theirs)).is_err() {
        run(&work);
    }
}

/// Calls `work` with every item, in parallel as far as threads can be started, and waits until all calls are done.
pub fn for_each<T: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) + Sync) {
    let work = &work;
    thread::scope(|scope| {
        for item in items {
            let todo = Arc::new(Mutex::new(Some(move || work(item))));
            let theirs = todo.clone();
            if thread::Builder::new().spawn_scoped(scope, move || run(&theirs)).is_err() {
                run(&todo);
            }
        }
    });
}

/// Runs the work unless another caller has taken it.
fn run(work: &Mutex<Option<impl FnOnce()>>) {
    let work = work.lock().unpoisoned().take();
    if let Some(work) = work {
        work();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };
    use std::time::Duration;

    #[test]
    fn threads_are_waited_for_until_a_time_and_joined() {
        let threads = Threads::default();
        let (go, gone) = mpsc::channel::<()>();
        threads.start("waits", move || _ = gone.recv()).unwrap();
        threads.start("panics", || panic!("a thread that ends badly has ended, too")).unwrap();
        assert!(!threads.wait(Instant::now() + Duration::from_millis(20)));
        threads.join_ended();
        assert!(!threads.wait(Instant::now()), "the one that waits was left alone");
        drop(go);
        assert!(threads.wait(Instant::now() + Duration::from_secs(60)));
        threads.join();
        threads.join();
        assert!(threads.wait(Instant::now()), "nothing is left to wait for");
    }

    #[test]
    fn every_item_is_done_once_and_before_the_return() {
        let sum = AtomicUsize::new(0);
        for_each(1..=10, |it| {
            sum.fetch_add(it, Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 55);
        let (tell, received) = mpsc::channel();
        aside("aside", move || tell.send(7).unwrap());
        assert_eq!(received.recv().unwrap(), 7);
    }
}

//! Work that runs beside its caller if a thread is available, else within the caller.

use super::unpoisoned::Unpoisoned;
use std::{
    sync::{Arc, Mutex},
    thread,
};

/// Begins `work` in a thread of its own; without one, does it before it returns.
pub fn aside(name: &str, work: impl FnOnce() + Send + 'static) {
    let work = Arc::new(Mutex::new(Some(work)));
    let theirs = work.clone();
    let spawned = thread::Builder::new().name(name.to_string()).spawn(move || run(&theirs));
    if spawned.is_err() {
        run(&work);
    }
}

/// Does the same with every item, side by side as far as there are threads, and waits until all is done.
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

/// Whoever comes first does it.
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

    #[test]
    fn every_item_is_done_once_and_before_the_return() {
        let sum = AtomicUsize::new(0);
        for_each(1..=10, |it| {
            sum.fetch_add(it, Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 55);
        let (tell, told) = mpsc::channel();
        aside("aside", move || tell.send(7).unwrap());
        assert_eq!(told.recv().unwrap(), 7);
    }
}

//! Locks that ignore panics.

use std::sync::PoisonError;

/// Takes a lock or ends a wait even if a thread panicked while holding the lock. The data behind our locks is
/// consistent between any two statements, so a panic elsewhere is no reason to fail.
pub trait Unpoisoned {
    type Guard;

    fn unpoisoned(self) -> Self::Guard;
}

impl<G> Unpoisoned for Result<G, PoisonError<G>> {
    type Guard = G;

    fn unpoisoned(self) -> G {
        self.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_lock_can_be_taken_after_a_panic() {
        let lock = Mutex::new(1);
        let panicked = std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let _guard = lock.lock();
                panic!("while the lock is held");
            });
            holder.join()
        });
        assert!(panicked.is_err() && lock.is_poisoned());
        *lock.lock().unpoisoned() += 1;
        assert_eq!(*lock.lock().unpoisoned(), 2);
    }
}

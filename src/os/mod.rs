//! Thin wrappers over the operating system. Everything specific to Linux or macOS stays in here.
//!
//! Owns: clocks, file locks and the turnstile, the ownership and type of files, process identity and statistics, disk
//! space, cancel tokens, signals, hints about changed files, stderr, limits of this process, shortages of system resources. May import: `model`.
//! Never: knows about steps, workers or databases.

pub mod browser;
pub mod cancel;
pub mod clock;
pub mod detached;
pub mod disk_space;
pub mod error_kind;
pub mod fd_passing;
pub mod file_events;
pub mod file_facts;
pub mod file_lock;
pub mod file_system;
pub mod folder;
pub mod interrupted;
pub mod leader;
pub mod limits;
pub mod machine;
pub mod ownership;
pub mod peer;
pub mod private;
pub mod process_handle;
pub mod process_stat;
pub mod readiness;
pub mod regular_file;
pub mod shortage;
pub mod signals;
pub mod small_disk;
pub mod socket_owner;
pub mod spawn;
pub mod stderr;
pub mod supervisor;
pub mod thread_stat;
pub mod threads;
pub mod turnstile;
pub mod unpoisoned;
pub mod waker;
pub mod wal_readers;

pub use cancel::CancelToken;
#[cfg(any(test, feature = "internals"))]
pub use clock::MovableClock;
pub use clock::{Clock, SystemClock, boot_id};
pub use file_events::{FileEvents, Hint};
pub use file_lock::{FileLock, LockState};
pub use process_handle::ProcessHandle;
pub use shortage::Shortage;
pub use signals::Signals;
#[cfg(any(test, feature = "internals"))]
pub use signals::{SuspendGuard, hold_suspend};
pub use small_disk::SmallDisk;
pub use supervisor::Supervisor;
pub use turnstile::{Turn, Turnstile};
pub use unpoisoned::Unpoisoned;
pub use waker::Waker;

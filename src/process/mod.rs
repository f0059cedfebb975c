//! Child processes: the shim, the child, the protocol, the pool of workers and their health.
//!
//! Every child runs under a shim, this program executed again, which keeps the child's whole tree together and ends it
//! when the engine is gone. `shim` is the code on the far side; `handle` is our end of the socket to it; `child` runs
//! one command to its end. `protocol` has the messages to and from a worker process, `exchange` sends and receives them,
//! `worker` is one such process, `live` shows the output of a running one; `pool` keeps as many as are needed, and `serve` is
//! the far side of the protocol for work of our own.
//!
//! May import: `model`, `decide`, `os`, `settings`. Never: knows scheduling or opens the database.

pub mod capture;
pub mod child;
mod deaths;
mod environment;
pub mod exchange;
pub mod foreground;
mod guard;
pub mod handle;
pub mod live;
pub mod pool;
pub mod program;
pub mod protocol;
pub mod sdk;
pub mod serve;
pub mod shim;
pub mod wire;
pub mod worker;
mod worker_process;

pub use crate::os::leader::adopt_orphans;
pub use capture::Captured;
pub use child::{ChildEnd, ChildLimits, ChildSpec, Stdin, attempt_stats, outcome, run};
pub use foreground::run_in_foreground;

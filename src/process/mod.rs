//! Child processes: the shim, the child, the protocol, the pool of workers and their health.
//!
//! Every child runs under a shim. The shim is this program, executed again; it keeps the child's process tree together
//! and ends the tree when the engine is gone. `shim` is the code of that process, and `handle` is our end of the socket
//! to it. `child` runs one command to its end. `protocol` defines the messages of a worker process, `exchange` sends
//! and receives them, and `worker` is one such process. `live` shows the output of a running attempt. `pool` keeps as
//! many worker processes as are needed, and `serve` is the worker's side of the protocol for work of our own.
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
mod mask;
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

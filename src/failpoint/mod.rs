//! Planted failures and probes, for the programs that torment windlass.
//!
//! Owns: the mistakes that can be switched on in builds with the feature `planted-bugs`, and the marks of what a process is
//! doing. May import: `std`. Never: costs more than one load where nothing is asked for.

mod failpoints;
pub mod probe;

pub use failpoints::{Failpoint, is_active};
pub use probe::Window;

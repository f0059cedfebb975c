//! Planted bugs and probes, for the programs that test windlass by breaking it.
//!
//! Owns: the bugs that can be switched on in builds with the feature `planted-bugs`, and the marks that show what a
//! process is doing. May import: `std`. Never: costs more than one load while it is off.

mod failpoints;
pub mod probe;

pub use failpoints::{Failpoint, is_active};
pub use probe::Window;

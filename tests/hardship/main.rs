//! The real binary where things go wrong around it: disks that are full or slow, files that are damaged or gone, clocks
//! that jump, limits that are low, crowds and races. What docs/guarantees.md lists as a fault is injected here, unless
//! another test does it.
//!
//! What needs strace, a mount or another user says so and passes where that is not to be had.

#[path = "../support"]
mod support {
    pub mod binary;
    pub mod house;
    pub mod needs;
    pub mod place;
    pub mod plant;
}

use support::house;
use support::plant;

mod clocks;
mod crowd;
mod disk;
mod files;
mod foreign_backups;
mod kills;
mod limits;
mod modes;
mod old_copies;
mod ownership;
mod pages;
mod races;
mod shortage;
mod silence;
mod special_files;
mod upgrade;

pub use support::{
    binary::{Ended, Running, WINDLASS, Windlass, eventually, signal},
    needs::{needs, needs_root, needs_working, skip},
    place::Place,
};

//! The real binary in a hostile environment: full or slow disks, damaged or missing files, clocks that jump, low
//! limits, crowds and races. The faults listed in docs/guarantees.md are injected here, unless another test does it.
//!
//! A test that needs strace, a mount or another user says so, and passes if that is not available.

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

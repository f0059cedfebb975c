//! A wall clock that the nemesis can set, for the processes of a drill only.

use crate::{
    model::{Monotonic, Timestamp},
    os::{Clock, SystemClock},
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

/// The machine's clocks, with the wall clock shifted by the milliseconds in a shared file.
#[derive(Debug)]
pub struct ShiftedClock(File);

impl ShiftedClock {
    pub fn open(path: &Path) -> io::Result<ShiftedClock> {
        Ok(ShiftedClock(OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?))
    }

    /// Sets the shift for every process that uses the file.
    pub fn shift(&self, by: i64) -> io::Result<()> {
        self.0.write_all_at(&by.to_le_bytes(), 0)
    }
}

impl Clock for ShiftedClock {
    fn wall(&self) -> Timestamp {
        let mut bytes = [0; 8];
        // An empty file means no shift.
        let shift = self.0.read_exact_at(&mut bytes, 0).map_or(0, |()| i64::from_le_bytes(bytes));
        Timestamp(SystemClock.wall().0 + shift)
    }

    fn monotonic(&self) -> Monotonic {
        SystemClock.monotonic()
    }
}

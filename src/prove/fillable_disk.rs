//! A small disk in memory that can be filled and freed again.

use crate::{model::Bytes, os::SmallDisk};
use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

/// The free space while the disk is not full. It takes memory only as it is used.
const ROOM: Bytes = Bytes::mib(256);

/// A disk that can be filled, and the time until which it is full.
#[derive(Debug)]
pub struct FillableDisk {
    disk: SmallDisk,
    full: Option<(Instant, Bytes)>,
    pub fills: usize,
}

impl FillableDisk {
    pub fn new(home: &Path) -> io::Result<FillableDisk> {
        Ok(FillableDisk { disk: SmallDisk::mount(home, ROOM)?, full: None, fills: 0 })
    }

    /// Leaves only `left` bytes for a while. If the disk is already full, it stays full for the time originally set.
    pub fn fill(&mut self, time: Duration, left: Bytes) -> io::Result<()> {
        if self.full.is_none() {
            self.full = Some((Instant::now() + time, left));
            self.fills += 1;
            self.disk.leave(left)?;
        }
        Ok(())
    }

    /// Frees the space again when the time is over. Until then, takes any space that is released, as another program
    /// would.
    pub fn tend(&mut self) -> io::Result<()> {
        match self.full {
            Some((until, _)) if until <= Instant::now() => self.heal(),
            Some((_, Bytes(0))) => self.disk.leave(Bytes(0)),
            _ => Ok(()),
        }
    }

    pub fn heal(&mut self) -> io::Result<()> {
        self.full = None;
        self.disk.leave(ROOM)
    }
}

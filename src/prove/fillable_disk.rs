//! A small disk in memory that is filled and made free again.

use crate::{model::Bytes, os::SmallDisk};
use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

/// Room while the disk is not full. It is taken from memory as it is used.
const ROOM: Bytes = Bytes::mib(256);

/// A disk that can be filled, and until when it is full.
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

    /// Leaves so many bytes for a while. A disk that is full already stays so for as long as was said.
    pub fn fill(&mut self, time: Duration, left: Bytes) -> io::Result<()> {
        if self.full.is_none() {
            self.full = Some((Instant::now() + time, left));
            self.fills += 1;
            self.disk.leave(left)?;
        }
        Ok(())
    }

    /// Makes room when the time has come. Until then it takes what was given up, as another program would.
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

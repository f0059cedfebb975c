//! What a drill is to do, and how far it is.

use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// What to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drill {
    /// A directory that is empty or not there yet, on the disk that is to be proven.
    pub dir: PathBuf,
    /// The windlass binary; None: this very program.
    pub program: Option<PathBuf>,
    pub seed: u64,
    /// Ends the torture when so many processes were killed.
    pub kills: usize,
    pub workers: usize,
    pub clients: usize,
    /// Ends the torture after this time, however many were killed.
    pub at_most: Option<Duration>,
    /// How long the work that is left may take once all is healed.
    pub patience: Duration,
}

/// How far a drill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The drill on a disk that is filled, which is held first.
    Filling,
    Killed {
        done: usize,
        of: usize,
    },
    Draining,
    Checking,
}

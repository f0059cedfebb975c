//! The parameters of a drill, and its progress.

use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// The parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drill {
    /// An empty or missing directory on the disk to test.
    pub dir: PathBuf,
    /// The windlass binary; `None`: this program itself.
    pub program: Option<PathBuf>,
    pub seed: u64,
    /// Ends the torture after this many kills.
    pub kills: usize,
    pub workers: usize,
    pub clients: usize,
    /// Ends the torture after this time, whatever the number of kills.
    pub at_most: Option<Duration>,
    /// How long the remaining work may take after everything is healed.
    pub patience: Duration,
}

/// The progress of a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The drill on a disk that is filled, which runs first.
    Filling,
    Killed {
        done: usize,
        of: usize,
    },
    Draining,
    Checking,
}

//! The side log: what each process says that it does, independent of the database under test.
//!
//! One JSON object per line. Each record is one append and one fsync. A record starts with a line break, so that a
//! preceding record that a kill cut off is on a line of its own.

use super::{Error, Result};
use crate::model::{GroupId, RunId, StepId, Token, WorkerId};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// One record. Times are nanoseconds of the monotonic clock; `process` is the number that the drill assigned to the
/// process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Record {
    /// The process now has this worker id.
    Worker { process: u32, worker: WorkerId },
    /// A handler begins; `key` is the key that it uses exclusively, if any.
    Start { process: u32, group: GroupId, run: RunId, step: StepId, token: Token, key: Option<String>, at: i64 },
    /// A handler has finished its effects.
    End { step: StepId, token: Token, end: HandlerEnd, at: i64 },
    /// A handler found an input artifact missing or damaged.
    BadInput { step: StepId, token: Token, what: String },
    /// A hook ran.
    Hook { group: GroupId, step: Option<StepId>, event: String, token: Token, at: i64 },
    /// A client is about to submit.
    Invoke { process: u32, number: u64, key: Option<String>, name: String, wrong: bool },
    /// The submission with this name was acknowledged.
    Accepted { process: u32, name: String, group: GroupId, new: bool },
    /// The submission was refused or failed. `conflict`: the key stands for other content. `full`: the disk was full.
    Refused { process: u32, name: String, conflict: bool, full: bool, error: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandlerEnd {
    Done,
    Failed,
    /// The handler's worker is stopping.
    Stopped,
}

/// The log of one process.
#[derive(Debug)]
pub struct Log(File);

impl Log {
    pub fn open(path: &Path) -> io::Result<Log> {
        Ok(Log(OpenOptions::new().append(true).create(true).open(path)?))
    }

    /// Appends a record. When this returns, the record is on disk.
    pub fn write(&self, record: &Record) -> io::Result<()> {
        let mut line = b"\n".to_vec();
        serde_json::to_writer(&mut line, record)?;
        line.push(b'\n');
        (&self.0).write_all(&line)?;
        self.0.sync_data()
    }
}

/// All complete records, in file order. An incomplete line was cut off by a kill and promises nothing.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|it| serde_json::from_str(it).ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Io { action: "read", path: path.to_path_buf(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_around_one_that_was_cut_off_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let record = |worker| Record::Worker { process: 1, worker: WorkerId(worker) };
        let log = Log::open(&path).unwrap();
        log.write(&record(1)).unwrap();
        (&log.0).write_all(b"\n{\"is\":\"worker\",\"proc").unwrap();
        log.write(&record(2)).unwrap();
        assert_eq!(read(&path).unwrap(), [record(1), record(2)]);
    }
}

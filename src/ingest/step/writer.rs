//! Connections of the store step, kept open for the next document.
//!
//! Opening a vector database, raising its epoch and closing it costs several disk flushes; storing a document costs
//! one. So the connection of the last step stays open for a moment, without holding any lock. The step that takes it
//! over holds the file lock, and first checks whether another writer took over in between. If so, it raises the epoch
//! again.

use crate::os::{Unpoisoned, threads};
use crate::vector::{Epoch, Error, OpenOptions, VectorDb};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

/// An idle process keeps no database open.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The connection that was used last, if it is still open.
#[derive(Clone, Default)]
pub(super) struct Writers(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    idle: Option<IdleWriter>,
    /// Whether a thread will close the kept connection.
    watched: bool,
}

struct IdleWriter {
    writer: Writer,
    used: Instant,
}

/// An open database and the right to write.
pub(super) struct Writer {
    pub db: VectorDb,
    pub epoch: Epoch,
    /// Device and inode: a file that replaced it is another database.
    file: Option<(u64, u64)>,
}

impl Writers {
    /// Returns a writer for this database. The caller holds the file lock.
    pub(super) fn open(
        &self,
        path: &Path,
        embedder: &str,
        dimension: usize,
        server: Option<&Value>,
        chunk_params: &Value,
    ) -> Result<Writer, Error> {
        let kept = self.lock().idle.take().map(|it| it.writer);
        let fits = |it: &Writer| {
            it.db.path() == path
                && it.db.embedder() == embedder
                && it.db.dimension() == dimension
                && it.file.is_some()
                && it.file == identity(path)
        };
        let mut writer = match kept.filter(fits) {
            Some(mut kept) => {
                if !kept.db.is_current(kept.epoch)? {
                    kept.epoch = kept.db.raise_epoch()?;
                }
                kept
            }
            None => {
                let options = OpenOptions::default();
                let mut db = VectorDb::create_or_open_for_writing(path, &options, embedder, dimension, chunk_params)?;
                let epoch = db.raise_epoch()?;
                Writer { db, epoch, file: identity(path) }
            }
        };
        if writer.db.chunk_params()? != *chunk_params {
            writer.db.record_chunk_params(writer.epoch, chunk_params)?;
        }
        // The same model may have moved to another address.
        if let Some(server) = server
            && writer.db.server()?.as_ref() != Some(server)
        {
            writer.db.record_server(writer.epoch, server)?;
        }
        Ok(writer)
    }

    /// Keeps a writer for the next step. Call it while holding the file lock, and not after an error.
    pub(super) fn keep(&self, writer: Writer) {
        let mut slot = self.lock();
        let older = slot.idle.replace(IdleWriter { writer, used: Instant::now() });
        if !slot.watched {
            let watched = self.clone();
            let closer = threads::start("windlass-vector-closer", move || watched.close_when_idle());
            slot.watched = closer.is_ok();
            if !slot.watched {
                slot.idle = None;
            }
        }
        drop(slot);
        // Closing a connection may flush the disk, so do it without the lock.
        drop(older);
    }

    fn close_when_idle(&self) {
        loop {
            let mut slot = self.lock();
            let age = slot.idle.as_ref().map_or(Duration::ZERO, |it| it.used.elapsed());
            if age >= KEPT_FOR || slot.idle.is_none() {
                slot.watched = false;
                let kept = slot.idle.take();
                drop(slot);
                drop(kept);
                return;
            }
            drop(slot);
            thread::sleep(KEPT_FOR - age);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unpoisoned()
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|it| (it.dev(), it.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn open(writers: &Writers, path: &Path, size: u32) -> Writer {
        writers.open(path, "hash:v1", 8, None, &json!({"size": size})).unwrap()
    }

    #[test]
    fn a_kept_writer_goes_on_under_its_epoch_until_somebody_else_took_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let writers = Writers::default();
        let first = open(&writers, &path, 1);
        let epoch = first.epoch;
        writers.keep(first);
        let second = open(&writers, &path, 1);
        assert_eq!(second.epoch, epoch);
        writers.keep(second);

        let other = open(&Writers::default(), &path, 1);
        assert!(other.epoch > epoch);
        let third = open(&writers, &path, 2);
        assert!(third.epoch > other.epoch);
        assert!(!other.db.is_current(other.epoch).unwrap());
        assert_eq!(other.db.chunk_params().unwrap(), json!({"size": 2}));
    }

    #[test]
    fn a_writer_of_another_file_or_embedder_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let writers = Writers::default();
        writers.keep(open(&writers, &path, 1));
        assert!(writers.open(&path, "static:v1", 8, None, &json!({})).is_err());

        let writer = open(&writers, &path, 1);
        for ending in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{ending}", path.display()));
        }
        writers.keep(writer);
        let fresh = open(&writers, &path, 1);
        assert_eq!(fresh.epoch.number(), 1);
        assert!(path.exists());
    }

    #[test]
    fn an_idle_writer_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let writers = Writers::default();
        writers.keep(open(&writers, &path, 1));
        let log = dir.path().join("a.db-wal");
        assert!(log.exists());
        // The last connection removes the log when it closes.
        let deadline = Instant::now() + Duration::from_secs(20);
        while log.exists() {
            assert!(Instant::now() < deadline, "still open");
            thread::yield_now();
        }
    }
}

//! The process that blocks all other writers of the database.

use crate::{
    engine::Engine,
    model::ThreadState,
    os::{process_stat, thread_stat, turnstile::WRITE_LOCK, wal_readers},
};
use std::path::Path;

/// A process that is writing, or that blocks other writers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterHeld {
    pub pid: u32,
    /// `process 7 (python3) has the database locked`
    pub what: String,
    pub text: String,
}

/// Another program that has locked the database, or a windlass process that was stopped in the middle of a transaction.
/// A windlass process that is just writing does not count. Does not wait.
pub fn writer_held(engine: &Engine) -> Option<WriterHeld> {
    writer_held_at(engine.store().path())
}

/// The same for the database at this path.
pub fn writer_held_at(path: &Path) -> Option<WriterHeld> {
    let room = process_stat::who_holds_lock(&path.with_extension(WRITE_LOCK)).filter(|it| *it != std::process::id());
    let writer = wal_readers::writer(path);
    let pid = match (writer, room) {
        (Some(writer), room) if room != Some(writer) || is_stopped(writer) => writer,
        (None, Some(room)) if is_stopped(room) => room,
        _ => return None,
    };
    let what = if is_stopped(pid) {
        "was stopped while it held the lock of the database"
    } else {
        "holds the lock of the database"
    };
    let what = format!("{} {what}", process_stat::in_words(pid));
    let text = format!("{what}: nothing can be written; this shows the last commit");
    Some(WriterHeld { pid, what, text })
}

fn is_stopped(pid: u32) -> bool {
    let identity = process_stat::identity_of(pid);
    identity.and_then(|it| thread_stat::look(&it, pid)).is_some_and(|it| it.state == ThreadState::Stopped)
}

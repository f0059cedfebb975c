//! Who keeps everyone else from writing the database.

use crate::{
    engine::Engine,
    model::ThreadState,
    os::{process_stat, thread_stat, wal_readers},
};

/// A process that writes, or stands in the way of those who would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterHeld {
    pub pid: u32,
    pub text: String,
}

/// Another program that has locked the database, or a windlass that was stopped in the middle of a transaction. A windlass
/// that just writes is neither. Waits for nobody.
pub fn writer_held(engine: &Engine) -> Option<WriterHeld> {
    let path = engine.store().path();
    let room = process_stat::who_holds_lock(&path.with_extension("room")).filter(|it| *it != std::process::id());
    let writer = wal_readers::writer(path);
    let pid = match (writer, room) {
        (Some(writer), room) if room != Some(writer) || is_stopped(writer) => writer,
        (None, Some(room)) if is_stopped(room) => room,
        _ => return None,
    };
    let what = if is_stopped(pid) { "was stopped while it had the database locked" } else { "has the database locked" };
    let who = process_stat::in_words(pid);
    Some(WriterHeld { pid, text: format!("{who} {what}: nothing can be written; what is shown is the last commit") })
}

fn is_stopped(pid: u32) -> bool {
    let identity = process_stat::identity_of(pid);
    identity.and_then(|it| thread_stat::look(&it, pid)).is_some_and(|it| it.state == ThreadState::Stopped)
}

//! Shared by the handlers that change something: their identity as lock holders, how long they wait, the meaning of a refusal.

use crate::{
    http::Failure,
    ingest,
    model::{Holder, HolderKind},
};
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

/// How long a deletion waits for the runs that it has cancelled.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// The lock holder for a request. Each request is its own holder, so two requests exclude each other.
pub(super) fn holder() -> Holder {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    Holder { kind: HolderKind::Web, id: NEXT.fetch_add(1, Ordering::Relaxed) }
}

/// If the body of a request names something that can't be read, that is a client error (400), not an unknown address (404).
pub(super) fn of_ingest(error: ingest::Error) -> Failure {
    use ingest::Error;
    let message = match &error {
        Error::Source(_) => error.to_string(),
        // A name that does not exist.
        Error::Io { action: "resolve", source, .. } => format!("{error}: {source}"),
        _ => return error.into(),
    };
    let failure = Failure::bad_request(message);
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

//! How an ingest step ends: turns errors of each room into outcomes, in one line for people.

use crate::{
    artifact,
    decide::outcome::{CommandFacts, of_command},
    engine::{self, StepContext, StepResult, with_causes},
    ingest,
    model::{KillIntent, Outcome},
    os::Shortage,
    vector,
};
use std::io;

/// The end of a step kind's work: its result, or the outcome that ended it early.
pub(super) type Work = Result<StepResult, Outcome>;

pub(super) fn ended(work: Work) -> StepResult {
    work.unwrap_or_else(StepResult::ended)
}

/// Fails if the engine asks the work to stop.
pub(super) fn go_on(cx: &StepContext) -> Result<(), Outcome> {
    cx.cancel.intent().map_or(Ok(()), |intent| Err(stopped(intent)))
}

pub(super) fn stopped(intent: KillIntent) -> Outcome {
    of_command(&CommandFacts { intent: Some(intent), ..CommandFacts::default() })
}

/// The outcome of work that is lost because of a shortage.
pub(super) fn no_room(reason: String) -> Outcome {
    Outcome::NoRoom { reason, in_vain: true }
}

pub(super) fn of_artifact(error: artifact::Error) -> Outcome {
    match &error {
        // The document is not at fault: the attempt is released.
        error if error.shortage().is_some() => no_room(with_causes(error)),
        _ => Outcome::retryable("artifact", with_causes(&error)),
    }
}

pub(super) fn of_engine(error: engine::Error) -> Outcome {
    match error {
        engine::Error::Artifact(error) => of_artifact(error),
        other => other.no_room(false).unwrap_or_else(|| Outcome::retryable("io", with_causes(&other))),
    }
}

pub(super) fn of_vector(error: vector::Error) -> Outcome {
    use vector::Error;
    let message = match error.hint() {
        Some(hint) => format!("{}; {hint}", with_causes(&error)),
        None => with_causes(&error),
    };
    match error {
        Error::DiskFull { .. } => no_room(message),
        error if Shortage::behind(&error).is_some() => no_room(message),
        Error::Fenced { .. } => Outcome::retryable("fenced", message),
        Error::Busy { .. } | Error::Io { .. } | Error::Sql { .. } => Outcome::retryable("database", message),
        _ => Outcome::permanent("database", message),
    }
}

pub(super) fn of_io(what: &str, error: &io::Error) -> Outcome {
    match Shortage::of_start(error) {
        Some(_) => no_room(format!("{what}: {error}")),
        None => Outcome::retryable("io", format!("{what}: {error}")),
    }
}

pub(super) fn with_hint(error: &ingest::Error) -> String {
    match error.hint() {
        Some(hint) => format!("{}; {hint}", with_causes(error)),
        None => with_causes(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_for_the_moment_fails_no_document() {
        let path = || std::path::PathBuf::from("py");
        for short in [Shortage::Descriptors, Shortage::Memory, Shortage::Threads, Shortage::Disk] {
            let pool =
                of_engine(engine::Error::Io { action: "open the worker pool", path: path(), source: short.as_error() });
            let file = of_artifact(artifact::Error::Io { action: "open", path: path(), source: short.as_error() });
            let thread = of_io("there is no thread", &short.as_error());
            for outcome in [pool, file, thread] {
                assert!(matches!(outcome, Outcome::NoRoom { .. }), "{outcome:?}");
            }
        }
        let database = vector::Error::Io { action: "open", path: path(), source: Shortage::Descriptors.as_error() };
        assert!(matches!(of_vector(database), Outcome::NoRoom { .. }));
        let broken = of_io("odd", &io::Error::from_raw_os_error(libc::EIO));
        assert!(matches!(broken, Outcome::Failed { retryable: true, .. }));
    }
}

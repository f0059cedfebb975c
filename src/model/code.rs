//! States as the database stores them: each enum is one table of code, public name and words for people.
//!
//! SQL texts name a code by its constant, through `const_format::formatcp!("... state = {STEP_DELAYED}")`;
//! `tests/tidy.rs` refuses a bare number. Codes are stored in databases, so their meaning never changes.

use serde::{Deserialize, Serialize};

/// Declares an enum of states: variant, code, constant of the code, public name, words for people.
macro_rules! states {
    ($(#[$meta:meta])* $Name:ident { $($(#[$about:meta])* $Variant:ident = $code:literal, $CONSTANT:ident, $name:literal, $words:literal;)+ }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        $(#[$meta])*
        pub enum $Name {
            $($(#[$about])* $Variant = $code,)+
        }

        // Every code has a constant, even if no statement uses it.
        $(#[allow(dead_code)] pub const $CONSTANT: i64 = $code;)+

        #[allow(dead_code)]
        impl $Name {
            pub const ALL: &'static [$Name] = &[$($Name::$Variant),+];

            /// The number that the database keeps.
            pub const fn code(self) -> i64 {
                self as i64
            }

            /// Returns `None` for a number that no version of the program has written.
            pub fn from_code(code: i64) -> Option<$Name> {
                Self::ALL.iter().copied().find(|state| state.code() == code)
            }

            /// The name in JSON and in settings.
            pub const fn name(self) -> &'static str {
                match self {
                    $($Name::$Variant => $name,)+
                }
            }

            /// The words for people.
            pub const fn words(self) -> &'static str {
                match self {
                    $($Name::$Variant => $words,)+
                }
            }
        }
    };
}

states! {
    /// The state of a step. The tables `ready` and `lease` show whether an open step is waiting or running. States from
    /// `STEP_COMPLETED` on have ended; all earlier ones are live.
    StepState {
        /// Waits for a time, a person, a signal or a group, without a worker: it has a row in `waiting`.
        Waiting = -1, STEP_WAITING, "waiting", "waiting";
        /// Claimable, running, or waiting for its needs.
        Open = 0, STEP_OPEN, "open", "open";
        /// Waiting for its due time.
        Delayed = 1, STEP_DELAYED, "delayed", "waiting to be retried";
        /// Another step or program holds the resource that it needs.
        Blocked = 2, STEP_BLOCKED, "blocked", "waiting for lock";
        /// Its group or type is paused.
        Paused = 3, STEP_PAUSED, "paused", "paused";
        /// An earlier step of its run is being recomputed.
        Recompute = 4, STEP_RECOMPUTE, "recompute", "waiting for a step that runs again";
        Completed = 5, STEP_COMPLETED, "completed", "completed";
        Failed = 6, STEP_FAILED, "failed", "failed";
        Cancelled = 7, STEP_CANCELLED, "cancelled", "cancelled";
        /// Its condition was false, or it follows a failure and nothing failed.
        Skipped = 8, STEP_SKIPPED, "skipped", "skipped";
    }
}

impl StepState {
    pub const fn is_terminal(self) -> bool {
        self.code() >= STEP_COMPLETED
    }
}

states! {
    /// An operation on a group as a whole.
    GroupPhase {
        Live = 0, PHASE_LIVE, "live", "live";
        /// Its runs are being written. It is not acknowledged and not claimable.
        Building = 1, PHASE_BUILDING, "building", "being submitted";
        /// `retry` is reopening its failed runs, slice by slice.
        Reopening = 2, PHASE_REOPENING, "reopening", "being retried";
        /// It is being removed, and is hidden.
        Pruning = 3, PHASE_PRUNING, "pruning", "being pruned";
    }
}

states! {
    /// What a step waits for without holding a worker.
    #[derive(utoipa::ToSchema)]
    #[serde(rename_all = "snake_case")]
    WaitKind {
        Time = 1, WAIT_TIME, "time", "a time";
        /// A person who approves or rejects.
        Approval = 2, WAIT_APPROVAL, "approval", "an approval";
        Signal = 3, WAIT_SIGNAL, "signal", "a signal";
        /// The end of its child group.
        Children = 4, WAIT_CHILDREN, "children", "its children";
    }
}

states! {
    /// What happens when the waiting time of a step is over.
    #[derive(utoipa::ToSchema)]
    #[serde(rename_all = "snake_case")]
    Otherwise {
        /// The step completes.
        Complete = 1, OTHERWISE_COMPLETE, "complete", "completes";
        Fail = 2, OTHERWISE_FAIL, "fail", "fails";
    }
}

states! {
    /// How an attempt ended.
    AttemptOutcome {
        Succeeded = 1, OUTCOME_SUCCEEDED, "succeeded", "succeeded";
        /// Failed; the step can be retried.
        Retryable = 2, OUTCOME_RETRYABLE, "failed", "failed";
        /// Failed permanently.
        Failed = 3, OUTCOME_FAILED, "failed", "failed";
        Cancelled = 4, OUTCOME_CANCELLED, "cancelled", "cancelled";
        TimedOut = 5, OUTCOME_TIMED_OUT, "timed out", "timed out";
        ResourceLimit = 6, OUTCOME_RESOURCE_LIMIT, "resource limit", "over a limit";
        /// Released without an outcome.
        Interrupted = 7, OUTCOME_INTERRUPTED, "interrupted", "interrupted";
        Crashed = 8, OUTCOME_CRASHED, "crashed", "crashed";
        /// The result came from the step cache.
        Cached = 9, OUTCOME_CACHED, "cached", "taken from the cache";
        /// Not run: the condition of the step was false.
        Skipped = 10, OUTCOME_SKIPPED, "skipped", "skipped";
    }
}

states! {
    /// What ingestion knows about a document in a vector database.
    #[serde(rename_all = "snake_case")]
    DocumentState {
        /// Its run decides: the run is open, or ended in a way that a retry may fix.
        AskRun = 0, DOCUMENT_PENDING, "ask_run", "pending";
        /// Stored without any chunks.
        Empty = 4, DOCUMENT_EMPTY, "empty", "nothing to index";
        Stored = 5, DOCUMENT_STORED, "stored", "stored";
        /// Failed permanently; not tried again until the document changes.
        Unusable = 6, DOCUMENT_UNUSABLE, "unusable", "unusable";
    }
}

states! {
    /// The kind of holder of a resource lock.
    #[derive(utoipa::ToSchema)]
    #[serde(rename_all = "UPPERCASE")]
    HolderKind {
        Step = 1, HOLDER_STEP, "STEP", "a step";
        Web = 2, HOLDER_WEB, "WEB", "a web request";
        Cli = 3, HOLDER_CLI, "CLI", "the command line";
        Hook = 4, HOLDER_HOOK, "HOOK", "a hook";
    }
}

states! {
    /// What a resource counts.
    #[derive(utoipa::ToSchema)]
    #[serde(rename_all = "snake_case")]
    ResourceKind {
        /// Units that a step takes while it runs.
        Counted = 1, RESOURCE_COUNTED, "counted", "counted";
        /// Starts of steps within a window of time.
        Rate = 2, RESOURCE_RATE, "rate", "a rate";
    }
}

states! {
    /// Where the capacity of a resource comes from.
    #[derive(utoipa::ToSchema)]
    #[serde(rename_all = "snake_case")]
    CapacitySource {
        /// Nobody: there is one.
        Default = 0, CAPACITY_DEFAULT, "default", "the default";
        Machine = 1, CAPACITY_MACHINE, "machine", "the machine";
        Workflow = 2, CAPACITY_WORKFLOW, "workflow", "a workflow";
        Settings = 3, CAPACITY_SETTINGS, "settings", "the settings";
    }
}

states! {
    /// The outcome of a scheduled time.
    #[derive(utoipa::ToSchema)]
    #[serde(rename_all = "snake_case")]
    FiringState {
        /// The command that lists its items is running.
        Collecting = 1, FIRING_COLLECTING, "collecting", "listing its items";
        Started = 2, FIRING_STARTED, "started", "started";
        Failed = 3, FIRING_FAILED, "failed", "failed";
        Missed = 4, FIRING_MISSED, "missed", "missed";
    }
}

states! {
    /// Why an output is kept after its step.
    KeepReason {
        /// The next prune removes it.
        Nothing = 0, KEEP_NOTHING, "nothing", "nothing";
        /// Files that a command or a worker process made; retention never removes them.
        Command = 1, KEEP_COMMAND, "command", "files of a command";
        /// Files of a document that has not changed since that run.
        Document = 2, KEEP_DOCUMENT, "document", "a document";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_leads_back_to_its_state_and_no_other_number_does() {
        for code in -2..12 {
            let state = StepState::from_code(code);
            assert_eq!(state.map(StepState::code), (-1..9).contains(&code).then_some(code));
            assert_eq!(state.is_some_and(StepState::is_terminal), (5..9).contains(&code));
        }
        assert!(AttemptOutcome::ALL.iter().all(|it| AttemptOutcome::from_code(it.code()) == Some(*it)));
        assert_eq!(DocumentState::from_code(5), Some(DocumentState::Stored));
    }
}

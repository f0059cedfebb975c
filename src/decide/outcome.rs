//! Turns what happened to a child process into the outcome of its attempt. The order is that of the outcome table in
//! the documentation: our own intent first, then a complete result frame, then the exit status. Only typed codes
//! decide.

use crate::model::{Bytes, ExitStatus, KillIntent, Outcome, ResourceLimit};

/// EX_TEMPFAIL of sysexits.h: the command can be tried again.
const TEMPORARY: i32 = 75;
/// The other codes of sysexits.h: a retry would not help.
const SYSEXITS: std::ops::RangeInclusive<i32> = 64..=78;
const SIGKILL: i32 = 9;

/// Why a command did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// Not found, not executable, or no such directory: a retry would fail in the same way. The text names the command.
    NotStartable(String),
    /// The system had no process, memory or descriptor to spare. The command is not at fault.
    NoRoom(String),
}

/// What is known about a finished `run:` command.
#[derive(Debug, Clone, Default)]
pub struct CommandFacts<'a> {
    /// Why we stopped it, or why it never started.
    pub intent: Option<KillIntent>,
    pub start_error: Option<StartError>,
    pub exit: Option<ExitStatus>,
    /// The kernel killed one of its processes for lack of memory.
    pub out_of_memory: bool,
    /// One of its processes was observed at its limit on open files.
    pub open_files_hit: bool,
    /// As sampled; used in the message about a memory limit.
    pub peak_rss: Option<Bytes>,
    /// Exit codes that the definition declares permanent.
    pub permanent_exits: &'a [i32],
    /// The last line of stderr, used in the message. May be empty.
    pub last_line: &'a str,
}

/// A complete result frame for the current request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultFrame {
    /// None if the step succeeded.
    pub failed: Option<Failure>,
}

/// What a worker process reports about a failed step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub retryable: bool,
    pub kind: String,
    pub message: String,
}

/// What is known about a step that was sent to a worker process.
#[derive(Debug, Clone, Default)]
pub struct WorkerFacts<'a> {
    pub intent: Option<KillIntent>,
    pub start_error: Option<StartError>,
    /// The frame may have been recovered from data left in the pipes; the caller adds the remark.
    pub frame: Option<&'a ResultFrame>,
    /// None while the process lives, or if it closed its pipes without exiting.
    pub exit: Option<ExitStatus>,
    pub out_of_memory: bool,
    pub open_files_hit: bool,
    pub peak_rss: Option<Bytes>,
    /// Frames that arrived for this request, and frames that could not be read.
    pub raw_messages: u64,
    pub parse_failures: u64,
    pub last_line: &'a str,
}

/// The outcome of a `run:` command.
pub fn of_command(facts: &CommandFacts) -> Outcome {
    if let Some(outcome) = before_the_exit(facts.intent, facts.start_error.as_ref(), facts.peak_rss) {
        return outcome;
    }
    match facts.exit {
        Some(ExitStatus::Code(0)) => Outcome::Succeeded,
        Some(ExitStatus::Code(_)) if facts.open_files_hit => of_limit(ResourceLimit::OpenFiles, None),
        Some(ExitStatus::Code(code)) => of_code(code, facts.permanent_exits, facts.last_line),
        Some(ExitStatus::Signal(signal)) => of_signal(signal, facts.out_of_memory, facts.last_line),
        None => vanished(facts.last_line),
    }
}

/// The outcome of a step in a worker process.
pub fn of_worker(facts: &WorkerFacts) -> Outcome {
    if let Some(outcome) = before_the_exit(facts.intent, facts.start_error.as_ref(), facts.peak_rss) {
        return outcome;
    }
    if let Some(frame) = facts.frame {
        return match &frame.failed {
            None => Outcome::Succeeded,
            Some(Failure { retryable, kind, message }) => {
                Outcome::Failed { retryable: *retryable, kind: kind.clone(), message: message.clone() }
            }
        };
    }
    match facts.exit {
        Some(ExitStatus::Signal(signal)) => of_signal(signal, facts.out_of_memory, facts.last_line),
        Some(ExitStatus::Code(0)) | None => result_lost(facts),
        Some(ExitStatus::Code(_)) if facts.open_files_hit => of_limit(ResourceLimit::OpenFiles, None),
        Some(ExitStatus::Code(code)) => of_code(code, &[], facts.last_line),
    }
}

/// The outcome of an in-process kind that stopped on request. The kind does not say why it stopped, but the engine
/// knows. A success stays a success.
pub fn overrule(outcome: Outcome, intent: KillIntent) -> Outcome {
    match (outcome, intent) {
        (Outcome::Succeeded, _) => Outcome::Succeeded,
        (_, KillIntent::Shutdown) => Outcome::Interrupted { reason: "the worker was stopped".to_string() },
        (_, KillIntent::Cancel) => Outcome::Cancelled,
        (_, KillIntent::Deadline(after)) => Outcome::TimedOut { after },
        (outcome, KillIntent::Limit(_)) => outcome,
    }
}

/// Rows 1 to 6: our reason for stopping it outranks how it died.
fn before_the_exit(
    intent: Option<KillIntent>,
    start_error: Option<&StartError>,
    peak_rss: Option<Bytes>,
) -> Option<Outcome> {
    match (intent, start_error) {
        (Some(KillIntent::Cancel), _) => Some(Outcome::Cancelled),
        (Some(KillIntent::Deadline(after)), _) => Some(Outcome::TimedOut { after }),
        (Some(KillIntent::Limit(limit)), _) => Some(of_limit(limit, peak_rss)),
        (Some(KillIntent::Shutdown), _) => Some(Outcome::Interrupted { reason: "the engine was stopped".to_string() }),
        (None, Some(StartError::NotStartable(why))) => Some(Outcome::permanent("not_startable", why.as_str())),
        (None, Some(StartError::NoRoom(why))) => Some(Outcome::NoRoom { reason: why.clone(), in_vain: false }),
        (None, None) => None,
    }
}

fn of_limit(limit: ResourceLimit, peak_rss: Option<Bytes>) -> Outcome {
    let message = match (limit, peak_rss) {
        (ResourceLimit::Memory, Some(peak)) => format!("exceeded its limit on memory (used {peak})"),
        _ => format!("exceeded its limit on {limit}"),
    };
    Outcome::ResourceLimit { limit, message }
}

fn of_signal(signal: i32, out_of_memory: bool, last_line: &str) -> Outcome {
    let why = if signal == SIGKILL && out_of_memory { ", likely out of memory" } else { "" };
    let message = with_last_line(format!("crashed: killed by {}{why}", signal_name(signal)), last_line);
    Outcome::Crashed { signal: Some(signal), message }
}

fn of_code(code: i32, permanent_exits: &[i32], last_line: &str) -> Outcome {
    let permanent = permanent_exits.contains(&code) || (SYSEXITS.contains(&code) && code != TEMPORARY);
    let message = with_last_line(format!("exit code {code}"), last_line);
    Outcome::Failed { retryable: !permanent, kind: "exit".to_string(), message }
}

/// The shim died before it could report: it was killed together with its child.
fn vanished(last_line: &str) -> Outcome {
    Outcome::Crashed { signal: None, message: with_last_line("crashed: gone without a message".to_string(), last_line) }
}

fn result_lost(facts: &WorkerFacts) -> Outcome {
    let how = match facts.exit {
        Some(_) => "exited with code 0",
        None => "closed its pipe",
    };
    let counts = format!("{} messages, {} unreadable", facts.raw_messages, facts.parse_failures);
    let message = format!("result lost: the worker {how} without an answer ({counts})");
    Outcome::retryable("result_lost", with_last_line(message, facts.last_line))
}

fn with_last_line(message: String, last_line: &str) -> String {
    match last_line.trim() {
        "" => message,
        line => format!("{message}: {line}"),
    }
}

/// Names only the signals that have the same number on all systems; others print as `signal 31`.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        8 => "SIGFPE",
        SIGKILL => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        7 if cfg!(target_os = "linux") => "SIGBUS",
        10 if cfg!(target_vendor = "apple") => "SIGBUS",
        _ => return format!("signal {signal}"),
    };
    name.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;
    use ExitStatus::{Code, Signal};
    use KillIntent::{Cancel, Deadline, Limit, Shutdown};

    /// A short name for an outcome, so that a table reads as one.
    fn short(outcome: &Outcome) -> String {
        match outcome {
            Outcome::Succeeded => "succeeded".to_string(),
            Outcome::Failed { retryable: true, kind, .. } => format!("retryable {kind}"),
            Outcome::Failed { retryable: false, kind, .. } => format!("permanent {kind}"),
            Outcome::Cancelled => "cancelled".to_string(),
            Outcome::TimedOut { after } => format!("timed out {after}"),
            Outcome::ResourceLimit { limit, .. } => format!("limit {limit}"),
            Outcome::Interrupted { .. } => "interrupted".to_string(),
            Outcome::NoRoom { in_vain, .. } => format!("no room {in_vain}"),
            Outcome::Crashed { signal, .. } => format!("crashed {signal:?}"),
        }
    }

    #[test]
    fn why_it_was_stopped_outranks_every_end_but_success() {
        let failed = || Outcome::retryable("io", "pipe closed");
        let after = Millis::seconds(3);
        let stopped = Outcome::Interrupted { reason: "the worker was stopped".into() };
        let limit = KillIntent::Limit(ResourceLimit::Memory);
        let table = [
            (failed(), KillIntent::Shutdown, stopped),
            (failed(), KillIntent::Cancel, Outcome::Cancelled),
            (failed(), KillIntent::Deadline(after), Outcome::TimedOut { after }),
            (failed(), limit, failed()),
            (Outcome::Succeeded, KillIntent::Shutdown, Outcome::Succeeded),
            (Outcome::Succeeded, KillIntent::Cancel, Outcome::Succeeded),
            (Outcome::Succeeded, KillIntent::Deadline(after), Outcome::Succeeded),
        ];
        for (outcome, intent, expected) in table {
            assert_eq!(overrule(outcome.clone(), intent), expected, "{outcome:?} {intent:?}");
        }
    }

    #[test]
    fn our_own_intent_outranks_every_exit() {
        let missing = StartError::NotStartable("no".to_string());
        let frame = ResultFrame::default();
        let intents = [
            (Cancel, "cancelled"),
            (Deadline(Millis::seconds(5)), "timed out 5s"),
            (Limit(ResourceLimit::Memory), "limit memory"),
            (Limit(ResourceLimit::OutputSize), "limit output size"),
            (Shutdown, "interrupted"),
        ];
        for (intent, expected) in intents {
            for exit in [None, Some(Code(0)), Some(Code(75)), Some(Signal(9)), Some(Signal(11))] {
                for start_error in [None, Some(missing.clone())] {
                    let intent = Some(intent);
                    let command = CommandFacts { intent, exit, start_error: start_error.clone(), ..Default::default() };
                    assert_eq!(short(&of_command(&command)), expected, "rows 1-5 {command:?}");
                    let worker = WorkerFacts { intent, exit, start_error, frame: Some(&frame), ..Default::default() };
                    assert_eq!(short(&of_worker(&worker)), expected, "rows 1-5 {worker:?}");
                }
            }
        }
    }

    #[test]
    fn a_command_is_judged_by_its_exit() {
        let table = [
            (Some(Signal(11)), "crashed Some(11)"), // row 7
            (Some(Signal(6)), "crashed Some(6)"),
            (Some(Signal(9)), "crashed Some(9)"),
            (Some(Signal(15)), "crashed Some(15)"), // row 8
            (None, "crashed None"),
            (Some(Code(0)), "succeeded"),       // row 13
            (Some(Code(75)), "retryable exit"), // row 14
            (Some(Code(64)), "permanent exit"), // row 15
            (Some(Code(78)), "permanent exit"),
            (Some(Code(7)), "permanent exit"),  // listed below
            (Some(Code(63)), "retryable exit"), // row 16
            (Some(Code(79)), "retryable exit"),
            (Some(Code(1)), "retryable exit"),
            (Some(Code(255)), "retryable exit"),
        ];
        for (exit, expected) in table {
            let facts = CommandFacts { exit, permanent_exits: &[7], ..Default::default() };
            assert_eq!(short(&of_command(&facts)), expected, "{exit:?}");
        }
        let listed = CommandFacts { exit: Some(Code(75)), permanent_exits: &[75], ..Default::default() };
        assert_eq!(short(&of_command(&listed)), "permanent exit"); // what the definition says outranks sysexits.h
    }

    #[test]
    fn a_command_that_can_not_start_fails_for_good_unless_the_system_had_no_room() {
        let named = StartError::NotStartable("`frobnicate` was not found".to_string());
        for (error, expected) in
            [(named, "permanent not_startable"), (StartError::NoRoom("no process".to_string()), "no room false")]
        {
            let facts = CommandFacts { start_error: Some(error.clone()), ..Default::default() };
            assert_eq!(short(&of_command(&facts)), expected); // row 6
            let facts = WorkerFacts { start_error: Some(error), ..Default::default() };
            assert_eq!(short(&of_worker(&facts)), expected);
        }
    }

    #[test]
    fn a_complete_result_frame_outranks_the_end_of_the_worker() {
        let good = ResultFrame::default();
        let says = |retryable| ResultFrame {
            failed: Some(Failure { retryable, kind: "encrypted".to_string(), message: "needs a password".to_string() }),
        };
        let (soft, hard) = (says(true), says(false));
        for exit in [None, Some(Code(0)), Some(Code(1)), Some(Code(75)), Some(Signal(11)), Some(Signal(9))] {
            for (frame, expected) in
                [(&good, "succeeded"), (&soft, "retryable encrypted"), (&hard, "permanent encrypted")]
            {
                let facts = WorkerFacts { frame: Some(frame), exit, out_of_memory: true, ..Default::default() };
                assert_eq!(short(&of_worker(&facts)), expected, "rows 9-11 after {exit:?}");
            }
        }
    }

    #[test]
    fn a_worker_without_a_result_frame_is_judged_by_its_end() {
        let table = [
            (Some(Signal(11)), "crashed Some(11)"),
            (Some(Signal(15)), "crashed Some(15)"),
            (Some(Code(0)), "retryable result_lost"), // row 12
            (None, "retryable result_lost"),
            (Some(Code(75)), "retryable exit"),
            (Some(Code(65)), "permanent exit"),
            (Some(Code(3)), "retryable exit"),
        ];
        for (exit, expected) in table {
            let facts = WorkerFacts { exit, ..Default::default() };
            assert_eq!(short(&of_worker(&facts)), expected, "{exit:?}");
        }
        let lost = WorkerFacts { exit: Some(Code(0)), raw_messages: 3, parse_failures: 1, ..Default::default() };
        assert!(of_worker(&lost).to_string().contains("3 messages, 1 unreadable"));
    }

    #[test]
    fn out_of_memory_is_suspected_only_with_evidence() {
        let message = |signal, out_of_memory| {
            let exit = Some(Signal(signal));
            of_command(&CommandFacts { exit, out_of_memory, ..Default::default() }).to_string()
        };
        assert_eq!(message(9, true), "crashed: killed by SIGKILL, likely out of memory");
        assert_eq!(message(9, false), "crashed: killed by SIGKILL");
        assert_eq!(message(11, true), "crashed: killed by SIGSEGV");
    }

    #[test]
    fn a_failure_at_the_limit_on_open_files_is_named_and_a_success_is_not() {
        let outcome =
            |code| of_command(&CommandFacts { exit: Some(Code(code)), open_files_hit: true, ..Default::default() });
        assert_eq!(short(&outcome(1)), "limit open files");
        assert_eq!(short(&outcome(0)), "succeeded");
    }

    #[test]
    fn messages_end_with_the_last_line_of_stderr() {
        let facts = CommandFacts { exit: Some(Code(2)), last_line: "no such table\n", ..Default::default() };
        assert_eq!(of_command(&facts).to_string(), "exit code 2: no such table");
        let memory = CommandFacts {
            intent: Some(Limit(ResourceLimit::Memory)),
            peak_rss: Some(Bytes::mib(600)),
            ..Default::default()
        };
        assert_eq!(of_command(&memory).to_string(), "exceeded its limit on memory (used 600 MiB)");
    }
}

//! The result of a drill.

use super::{
    history::History,
    home::SILENT_AFTER,
    log::{HandlerEnd, Record},
    plan::Drill,
    role::Role,
};
use crate::{failpoint::Window, model::ExitStatus};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// The conditions that must hold whatever happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invariant {
    Acknowledged,
    CompletedOnce,
    GroupEndsOnce,
    ArtifactsWhole,
    NoOrphans,
    NothingLeft,
    Sound,
    Exclusive,
    Within,
    Ordered,
    HooksRun,
    FiresOnce,
    OneFamily,
    Alive,
}

impl Invariant {
    pub const ALL: [Invariant; 14] = [
        Invariant::Acknowledged,
        Invariant::CompletedOnce,
        Invariant::GroupEndsOnce,
        Invariant::ArtifactsWhole,
        Invariant::NoOrphans,
        Invariant::NothingLeft,
        Invariant::Sound,
        Invariant::Exclusive,
        Invariant::Within,
        Invariant::Ordered,
        Invariant::HooksRun,
        Invariant::FiresOnce,
        Invariant::OneFamily,
        Invariant::Alive,
    ];

    pub fn letter(self) -> char {
        match self {
            Invariant::Acknowledged => 'A',
            Invariant::CompletedOnce => 'B',
            Invariant::GroupEndsOnce => 'C',
            Invariant::ArtifactsWhole => 'D',
            Invariant::NoOrphans => 'E',
            Invariant::NothingLeft => 'F',
            Invariant::Sound => 'G',
            Invariant::Exclusive => 'X',
            Invariant::Within => 'U',
            Invariant::Ordered => 'O',
            Invariant::HooksRun => 'K',
            Invariant::FiresOnce => 'T',
            Invariant::OneFamily => 'M',
            Invariant::Alive => 'L',
        }
    }

    pub fn sentence(self) -> &'static str {
        match self {
            Invariant::Acknowledged => "every acknowledged submission exists, complete, and once per key",
            Invariant::CompletedOnce => "each step ended once, by its newest lease, after its work was done",
            Invariant::GroupEndsOnce => "each group ended once, with the right status",
            Invariant::ArtifactsWhole => "every artifact exists, with the right hash",
            Invariant::NoOrphans => "no process outlived its worker",
            Invariant::NothingLeft => "nothing partly written is left after a restart",
            Invariant::Sound => "the database is sound; every response and every exit was clean",
            Invariant::Exclusive => "steps with the same resource key never overlapped",
            Invariant::Within => "no more units of a resource were in use than there are",
            Invariant::Ordered => "no step started before its needs were done",
            Invariant::OneFamily => "each step that starts runs started one group, and ended with it",
            Invariant::HooksRun => "every hook was queued once and ran",
            Invariant::FiresOnce => "no instant of a schedule started two groups",
            Invariant::Alive => "all work ended once healed; no live process was declared dead",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub invariant: Invariant,
    pub what: String,
}

/// The checker's judgement of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub violations: Vec<Violation>,
}

impl Verdict {
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty()
    }

    pub(super) fn add(&mut self, invariant: Invariant, what: impl Into<String>) {
        self.violations.push(Violation { invariant, what: what.into() });
    }
}

/// A drill in numbers, and its verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub seed: u64,
    pub dir: PathBuf,
    pub kills: usize,
    pub kills_of_workers: usize,
    pub kills_of_clients: usize,
    /// How many of the killed processes were in each window. A process can be in several.
    pub windows: BTreeMap<String, usize>,
    /// How many killed processes were in no window.
    pub idle_kills: usize,
    pub stops: usize,
    /// Stops longer than the time after which a worker counts as silent.
    pub long_stops: usize,
    pub clock_shifts: usize,
    /// How often a small disk was temporarily filled under all processes.
    pub fills: usize,
    /// Why no disk was filled, if none was.
    pub not_filled: Option<String>,
    pub submissions: usize,
    /// Submissions with an unknown outcome: the client died before it got a response, or got the error of a full disk.
    pub unknown: usize,
    /// Submissions whose client got the error of a full disk.
    #[serde(rename = "told_full")]
    pub disk_full_errors: usize,
    pub groups: usize,
    pub steps: usize,
    /// The number of handlers that began, and of those that were cut off.
    pub attempts: usize,
    pub cut_off: usize,
    /// Attempts that were reaped from a dead or silent worker.
    pub reaped: usize,
    pub hooks: usize,
    pub artifacts: usize,
    /// Seconds of torture, and seconds in total, including draining and checking.
    pub tormented_s: f64,
    pub elapsed_s: f64,
    /// With no violation in n kills, the rate of violations per kill is below this with 95 % confidence (the rule of
    /// three: Hanley and Lippman-Hand, "If nothing goes wrong, is everything all right?", 1983). `None` if there is no
    /// bound.
    pub rate_below: Option<f64>,
    pub verdict: Verdict,
}

impl Report {
    pub(super) fn new(
        drill: &Drill,
        history: &History,
        verdict: Verdict,
        clock_shifts: usize,
        tormented: Duration,
        elapsed: Duration,
    ) -> Report {
        let killed: Vec<_> = history.exits.iter().filter(|it| it.how == ExitStatus::Signal(9)).collect();
        let of = |role| killed.iter().filter(|it| it.role == role).count();
        let in_window = |window: Window| killed.iter().filter(|it| it.windows.contains(&window)).count();
        let count = |is: fn(&Record) -> bool| history.records.iter().filter(|it| is(it)).count();
        let submissions = count(|it| matches!(it, Record::Invoke { .. }));
        let answered = count(|it| matches!(it, Record::Accepted { .. } | Record::Refused { .. }));
        let disk_full_errors = count(|it| matches!(it, Record::Refused { full: true, .. }));
        let begun = count(|it| matches!(it, Record::Start { .. }));
        let ended = count(|it| matches!(it, Record::End { end: HandlerEnd::Done | HandlerEnd::Failed, .. }));
        let long = i64::try_from(SILENT_AFTER.duration().as_nanos()).unwrap_or(i64::MAX);
        Report {
            seed: drill.seed,
            dir: drill.dir.clone(),
            kills: killed.len(),
            kills_of_workers: of(Role::Worker),
            kills_of_clients: of(Role::Client),
            windows: Window::ALL.iter().map(|it| (it.name().to_string(), in_window(*it))).collect(),
            idle_kills: killed.iter().filter(|it| it.windows.is_empty()).count(),
            stops: history.stops.len(),
            long_stops: history.stops.iter().filter(|it| it.until - it.from > long).count(),
            clock_shifts,
            fills: history.fills,
            not_filled: None,
            submissions,
            unknown: submissions.saturating_sub(answered) + disk_full_errors,
            disk_full_errors,
            groups: history.groups.len(),
            steps: history.steps.len(),
            attempts: begun,
            cut_off: begun.saturating_sub(ended),
            reaped: history.events.iter().filter(|it| it.kind == crate::model::EventKind::StepReaped).count(),
            hooks: history.hooks.len(),
            artifacts: history.artifacts,
            tormented_s: tormented.as_secs_f64(),
            elapsed_s: elapsed.as_secs_f64(),
            rate_below: rate_below(&verdict, killed.len()),
            verdict,
        }
    }

    /// Merges two drills into one report. `other` ran on a disk that was filled.
    pub(super) fn join(&mut self, other: Report) {
        self.kills += other.kills;
        self.kills_of_workers += other.kills_of_workers;
        self.kills_of_clients += other.kills_of_clients;
        for (name, count) in other.windows {
            *self.windows.entry(name).or_default() += count;
        }
        self.idle_kills += other.idle_kills;
        self.stops += other.stops;
        self.long_stops += other.long_stops;
        self.clock_shifts += other.clock_shifts;
        self.fills += other.fills;
        self.submissions += other.submissions;
        self.unknown += other.unknown;
        self.disk_full_errors += other.disk_full_errors;
        self.groups += other.groups;
        self.steps += other.steps;
        self.attempts += other.attempts;
        self.cut_off += other.cut_off;
        self.reaped += other.reaped;
        self.hooks += other.hooks;
        self.artifacts += other.artifacts;
        self.tormented_s += other.tormented_s;
        self.elapsed_s += other.elapsed_s;
        for violation in other.verdict.violations {
            self.verdict.add(violation.invariant, format!("on the disk that was filled: {}", violation.what));
        }
        self.rate_below = rate_below(&self.verdict, self.kills);
    }
}

fn rate_below(verdict: &Verdict, kills: usize) -> Option<f64> {
    (verdict.is_sound() && kills > 0).then(|| (3.0 / kills as f64).min(1.0))
}

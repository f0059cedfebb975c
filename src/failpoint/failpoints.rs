//! Bugs planted on purpose, to check that `windlass prove` and the power-cut replays find them. Without the feature
//! `planted-bugs` none can be switched on, and the checks below cost nothing.

/// A bug that the engine could have. `WINDLASS_PLANTED=name` plants one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failpoint {
    /// A settlement does not check its token.
    UnfencedSettle,
    /// A write transaction begins as DEFERRED and without its turn.
    DeferredBegin,
    /// The reaper measures the age of heartbeats by the wall clock.
    WallClockReaper,
    /// The writer answers before it commits.
    EarlyAnswer,
    /// A keyed step does not take the file lock.
    NoFileLock,
    /// An artifact is written under its final name, and existing content is trusted.
    ArtifactInPlace,
    /// A step runs although its condition is false.
    SkippedStepRuns,
    /// Each process fires an instant under a submit key of its own.
    DoubleFiring,
    /// A hook is marked as done before it runs.
    HookFirst,
    /// A step takes units of a resource although they are held.
    CapacityExceeded,
    /// An attempt after a crash starts a second group instead of finding the group of its step.
    LostChildGroup,
    /// The database is written with `synchronous=OFF`. Only a power cut reveals it.
    SynchronousOff,
    /// An artifact is renamed into place before it is on disk. Only a power cut reveals it.
    ArtifactUnsynced,
}

impl Failpoint {
    #[cfg(any(test, feature = "internals", feature = "planted-bugs"))]
    pub const ALL: [(Failpoint, &'static str); 13] = [
        (Failpoint::UnfencedSettle, "unfenced-settle"),
        (Failpoint::DeferredBegin, "deferred-begin"),
        (Failpoint::WallClockReaper, "wall-clock-reaper"),
        (Failpoint::EarlyAnswer, "early-answer"),
        (Failpoint::NoFileLock, "no-file-lock"),
        (Failpoint::ArtifactInPlace, "artifact-in-place"),
        (Failpoint::SkippedStepRuns, "skipped-step-runs"),
        (Failpoint::DoubleFiring, "double-firing"),
        (Failpoint::HookFirst, "hook-first"),
        (Failpoint::CapacityExceeded, "capacity-exceeded"),
        (Failpoint::LostChildGroup, "lost-child-group"),
        (Failpoint::SynchronousOff, "synchronous-off"),
        (Failpoint::ArtifactUnsynced, "artifact-unsynced"),
    ];
}

/// Whether this bug is planted in this process.
#[cfg(feature = "planted-bugs")]
pub fn is_active(bug: Failpoint) -> bool {
    static PLANTED: std::sync::OnceLock<Option<Failpoint>> = std::sync::OnceLock::new();
    let chosen = PLANTED.get_or_init(|| {
        let name = std::env::var("WINDLASS_PLANTED").ok()?;
        Failpoint::ALL.into_iter().find(|it| it.1 == name).map(|it| it.0)
    });
    *chosen == Some(bug)
}

/// Always false in this build.
#[cfg(not(feature = "planted-bugs"))]
pub const fn is_active(_bug: Failpoint) -> bool {
    false
}

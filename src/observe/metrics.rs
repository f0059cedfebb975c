//! The names of all metrics.

use std::time::Duration;

/// Counters. A comment names the label of those that have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    ClaimAttempts,
    ClaimSuccess,
    ClaimIdle,
    ClaimError,
    ClaimLostRace,
    /// Label: step type.
    StepCompleted,
    /// Label: step type.
    StepError,
    /// Label: step type.
    StepFailed,
    /// Label: step type.
    StepCancelled,
    /// Label: step type.
    StepReleased,
    /// Label: step type.
    StepCached,
    /// Steps with a false condition. Label: step type.
    StepSkipped,
    /// Those that began to wait for a time, a person, a signal or their children. Label: step type.
    StepWaiting,
    WorkerReaped,
    LeaseLost,
    ResourceLockSwept,
    /// Label: reason.
    WorkerRecycled,
    /// Uncompressed bytes. Label: `in` (stored) or `out` (read).
    ArtifactBytes,
    /// Events that had left the history in memory before a subscriber received them. Label: `read` (read from the
    /// database instead) or `dropped`.
    EventsMissed,
    ScheduleFired,
    /// Scheduled times that were missed or failed.
    ScheduleMissed,
    /// Files that came or changed in watched directories, and started their workflow.
    WatchFiles,
    /// Groups that steps with `for_each` or `workflow` started.
    ChildGroups,
}

/// Distributions of durations, or of sizes for `CommitBatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Histogram {
    ClaimDuration,
    /// Label: step type.
    StepDuration,
    /// From due to claimed. Label: step type.
    QueueWait,
    CommitDuration,
    /// Requests in one transaction.
    CommitBatch,
}

/// Values that can rise and fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gauge {
    /// Labels: status, step type.
    Steps,
    /// Steps that wait without a worker. Label: what they wait for.
    StepsWaiting,
    /// Units of a counted resource. Label: resource.
    ResourceCapacity,
    /// Label: resource.
    ResourceInUse,
    /// Steps that wait for a counted resource or a rate. Labels: resource, kind.
    ResourceWaiting,
    /// Label: pool.
    PoolBusy,
    /// Label: pool.
    PoolSize,
    WalBytes,
    FreeDiskBytes,
}

/// Receives the engine's metrics. By default, every method does nothing. Called on hot paths, so be quick.
pub trait Metrics: Send + Sync {
    /// Adds to a counter. `label` is empty if the counter has none.
    fn add(&self, _counter: Counter, _label: &str, _by: u64) {}

    /// Adds a value to a histogram, in seconds if it measures time.
    fn observe(&self, _histogram: Histogram, _label: &str, _value: f64) {}

    fn count(&self, counter: Counter) {
        self.add(counter, "", 1);
    }

    fn time(&self, histogram: Histogram, label: &str, took: Duration) {
        self.observe(histogram, label, took.as_secs_f64());
    }
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMetrics;

impl Metrics for NoMetrics {}

impl Counter {
    pub const ALL: [Counter; 23] = [
        Counter::ClaimAttempts,
        Counter::ClaimSuccess,
        Counter::ClaimIdle,
        Counter::ClaimError,
        Counter::ClaimLostRace,
        Counter::StepCompleted,
        Counter::StepError,
        Counter::StepFailed,
        Counter::StepCancelled,
        Counter::StepReleased,
        Counter::StepCached,
        Counter::StepSkipped,
        Counter::StepWaiting,
        Counter::WorkerReaped,
        Counter::LeaseLost,
        Counter::ResourceLockSwept,
        Counter::WorkerRecycled,
        Counter::ArtifactBytes,
        Counter::EventsMissed,
        Counter::ScheduleFired,
        Counter::ScheduleMissed,
        Counter::WatchFiles,
        Counter::ChildGroups,
    ];

    /// The name without prefix and suffix, a description, and the label.
    pub(super) fn described(self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            Counter::ClaimAttempts => ("claim_attempts", "Claims requested.", None),
            Counter::ClaimSuccess => ("claim_success", "Claims that got at least one step.", None),
            Counter::ClaimIdle => ("claim_idle", "Claims that found nothing to do.", None),
            Counter::ClaimError => ("claim_error", "Claims that failed.", None),
            Counter::ClaimLostRace => ("claim_lost_race", "Steps whose resource key another step took first.", None),
            Counter::StepCompleted => ("step_completed", "Steps completed.", Some("type")),
            Counter::StepError => ("step_error", "Attempts that failed and will be retried.", Some("type")),
            Counter::StepFailed => ("step_failed", "Steps failed for good.", Some("type")),
            Counter::StepCancelled => ("step_cancelled", "Running steps cancelled.", Some("type")),
            Counter::StepReleased => ("step_released", "Steps released without an outcome.", Some("type")),
            Counter::StepCached => ("step_cached", "Steps completed from the cache.", Some("type")),
            Counter::StepSkipped => ("step_skipped", "Steps skipped by their condition.", Some("type")),
            Counter::StepWaiting => ("step_waiting", "Steps that began to wait without a worker.", Some("type")),
            Counter::WorkerReaped => ("worker_reaped", "Dead or silent workers whose steps were released.", None),
            Counter::LeaseLost => ("lease_lost", "Results dropped because their lease was lost.", None),
            Counter::ResourceLockSwept => ("resource_lock_swept", "Expired resource locks removed.", None),
            Counter::WorkerRecycled => ("worker_recycled", "Worker processes replaced.", Some("reason")),
            Counter::ArtifactBytes => {
                ("artifacts_bytes", "Uncompressed bytes of artifacts stored and read.", Some("direction"))
            }
            Counter::EventsMissed => (
                "events_missed",
                "Events that left memory before a subscriber received them: read later, or dropped.",
                Some("how"),
            ),
            Counter::ScheduleFired => ("schedule_fired", "Workflows started by schedules.", None),
            Counter::ScheduleMissed => ("schedule_missed", "Firings of schedules that failed or were missed.", None),
            Counter::WatchFiles => ("watch_files", "Files in watched directories that started their workflow.", None),
            Counter::ChildGroups => ("child_groups", "Groups started by steps with for_each or workflow.", None),
        }
    }
}

impl Histogram {
    pub const ALL: [Histogram; 5] = [
        Histogram::ClaimDuration,
        Histogram::StepDuration,
        Histogram::QueueWait,
        Histogram::CommitDuration,
        Histogram::CommitBatch,
    ];

    pub(super) fn described(self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            Histogram::ClaimDuration => ("claim_duration_seconds", "How long a claim took.", None),
            Histogram::StepDuration => ("step_duration_seconds", "How long an attempt took.", Some("type")),
            Histogram::QueueWait => ("queue_wait_seconds", "How long a due step waited for its claim.", Some("type")),
            Histogram::CommitDuration => ("commit_duration_seconds", "How long a commit took.", None),
            Histogram::CommitBatch => ("commit_batch_requests", "Requests that shared one commit.", None),
        }
    }

    /// The upper bounds of the buckets, in ascending order. One more bucket without a bound follows.
    pub(super) fn bounds(self) -> &'static [f64] {
        match self {
            Histogram::ClaimDuration | Histogram::CommitDuration => {
                &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0]
            }
            Histogram::StepDuration | Histogram::QueueWait => {
                &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0]
            }
            Histogram::CommitBatch => &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0],
        }
    }
}

impl Gauge {
    pub const ALL: [Gauge; 9] = [
        Gauge::Steps,
        Gauge::StepsWaiting,
        Gauge::ResourceCapacity,
        Gauge::ResourceInUse,
        Gauge::ResourceWaiting,
        Gauge::PoolBusy,
        Gauge::PoolSize,
        Gauge::WalBytes,
        Gauge::FreeDiskBytes,
    ];

    pub(super) fn described(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            Gauge::Steps => ("steps", "Steps by status and type.", &["status", "type"]),
            Gauge::StepsWaiting => ("steps_waiting", "Steps that wait without a worker.", &["for"]),
            Gauge::ResourceCapacity => ("resource_capacity", "Units of a counted resource.", &["resource"]),
            Gauge::ResourceInUse => ("resource_in_use", "Units of a counted resource in use.", &["resource"]),
            Gauge::ResourceWaiting => {
                ("resource_waiting", "Steps that wait for a resource or a rate.", &["resource", "kind"])
            }
            Gauge::PoolBusy => ("pool_busy", "Slots of a pool in use.", &["pool"]),
            Gauge::PoolSize => ("pool_size", "Slots of a pool.", &["pool"]),
            Gauge::WalBytes => ("wal_bytes", "Size of the write-ahead log.", &[]),
            Gauge::FreeDiskBytes => {
                ("free_disk_bytes", "Free space of the disk of the home or of the artifacts, whichever is less.", &[])
            }
        }
    }
}

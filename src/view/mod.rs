//! The documents that the command line prints with `--json` and that the HTTP API returns. They are built in one place,
//! so that docs/json.md holds for both.
//!
//! Owns: the structure of these documents, the sentences of `why`, and the wording of times and counts. May import:
//! everything on the floors below. Never: decides, prints, or knows whether a person or a program asks.

mod below;
mod database;
mod disk;
mod error;
mod event;
mod export;
mod list;
mod lock;
mod log;
mod reason;
mod resource;
mod schedule;
mod search;
mod show;
mod slot;
mod status;
mod stranger;
mod why;
pub mod wording;
pub mod words;
mod worker;
mod writer;

pub use database::{DatabaseInfo, Databases, Documents, Named, databases, databases_of, documents, open_database};
pub use disk::{DiskView, disks, low_disk};
pub use error::{Error, Result};
pub use event::{EventView, event_view, read_cursor, write_cursor};
pub use export::{
    Export, ExportHead, ExportedRun, ExportedStep, Outcome, export_head, export_runs, outcomes, step_names,
};
pub use list::{
    GroupList, ListedGroup, ListedStep, RunList, StepFilter, StepList, WaitingList, group_or_newest, groups, question,
    runs, steps, waiting,
};
pub use lock::{Lock, Locks, force_release, is_file_locked, locks, strangers};
pub use log::{LogText, Logs, log_of, logs, logs_until_now};
pub use reason::{Reason, Seen};
pub use resource::{ResourceList, TypeList, resources, types};
pub use schedule::{FiringView, ScheduleView, Schedules, WatchView, firing_view, schedules, show_schedule};
pub use search::{Found, find};
pub use show::{DefinitionView, GroupView, RunView, StepView, show_definition, show_group, show_run, show_step};
pub use status::{DaemonView, Problem, StatusView, lost_commits_words, status, waits_for_room};
pub use why::{Explained, Subject, WhyView, why};
pub use worker::{WorkerView, Workers, workers};
pub use writer::{WriterHeld, writer_held, writer_held_at};

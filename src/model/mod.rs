//! The plain nouns of the engine.
//!
//! Owns: identifiers, times, sizes, statuses, outcomes, and the values that travel between rooms. May import: `std` and
//! `serde` (also `hex` for printing hashes and `utoipa` for JSON schemas). Never: does I/O, reads a clock, or decides
//! anything.

pub mod answer;
pub mod artifact;
pub mod bounded;
pub mod code;
pub mod concurrency;
pub mod document;
pub mod event;
pub mod group;
pub mod ids;
pub mod kind;
pub mod lock;
pub mod nearest;
pub mod number;
pub mod outcome;
pub mod printable;
pub mod resource;
pub mod shape;
pub mod size;
pub mod status;
pub mod step;
pub mod time;
pub mod tolerate;
pub mod worker;

pub use answer::Answer;
pub use artifact::{ArtifactHash, ArtifactRef};
pub use bounded::bounded;
pub use code::{
    AttemptOutcome, CapacitySource, DocumentState, FiringState, GroupPhase, HolderKind, KeepReason, Otherwise,
    ResourceKind, StepState, WaitKind,
};
pub use concurrency::Concurrency;
pub use document::{Chunk, HEADING_MAX, Heading, PageStart, ParsedDocument, shortened};
pub use event::{Event, EventKind, HookContext};
pub use group::Scope;
pub use ids::{
    ArtifactId, DefinitionId, DemandId, GroupId, KeyId, OutputId, ResourceId, RunId, StepId, Token, TypeId, WorkerId,
};
pub use kind::Kind;
pub use lock::{Holder, ResourceKey};
pub use nearest::nearest;
pub use outcome::{AttemptStats, ExitStatus, KillIntent, Outcome, REMARK, Report, ResourceLimit};
pub use resource::{Capacity, CapacityOf, Rate, units_text};
pub use shape::{After, HOOK_TYPE, Shape, ShapeHook, ShapeStep};
pub use size::Bytes;
pub use status::Status;
pub use step::Lease;
pub use time::{Millis, Monotonic, Timestamp};
pub use tolerate::Tolerate;
pub use worker::{Health, ProcessIdentity, ThreadLook, ThreadState, WorkerLimits};

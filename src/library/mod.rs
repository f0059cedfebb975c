//! The public interface for Rust programs: a home, its engine, workflows, step kinds, workers, results.
//!
//! May import: everything on the floors below. Never: has an item without documentation, or one that exposes the
//! database.

mod engine;
mod error;
mod group;
mod home;
mod question;
mod step_kind;
mod worker;
mod workflow;

pub use engine::{Engine, adopt_orphans, init};
pub use error::{Error, Result};
pub use group::{Group, GroupEnd, Run, Runs};
pub use home::Home;
pub use question::Question;
pub use step_kind::{Kept, Kinds, StepContext, StepKind, StepResult};
pub use worker::{Worker, WorkerBuilder};
pub use workflow::{Step, Submission, Workflow, WorkflowBuilder};

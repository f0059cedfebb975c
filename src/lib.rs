//! A durable workflow engine for one machine: one directory, one SQLite file, no server.
//!
//! You submit work that consists of steps, and a worker runs them. Acknowledged work survives `kill -9`, power cuts and
//! full disks. The `windlass` command is built from this crate. A Rust program can embed an engine, with steps in Rust,
//! in shell commands, and in worker processes in any language.
//!
//! # From submission to result
//!
//! ```
//! use serde_json::json;
//! use std::time::Duration;
//! use windlass::{Engine, Home, Kinds, Status, Step, StepContext, StepKind, StepResult, Submission, Workflow};
//!
//! struct Square;
//!
//! impl StepKind for Square {
//!     fn run(&self, cx: &StepContext<'_>) -> StepResult {
//!         match cx.item().as_str().and_then(|text| text.parse::<i64>().ok()) {
//!             Some(number) => StepResult::succeeded(json!(number * number)),
//!             None => StepResult::permanent("item", "the item is not a number"),
//!         }
//!     }
//! }
//!
//! fn kinds() -> Kinds {
//!     Kinds::builtin().with("example/square", Square)
//! }
//!
//! fn main() -> windlass::Result<()> {
//!     windlass::init(kinds);
//! #   let directory = tempfile::tempdir().unwrap();
//! #   let home = Home::at(directory.path());
//! #   /*
//!     let home = Home::at("squares");
//! #   */
//!     let engine = Engine::open(&home, kinds())?;
//!     let workflow = Workflow::builder("squares").step(Step::kind("square", "example/square").retries(2)).build();
//!     // When this returns, the work is on disk.
//!     let group = engine.submit(Submission::new(&workflow, ["3", "4"]))?;
//!
//!     let worker = engine.worker(2).start()?;
//!     let end = worker.wait_for(&group, None)?.expect("it waits until the group has ended");
//!     assert_eq!(end.status, Status::Completed);
//!     let squares: Vec<_> = group.runs().map(|run| Ok(run?.output)).collect::<windlass::Result<_>>()?;
//!     assert_eq!(squares, [Some(json!(9)), Some(json!(16))]);
//!     worker.stop(Duration::from_secs(5));
//!     Ok(())
//! }
//! ```
//!
//! # What is promised
//!
//! - [`Engine::submit`] returns when the work is on disk. An error means that nothing was submitted. After a disk
//!   failure the outcome may be unknown: submit again with the same [`Submission::key`].
//! - A step runs at least once, and its completion counts once. After a crash an attempt runs again.
//! - A group ends once, together with its last step.
//!
//! # Inspecting the work
//!
//! The home is an ordinary home directory: `windlass --home squares list`, `why`, `ui` and all other commands work on
//! it, even while the program is running.
//!
//! # Features
//!
//! All features are on by default. A program that needs only the engine can turn them off (`default-features = false`).
//!
//! - `ingest`: the step kinds that read, chunk, embed and store documents; `pdf` adds the reader of PDF.
//! - `http`: the HTTP API and the page.
//! - `cli`: the `windlass` command.
//! - `https`: TLS for documents to fetch and embedding servers.
#![cfg_attr(not(feature = "internals"), deny(missing_docs))]
// Code that only the command uses is also compiled for embedders. The lints check it in builds with all features.
#![cfg_attr(not(feature = "cli"), allow(dead_code))]
// Items that a room exports only for the crate's own tests.
#![cfg_attr(not(feature = "internals"), allow(unused_imports))]

// The rooms, from the lowest floor up. A room imports only from lower floors (see `ARCHITECTURE.md`). They are public
// only for the crate's own tests, so that the compiler can find unused code.
#[cfg(not(feature = "internals"))]
mod artifact;
#[cfg(feature = "internals")]
pub mod artifact;
#[cfg(not(feature = "internals"))]
mod assembly;
#[cfg(feature = "internals")]
pub mod assembly;
#[cfg(all(feature = "ingest", not(feature = "internals")))]
mod backup;
#[cfg(all(feature = "ingest", feature = "internals"))]
pub mod backup;
#[cfg(all(feature = "cli", not(feature = "internals")))]
mod cli;
#[cfg(all(feature = "cli", feature = "internals"))]
pub mod cli;
#[cfg(all(feature = "cli", not(feature = "internals")))]
mod daemon;
#[cfg(all(feature = "cli", feature = "internals"))]
pub mod daemon;
#[cfg(not(feature = "internals"))]
mod decide;
#[cfg(feature = "internals")]
pub mod decide;
#[cfg(not(feature = "internals"))]
mod definition;
#[cfg(feature = "internals")]
pub mod definition;
#[cfg(not(feature = "internals"))]
mod embed;
#[cfg(feature = "internals")]
pub mod embed;
#[cfg(not(feature = "internals"))]
mod engine;
#[cfg(feature = "internals")]
pub mod engine;
#[cfg(not(feature = "internals"))]
mod failpoint;
#[cfg(feature = "internals")]
pub mod failpoint;
#[cfg(all(feature = "http", not(feature = "internals")))]
mod http;
#[cfg(all(feature = "http", feature = "internals"))]
pub mod http;
#[cfg(all(feature = "ingest", not(feature = "internals")))]
mod ingest;
#[cfg(all(feature = "ingest", feature = "internals"))]
pub mod ingest;
#[cfg(not(feature = "internals"))]
mod library;
#[cfg(feature = "internals")]
pub mod library;
#[cfg(not(feature = "internals"))]
mod model;
#[cfg(feature = "internals")]
pub mod model;
#[cfg(not(feature = "internals"))]
mod observe;
#[cfg(feature = "internals")]
pub mod observe;
#[cfg(not(feature = "internals"))]
mod os;
#[cfg(feature = "internals")]
pub mod os;
#[cfg(not(feature = "internals"))]
mod process;
#[cfg(feature = "internals")]
pub mod process;
#[cfg(all(feature = "cli", not(feature = "internals")))]
mod prove;
#[cfg(all(feature = "cli", feature = "internals"))]
pub mod prove;
#[cfg(all(feature = "ingest", not(feature = "internals")))]
mod search;
#[cfg(all(feature = "ingest", feature = "internals"))]
pub mod search;
#[cfg(not(feature = "internals"))]
mod settings;
#[cfg(feature = "internals")]
pub mod settings;
#[cfg(not(feature = "internals"))]
mod store;
#[cfg(feature = "internals")]
pub mod store;
#[cfg(all(feature = "ingest", not(feature = "internals")))]
mod vector;
#[cfg(all(feature = "ingest", feature = "internals"))]
pub mod vector;
#[cfg(all(feature = "http", not(feature = "internals")))]
mod view;
#[cfg(all(feature = "http", feature = "internals"))]
pub mod view;

pub use library::{
    Engine, Error, Group, GroupEnd, Home, Kept, Kinds, Question, Result, Run, Runs, Step, StepContext, StepKind,
    StepResult, Submission, Worker, WorkerBuilder, Workflow, WorkflowBuilder, adopt_orphans, init,
};
pub use model::{Concurrency, GroupId, Kind, RunId, Status, StepId, Token};

/// The `windlass` command: arguments to exit code, for its `main`.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub fn command() -> i32 {
    // First, since a shim and a parser must start fast.
    process::shim::run_if_asked()
        .or_else(ingest::parser::run_if_asked)
        .or_else(|| engine::step_child::run_if_asked(assembly::registry))
        .or_else(prove::run_if_asked)
        .unwrap_or_else(cli::main)
}

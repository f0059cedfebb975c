//! A durable workflow engine for one machine: one binary, one SQLite file.
//!
//! Modules in reading order, ground floor first; a room imports only from the floors below it (see `ARCHITECTURE.md`).
//!
//! # In a program of one's own
//!
//! Everything that the `windlass` command does, a Rust program can do with a directory of its own. [`assembly`] opens the
//! engine, [`engine`] submits and works, and [`engine::StepKind`] is what a step in Rust is. This one squares numbers;
//! `examples/embed.rs` shows more.
//!
//! ```
//! use std::{collections::BTreeMap, sync::Arc};
//! use windlass::engine::{Ending, StepContext, StepKind, StepResult, Submission, Worker, WorkerOptions};
//! use windlass::{assembly, definition, model::{RunId, Scope, Status}, observe::NoMetrics, settings, store::read};
//!
//! struct Square;
//!
//! impl StepKind for Square {
//!     fn run(&self, cx: &StepContext) -> StepResult {
//!         match cx.input.item.as_str().and_then(|it| it.parse::<i64>().ok()) {
//!             Some(number) => StepResult::succeeded(Some((number * number).into())),
//!             None => StepResult::permanent("item", "the item is not a number"),
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A program whose steps are commands (`run:`) begins its `main` with this:
//! if let Some(code) = windlass::process::shim::run_if_asked() {
//!     std::process::exit(code);
//! }
//! // One that starts no daemons of its own may also end what a command leaves behind that has killed its supervisor:
//! windlass::process::adopt_orphans();
//! // And this one gives a step that took the program along a process of its own the next time.
//! if let Some(code) = windlass::engine::step_child::run_if_asked(assembly::registry) {
//!     std::process::exit(code);
//! }
//! let home = tempfile::tempdir()?;
//! let settings = settings::load(home.path(), [], &[])?;
//! let mut kinds = assembly::registry();
//! kinds.register("example/square", Square);
//! let engine = assembly::engine_with(&settings, kinds, Arc::new(NoMetrics))?;
//!
//! let text = "id: squares\nsteps: [{ name: square, uses: example/square, retries: 2 }]";
//! let workflow = definition::parse(text, "squares", &definition::KnownKinds::new(engine.kinds().names()))?;
//! // When this returns, the work is on disk.
//! let group = engine.submit(Submission::new(workflow, vec!["3".into(), "4".into()]))?.group;
//!
//! let pools = BTreeMap::from([("*".to_string(), 2)]);
//! let worker = Worker::start(&engine, WorkerOptions { pools, scope: Scope::Everything })?;
//! let ending = engine.wait_for_group(group, None, || worker.fatal().is_some())?;
//! assert!(matches!(ending, Ending::Ended(end) if end.status == Status::Completed));
//!
//! let run = engine.store().read(|tx| read::show_run(tx, RunId(2)))?;
//! assert_eq!(run.output, Some(16.into()));
//! # Ok(())
//! # }
//! ```

pub mod model;

pub mod decide;
pub mod os;
pub mod settings;

pub mod artifact;
pub mod definition;
pub mod embed;
pub mod observe;
pub mod process;
pub mod store;
pub mod vector;

pub mod engine;
pub mod failpoint;

pub mod backup;
pub mod ingest;
pub mod search;

pub mod view;

pub mod http;

pub mod assembly;

pub mod daemon;

pub mod prove;

pub mod cli;

//! A Rust program with an engine of its own: a step kind in Rust, a workflow that uses it, and the results.
//!
//!     cargo run --example embed
//!     cargo run --example embed -- DIR    keeps the engine in DIR: run it twice, and look with `windlass --home DIR list`

use serde_json::json;
use std::{error::Error, path::PathBuf, time::Duration};
use windlass::{Engine, Home, Kinds, Status, Step, StepContext, StepKind, StepResult, Submission, Workflow};

/// Counts the words of its item. A kind never sees the database: it reads its input and hands back a result.
struct Words;

impl StepKind for Words {
    fn run(&self, cx: &StepContext<'_>) -> StepResult {
        match cx.item().as_str() {
            Some(text) => StepResult::succeeded(json!({ "count": text.split_whitespace().count() })),
            // The next attempt would find the same item.
            None => StepResult::permanent("item", "the item is not a text"),
        }
    }
}

fn kinds() -> Kinds {
    Kinds::builtin().with("example/words", Words)
}

fn main() -> Result<(), Box<dyn Error>> {
    // First of all: commands run below a small process of this same program, so that none outlives it.
    windlass::init(kinds);
    windlass::adopt_orphans();
    let temporary = tempfile::tempdir()?;
    let home = std::env::args_os().nth(1).map_or_else(|| temporary.path().to_path_buf(), PathBuf::from);
    let engine = Engine::open(&Home::at(home), kinds())?;

    let workflow = Workflow::builder("count")
        .step(Step::kind("words", "example/words").retries(2))
        .step(Step::command("say", "echo {{ item }} has {{ inputs.words.value.count }} words"))
        .build();
    // When this returns, the work is on disk: were the program killed now, the next one to open the directory could do it.
    let group = engine.submit(Submission::new(&workflow, ["heave away", "walk the capstan round", "pawl"]))?;

    let worker = engine.worker(2).start()?;
    let end = worker.wait_for(&group, Some(Duration::from_secs(60)))?.ok_or("it has not ended after a minute")?;
    worker.stop(Duration::from_secs(5));
    for run in group.runs() {
        let run = run?;
        println!("{} {:?}: {}", run.id, run.item, run.output.unwrap_or_default());
    }
    match end.status {
        Status::Completed => Ok(()),
        status => Err(format!("{} {status}: {} runs failed", group.id(), end.failed).into()),
    }
}

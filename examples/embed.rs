//! A Rust program with an engine of its own: a step kind in Rust, a workflow that uses it, and the results.
//!
//!     cargo run --example embed
//!     cargo run --example embed -- DIR    keeps the engine in DIR: run it twice, and look with `windlass --home DIR list`

use serde_json::json;
use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use windlass::{
    assembly,
    definition::{KnownKinds, parse},
    engine::{Ending, Engine, StepContext, StepKind, StepResult, Submission, Worker, WorkerOptions},
    model::{GroupId, Millis, RunId, Scope, Status},
    observe::NoMetrics,
    process::{self, shim},
    settings,
    store::read,
};

/// The workflow: our own kind of step, then a command that uses what it found.
const WORKFLOW: &str = r#"
id: count
steps:
  - name: words
    uses: example/words
    retries: 2
  - name: say
    run: "echo {{ item }} has {{ inputs.words.value.count }} words"
"#;

/// Counts the words of its item. A kind never sees the database: it reads its input and hands back a result.
struct Words;

impl StepKind for Words {
    fn run(&self, cx: &StepContext) -> StepResult {
        match cx.input.item.as_str() {
            Some(text) => StepResult::succeeded(Some(json!({ "count": text.split_whitespace().count() }))),
            // No retry can fix an item that is not a string.
            None => StepResult::permanent("item", "the item is not a text"),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // Commands run below a small process of this same program, so that none outlives it. This must come first.
    if let Some(code) = shim::run_if_asked() {
        std::process::exit(code);
    }
    process::adopt_orphans();
    let temporary = tempfile::tempdir()?;
    let home = std::env::args_os().nth(1).map_or_else(|| temporary.path().to_path_buf(), PathBuf::from);
    let engine = open(&home)?;
    let items = ["heave away", "walk the capstan round", "pawl"];
    let (group, first) = submit(&engine, &items)?;
    work(&engine, group)?;
    for (number, item) in items.iter().enumerate() {
        // The runs of a submission are numbered in the order of its items.
        let run = RunId(first.0 + number as i64);
        let details = engine.store().read(|tx| read::show_run(tx, run))?;
        println!("{run} {item:?}: {}", details.output.unwrap_or_default());
    }
    engine.store().close();
    Ok(())
}

/// Opens the engine in a directory, which is made at first use, with our own kind of step besides the built-in ones.
fn open(home: &Path) -> Result<Engine, Box<dyn Error>> {
    let settings = settings::load(home, std::env::vars(), &[])?;
    let mut kinds = assembly::registry();
    kinds.register("example/words", Words);
    Ok(assembly::engine_with(&settings, kinds, Arc::new(NoMetrics))?)
}

/// When this returns, the work is on disk: were the program killed now, the next one to open the directory could do it.
fn submit(engine: &Engine, items: &[&str]) -> Result<(GroupId, RunId), Box<dyn Error>> {
    let definition = parse(WORKFLOW, "embed.rs", &KnownKinds::new(engine.kinds().names()))?;
    let submission = Submission::new(definition, items.iter().map(|it| it.to_string()).collect());
    let submitted = engine.submit(submission)?;
    Ok((submitted.group, submitted.first_run.ok_or("nothing was submitted")?))
}

/// Works until the group has ended.
fn work(engine: &Engine, group: GroupId) -> Result<(), Box<dyn Error>> {
    let pools = BTreeMap::from([("*".to_string(), 2)]);
    let worker = Worker::start(engine, WorkerOptions { pools, scope: Scope::Everything })?;
    let deadline = Instant::now() + Duration::from_secs(60);
    // The closure is asked about 20 times a second; true gives up.
    let ending = engine.wait_for_group(group, Some(deadline), || worker.fatal().is_some())?;
    worker.stop(Millis::seconds(5));
    match ending {
        Ending::Ended(end) if end.status == Status::Completed => Ok(()),
        Ending::Ended(end) => Err(format!("{group} {}: {} runs failed", end.status, end.failed).into()),
        Ending::TimedOut => Err(format!("{group} has not ended after a minute").into()),
        Ending::GaveUp => Err(worker.fatal().unwrap_or_default().into()),
    }
}

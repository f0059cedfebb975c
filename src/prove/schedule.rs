//! The schedule of a drill. The workers fire it, and the clients fire its recent instants again at the same time.

use super::{
    Result,
    workload::{Work, Workflow},
};
use crate::{
    decide::schedule::CatchUp,
    definition::{
        KnownKinds, parse,
        schedule::{ItemsFrom, Schedule, When},
    },
    engine::{self, Engine, ScheduledWorkflow},
    model::{Millis, Timestamp},
};
use std::path::Path;

const NAME: &str = "tick";
const INTERVAL: Millis = Millis::seconds(1);
/// How far back a client fires, in milliseconds.
const BACK: i64 = 4_000;

/// Adds the schedule.
pub fn add(engine: &Engine, directory: &Path) -> Result<()> {
    let known = KnownKinds::new(engine.kinds().names());
    let definition = parse(Workflow::Tick.text(), "prove", &known).map_err(engine::Error::from)?;
    let schedule = Schedule {
        when: When::Every(INTERVAL),
        zone: None,
        jitter: Millis(0),
        catch_up: CatchUp::Latest,
        within: None,
    };
    engine.add_schedule(&ScheduledWorkflow {
        name: NAME.into(),
        definition,
        trigger: schedule.into(),
        items_from: Some(ItemsFrom::List(Work::of_schedule().item_texts())),
        params: serde_json::json!({}),
        directory: directory.to_string_lossy().into_owned(),
        file: String::new(),
        priority: 0,
        weight: 1,
    })?;
    Ok(())
}

/// Fires the instants of the last seconds, as `windlass schedule backfill` does. Those that have fired do not fire again.
pub fn fire_again(engine: &Engine) -> engine::Result<usize> {
    let now = engine.store().now();
    Ok(engine.backfill_schedule(NAME, Timestamp(now.0 - BACK), now)?.len())
}

/// Ends the firing, so that the drill can drain.
pub fn pause(engine: &Engine) -> Result<()> {
    engine.pause_schedule(NAME)?;
    Ok(())
}

/// The instant in the submit key of a group that the schedule started.
pub fn instant_of(key: &str) -> Option<&str> {
    key.strip_prefix("schedule:tick@")?.split('#').next()
}

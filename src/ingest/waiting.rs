//! Resumes groups that were paused because their embedding server was unreachable.

use super::parameters;
use crate::{
    engine::{Chore, Engine},
    model::{GroupId, Millis},
    store::{group, pause},
};

/// How often to check whether a server is back.
const AGAIN: Millis = Millis::seconds(5);

pub(super) struct Waiting;

impl Chore for Waiting {
    fn look(&self, engine: &Engine) -> Option<Millis> {
        let waiting = engine.store().read(pause::waiting).unwrap_or_default();
        let away = waiting.iter().filter(|(group, _)| !goes_on(engine, *group)).count();
        (away > 0).then_some(AGAIN)
    }
}

fn goes_on(engine: &Engine, group: GroupId) -> bool {
    let params =
        engine.store().read(|tx| group::detail(tx, group)).ok().and_then(|it| parameters::read(&it.params).ok());
    if params.and_then(|it| parameters::is_served(&it)) != Some(true) {
        return false;
    }
    tracing::info!(%group, "the embedding server is back");
    engine.go_on_with_group(group).is_ok()
}

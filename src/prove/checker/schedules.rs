//! T: a schedule starts at most one group for each of its instants.

use super::Known;
use crate::prove::{
    schedule,
    verdict::{Invariant, Verdict},
    workload::Workflow,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(known: &Known, verdict: &mut Verdict) {
    let mut wrong = |what: String| verdict.add(Invariant::FiresOnce, what);
    let mut groups = BTreeMap::new();
    for group in known.history.groups.iter().filter(|it| it.workflow == Workflow::Tick.id()) {
        let Some(instant) = group.key.as_deref().and_then(schedule::instant_of) else {
            wrong(format!("{} does not belong to an instant: its key is {:?}", group.id, group.key));
            continue;
        };
        if let Some(other) = groups.insert(instant, group.id) {
            wrong(format!("{other} and {} are both for {instant}", group.id));
        }
    }
    let mut seen = BTreeSet::new();
    for firing in &known.history.firings {
        if !seen.insert(firing.instant) {
            wrong(format!("{} fired more than once", firing.instant.0));
        }
        if let Some(group) = firing.group.filter(|it| !groups.values().any(|found| found == it)) {
            wrong(format!("the group {group} of a firing is missing"));
        }
    }
}

//! Invariant A: everything that was acknowledged exists, everything that exists was submitted, and a key stands for one
//! group.

use super::Known;
use crate::{
    model::GroupId,
    prove::{
        log::Record,
        verdict::{Invariant, Verdict},
        workload::{Work, Workflow},
    },
    store::audit::GroupFact,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(known: &Known, verdict: &mut Verdict) {
    answers(known, verdict);
    let mut by_name: BTreeMap<&str, Vec<&GroupFact>> = BTreeMap::new();
    // What steps started is judged with them.
    let submitted = |it: &&GroupFact| it.workflow != Workflow::Tick.id() && it.parent.is_none();
    for group in known.history.groups.iter().filter(submitted) {
        by_name.entry(&group.name).or_default().push(group);
        match known.works.get(&group.id) {
            Some(work) => content(known, group, work, verdict),
            None => verdict.add(Invariant::Acknowledged, format!("{} was never submitted", group.id)),
        }
    }
    for (name, groups) in by_name.iter().filter(|it| it.1.len() > 1) {
        let all: Vec<String> = groups.iter().map(|it| it.id.to_string()).collect();
        verdict.add(Invariant::Acknowledged, format!("submission {name} made {}", all.join(" and ")));
    }
}

/// The responses that clients got.
fn answers(known: &Known, verdict: &mut Verdict) {
    let mut groups: BTreeMap<&str, BTreeSet<GroupId>> = BTreeMap::new();
    let mut made: BTreeMap<&str, usize> = BTreeMap::new();
    // A client has only one request at a time, so an answer belongs to the last request of its process.
    let mut wrong: BTreeMap<u32, bool> = BTreeMap::new();
    for record in &known.history.records {
        match record {
            Record::Invoke { process, wrong: is, .. } => {
                wrong.insert(*process, *is);
            }
            Record::Accepted { process, name, .. } if wrong.get(process) == Some(&true) => {
                verdict.add(Invariant::Acknowledged, format!("{name} was accepted with other content"));
            }
            Record::Accepted { name, group, new, .. } => {
                groups.entry(name).or_default().insert(*group);
                *made.entry(name).or_default() += usize::from(*new);
            }
            // A disk that was filled at some time may have been full at that moment.
            Record::Refused { full: true, .. } if known.history.fills > 0 => {}
            Record::Refused { name, conflict: false, error, .. } => {
                verdict.add(Invariant::Sound, format!("submission {name} failed on a healthy disk: {error}"));
            }
            _ => {}
        }
    }
    for (name, acknowledged) in &groups {
        for group in acknowledged {
            let found = known.history.groups.iter().find(|it| it.id == *group);
            match found {
                None => {
                    verdict.add(Invariant::Acknowledged, format!("{group} was acknowledged for {name} and is missing"))
                }
                Some(found) if found.name != *name => {
                    let what = format!("{group} was acknowledged for {name} and is {}", found.name);
                    verdict.add(Invariant::Acknowledged, what);
                }
                Some(_) => {}
            }
        }
        if acknowledged.len() > 1 {
            verdict.add(Invariant::Acknowledged, format!("{name} was acknowledged as {} groups", acknowledged.len()));
        }
        if made[name] > 1 {
            verdict.add(Invariant::Acknowledged, format!("{name} was acknowledged as new {} times", made[name]));
        }
    }
}

/// A group contains everything that was submitted.
fn content(known: &Known, group: &GroupFact, work: &Work, verdict: &mut Verdict) {
    let mut differs = |what: &str| verdict.add(Invariant::Acknowledged, format!("{} has {what}", group.id));
    if group.workflow != work.workflow.id() {
        return differs("another workflow than was submitted");
    }
    if group.key.as_deref() != work.keyed.then_some(group.name.as_str()) {
        differs("another key than was submitted");
    }
    let steps = known.steps.get(&group.id).map(Vec::as_slice).unwrap_or_default();
    let items: Vec<&str> = steps.iter().filter(|it| it.no == 0).map(|it| it.item.as_str()).collect();
    if group.runs != work.items.len() as i64 || items != work.item_texts() {
        differs("other items than were submitted");
    }
    if steps.len() != work.items.len() * work.workflow.steps() {
        differs("other steps than its workflow");
    }
}

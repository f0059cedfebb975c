//! A correct history, and every way to break it.

use super::*;
use crate::{
    model::{Event, EventKind, ExitStatus, RunId, StepState, Timestamp, WorkerId},
    prove::{
        history::{Exit, Stop},
        role::Role,
    },
    store::audit::{AttemptFact, FiringFact, GroupFact, HookFact},
};

const SEED: u64 = 7;

/// The first submission of this shape with exactly one item.
fn number(workflow: Workflow) -> u64 {
    let wanted = |it: &u64| {
        let work = Work::of(SEED, *it);
        work.workflow == workflow && work.keyed && work.items.len() == 1 && !work.items[0].doomed
    };
    (0..).find(wanted).unwrap()
}

fn token(step: StepId, attempt: i64) -> Token {
    Token(100 * step.0 + attempt)
}

/// A history with one group of each of these workflows, submitted, run and ended correctly.
fn sound(workflows: &[Workflow]) -> History {
    let mut history = History { seed: SEED, ..History::default() };
    history.records.push(Record::Worker { process: 1, worker: WorkerId(1) });
    let mut step = 0;
    for (at, workflow) in workflows.iter().enumerate() {
        let number = number(*workflow);
        let work = Work::of(SEED, number);
        let (group, run, name) = (GroupId(at as i64 + 1), RunId(at as i64 + 1), format!("k{number}"));
        let key = Some(name.clone());
        history.records.push(Record::Invoke { process: 9, number, key, name: name.clone(), wrong: false });
        history.records.push(Record::Accepted { process: 9, name: name.clone(), group, new: true });
        tell(&mut history, EventKind::GroupStart, group, None);
        tell(&mut history, EventKind::ItemStart, group, None);
        for no in 0..workflow.steps() {
            step += 1;
            complete(&mut history, &work, group, run, StepId(step), no);
        }
        tell(&mut history, EventKind::ItemEnd, group, None);
        tell(&mut history, EventKind::GroupEnd, group, None);
        if *workflow == Workflow::Hooked {
            hook(&mut history, group, None, "group_end");
        }
        let (workflow, key) = (workflow.id().to_string(), Some(name.clone()));
        let (runs, failed, cancelled, epoch) = (1, 0, 0, 1);
        let fact =
            GroupFact { id: group, workflow, name, runs, ended: true, failed, cancelled, epoch, key, parent: None };
        history.groups.push(fact);
    }
    history
}

fn tell(history: &mut History, kind: EventKind, group: GroupId, step: Option<StepId>) {
    let event = Event { at: Timestamp(0), kind, group: Some(group), run: None, step, detail: String::new() };
    history.events.push(event);
}

fn complete(history: &mut History, work: &Work, group: GroupId, run: RunId, step: StepId, no: usize) {
    let item = &work.items[0];
    let (state, attempts) = work.workflow.expected_end(no, item);
    let lease = token(step, attempts);
    for attempt in 1..=attempts {
        let (token, at) = (token(step, attempt), 1_000 * step.0 + 10 * attempt);
        let key = (work.workflow == Workflow::Keyed).then(|| "prove:1".to_string());
        history.records.push(Record::Start { process: 1, group, run, step, token, key, at });
        let end = if token == lease { HandlerEnd::Done } else { HandlerEnd::Failed };
        history.records.push(Record::End { step, token, end, at: at + 5 });
    }
    if state == StepState::Completed {
        tell(history, EventKind::StepEnd, group, Some(step));
    }
    if work.workflow == Workflow::Hooked {
        hook(history, group, Some(step), "step_end");
    }
    history.steps.push(StepFact {
        id: step,
        run,
        group,
        no,
        item: work.item_texts()[0].clone(),
        state,
        attempts,
        token: (attempts > 0).then_some(lease),
        output: Some(format!("{{\"step\": {}, \"token\": {}}}", step.0, lease.0)),
        files: work.workflow.files(no),
    });
}

fn hook(history: &mut History, group: GroupId, step: Option<StepId>, event: &str) {
    let event = event.to_string();
    history.records.push(Record::Hook { group, step, event: event.clone(), token: Token(1), at: 0 });
    history.hooks.push(HookFact { group, event, step, epoch: 1, state: StepState::Completed });
}

const SHAPES: [Workflow; 5] = [Workflow::Chain, Workflow::Diamond, Workflow::Keyed, Workflow::Flaky, Workflow::Hooked];

/// The invariants that are violated after breaking a correct history.
fn broken(spoil: impl FnOnce(&mut History)) -> Vec<Invariant> {
    let mut history = sound(&SHAPES);
    spoil(&mut history);
    let mut found: Vec<Invariant> = check(&history).violations.into_iter().map(|it| it.invariant).collect();
    found.dedup();
    found
}

fn group_of(history: &History, workflow: Workflow) -> usize {
    history.groups.iter().position(|it| it.workflow == workflow.id()).unwrap()
}

/// The index of a step's fact.
fn step_of(history: &History, workflow: Workflow, no: usize) -> usize {
    let group = history.groups[group_of(history, workflow)].id;
    history.steps.iter().position(|it| it.group == group && it.no == no).unwrap()
}

fn drop_records(history: &mut History, gone: impl Fn(&Record) -> bool) {
    let before = history.records.len();
    history.records.retain(|it| !gone(it));
    assert_ne!(history.records.len(), before, "nothing was spoiled");
}

#[test]
fn a_history_in_which_all_is_well_is_sound() {
    assert_eq!(check(&sound(&SHAPES)), Verdict::default());
    assert_eq!(broken(|_| ()), []);
}

/// A step that started a group of three runs, and ended with it.
fn family() -> History {
    let mut history = sound(&[Workflow::Fan]);
    let (parent, group) = (history.steps[0].clone(), GroupId(50));
    let at = history.events.iter().position(|it| it.step == Some(parent.id)).unwrap();
    let later = history.events.split_off(at);
    for no in 1..=3 {
        let step = StepId(50 + no);
        tell(&mut history, EventKind::StepEnd, group, Some(step));
        history.steps.push(StepFact { id: step, run: RunId(50 + no), group, no: 0, ..parent.clone() });
    }
    tell(&mut history, EventKind::GroupEnd, group, None);
    history.events.extend(later);
    let fact = GroupFact {
        id: group,
        name: "below".into(),
        runs: 3,
        key: None,
        parent: Some(parent.id),
        ..history.groups[0].clone()
    };
    history.groups.push(fact);
    history
}

#[test]
fn a_step_that_starts_runs_has_one_group_that_ended_before_it() {
    assert_eq!(check(&family()), Verdict::default());
    let spoilt = |spoil: fn(&mut History)| {
        let mut history = family();
        spoil(&mut history);
        let mut found: Vec<Invariant> = check(&history).violations.into_iter().map(|it| it.invariant).collect();
        found.dedup();
        found
    };
    let spoils: [fn(&mut History); 6] = [
        |it| drop(it.groups.pop()),
        |it| it.groups.push(GroupFact { id: GroupId(60), ..it.groups[1].clone() }),
        |it| it.groups[1].failed = 1,
        |it| it.groups[1].parent = Some(StepId(2)),
        |it| it.events.retain(|it| it.group != Some(GroupId(50)) || it.kind != EventKind::GroupEnd),
        |it| it.events.reverse(),
    ];
    for (at, spoil) in spoils.into_iter().enumerate() {
        assert!(spoilt(spoil).contains(&Invariant::OneFamily), "spoil {at} is not seen");
    }
}

#[test]
fn an_unknown_submission_may_be_there_or_not() {
    assert_eq!(broken(|it| drop_records(it, |it| matches!(it, Record::Accepted { .. }))), []);
    let requested = |it: &mut History| {
        let name = "c9-3".to_string();
        it.records.push(Record::Invoke { process: 9, number: 3, key: None, name, wrong: false });
    };
    assert_eq!(broken(requested), []);
}

#[test]
fn a_submission_that_was_acknowledged_must_be_there_once_and_whole() {
    use Invariant::*;
    let lost = |it: &mut History| {
        let id = it.groups.remove(0).id;
        it.steps.retain(|step| step.group != id);
        it.events.retain(|event| event.group != Some(id));
    };
    assert_eq!(broken(lost), [Acknowledged]);
    assert_eq!(broken(|it| drop_records(it, |it| matches!(it, Record::Invoke { .. }))), [Acknowledged, HooksRun]);
    let twice = |it: &mut History| it.groups.push(GroupFact { id: GroupId(99), ended: false, ..it.groups[0].clone() });
    assert!(broken(twice).contains(&Acknowledged));
    assert_eq!(broken(|it| it.groups[0].runs = 2), [Acknowledged]);
    assert_eq!(broken(|it| it.groups[0].key = None), [Acknowledged]);
    let again = |it: &mut History| {
        let accepted = it.records.iter().find(|it| matches!(it, Record::Accepted { .. })).unwrap().clone();
        it.records.push(accepted);
    };
    assert_eq!(broken(again), [Acknowledged]);
    let other_content = |it: &mut History| {
        let (name, group) = (it.groups[0].name.clone(), it.groups[0].id);
        let key = Some(name.clone());
        it.records.push(Record::Invoke { process: 8, number: 1, key, name: name.clone(), wrong: true });
        it.records.push(Record::Accepted { process: 8, name, group, new: false });
    };
    assert!(broken(other_content).contains(&Acknowledged));
}

#[test]
fn a_refusal_must_have_a_reason() {
    let refuse = |conflict, full, fills| {
        move |it: &mut History| {
            it.fills = fills;
            let record =
                Record::Refused { process: 9, name: "k1".into(), conflict, full, error: "database is locked".into() };
            it.records.push(record);
        }
    };
    assert_eq!(broken(refuse(true, false, 0)), []);
    assert_eq!(broken(refuse(false, false, 0)), [Invariant::Sound]);
    // A full disk explains an error only if the drill filled a disk, and excuses nothing else.
    assert_eq!(broken(refuse(false, true, 1)), []);
    assert_eq!(broken(refuse(false, true, 0)), [Invariant::Sound]);
    assert_eq!(broken(refuse(false, false, 1)), [Invariant::Sound]);
}

#[test]
fn a_step_must_be_completed_by_its_newest_lease_after_its_work() {
    use Invariant::*;
    let chain = |it: &History| step_of(it, Workflow::Chain, 2);
    let by_another = |it: &mut History| {
        let at = chain(it);
        it.steps[at].output = Some(format!("{{\"step\": {}, \"token\": 1}}", it.steps[at].id.0));
    };
    assert_eq!(broken(by_another), [CompletedOnce]);
    let unfinished = |it: &mut History| {
        let step = it.steps[chain(it)].id;
        drop_records(it, |record| matches!(record, Record::End { step: of, .. } if *of == step));
    };
    assert_eq!(broken(unfinished), [CompletedOnce]);
    let begun_again = |it: &mut History| {
        let (group, run, step) = (it.groups[0].id, it.steps[chain(it)].run, it.steps[chain(it)].id);
        let token = token(step, 50);
        it.records.push(Record::Start { process: 1, group, run, step, token, key: None, at: i64::MAX });
    };
    assert_eq!(broken(begun_again), [CompletedOnce]);
    assert_eq!(
        broken(|it| {
            let at = chain(it);
            it.steps[at].files = 0
        }),
        [CompletedOnce]
    );
    assert_eq!(
        broken(|it| {
            let at = chain(it);
            it.steps[at].state = StepState::Open
        }),
        [Alive]
    );
    let flaky = |it: &History| step_of(it, Workflow::Flaky, 0);
    assert_eq!(
        broken(|it| {
            let at = flaky(it);
            it.steps[at].attempts += 1
        }),
        [CompletedOnce]
    );
    let reported_twice = |it: &mut History| {
        let (group, step) = (it.groups[0].id, it.steps[chain(it)].id);
        let end = it.events.iter().rposition(|it| it.group == Some(group)).unwrap();
        tell(it, EventKind::StepEnd, group, Some(step));
        let last = it.events.pop().unwrap();
        it.events.insert(end, last);
    };
    assert_eq!(broken(reported_twice), [CompletedOnce]);
}

#[test]
fn one_lease_must_not_run_twice() {
    let twice = |it: &mut History| {
        let start = it.records.iter().find(|it| matches!(it, Record::Start { .. })).unwrap().clone();
        it.records.push(start);
    };
    assert_eq!(broken(twice), [Invariant::CompletedOnce]);
}

#[test]
fn keyed_work_must_not_overlap_even_if_its_process_is_killed() {
    let keyed = |it: &History| it.steps[step_of(it, Workflow::Keyed, 0)].clone();
    let rival = |it: &mut History, at: i64| {
        let StepFact { id: step, run, group, .. } = keyed(it);
        // An attempt that was cut off: its process was alive until 50 ns after the attempt began.
        let key = Some("prove:1".to_string());
        let token = Token(1);
        it.records.push(Record::Start { process: 2, group, run, step, token, key, at });
        it.exits.push(Exit {
            process: 2,
            role: Role::Worker,
            how: ExitStatus::Signal(9),
            at: at + 50,
            expected: true,
            windows: vec![],
        });
    };
    let begins = |it: &History| 1_000 * keyed(it).id.0 + 10;
    assert_eq!(
        broken(|it| {
            let at = begins(it);
            rival(it, at - 51)
        }),
        []
    );
    assert_eq!(
        broken(|it| {
            let at = begins(it);
            rival(it, at - 49)
        }),
        [Invariant::Exclusive]
    );
    assert_eq!(
        broken(|it| {
            let at = begins(it);
            rival(it, at + 3)
        }),
        [Invariant::Exclusive]
    );
}

#[test]
fn a_step_must_wait_for_what_it_needs() {
    let early = |it: &mut History| {
        let needs = it.steps[step_of(it, Workflow::Diamond, 3)].id;
        let slow = StepId(needs.0 - 1);
        for record in &mut it.records {
            match record {
                Record::End { step, at, .. } if *step == slow => *at = 1_000 * needs.0 + 11,
                _ => {}
            }
        }
    };
    assert_eq!(broken(early), [Invariant::Ordered]);
}

#[test]
fn a_group_must_end_once_and_last() {
    use Invariant::*;
    let again = |it: &mut History| tell(it, EventKind::GroupEnd, GroupId(1), None);
    assert_eq!(broken(again), [GroupEndsOnce]);
    let never = |it: &mut History| it.events.retain(|it| it.kind != EventKind::GroupEnd);
    assert_eq!(broken(never), [GroupEndsOnce]);
    let late = |it: &mut History| tell(it, EventKind::StepReaped, GroupId(1), Some(StepId(1)));
    assert_eq!(broken(late), [GroupEndsOnce]);
    assert_eq!(broken(|it| it.groups[0].failed = 1), [GroupEndsOnce]);
    assert_eq!(broken(|it| it.groups[0].epoch = 2), [GroupEndsOnce]);
    assert_eq!(broken(|it| it.groups[0].ended = false), [Alive]);
}

#[test]
fn a_hook_must_be_queued_once_and_run() {
    use Invariant::HooksRun;
    assert_eq!(broken(|it| drop_records(it, |it| matches!(it, Record::Hook { step: None, .. }))), [HooksRun]);
    assert_eq!(broken(|it| it.hooks[0].state = StepState::Open), [HooksRun]);
    assert_eq!(broken(|it| it.hooks.clear()), [HooksRun]);
    assert_eq!(broken(|it| it.hooks.push(it.hooks[0].clone())), [HooksRun]);
    assert_eq!(broken(|it| it.hooks[0].group = GroupId(1)), [HooksRun]);
    let run_twice = |it: &mut History| {
        let run = it.records.iter().find(|it| matches!(it, Record::Hook { .. })).unwrap().clone();
        it.records.push(run);
    };
    assert_eq!(broken(run_twice), [], "hooks run at least once");
}

#[test]
fn only_the_stopped_are_silent_and_only_the_killed_are_dead() {
    let reaped = |why: &str, stopped: i64| {
        let detail = format!("{{\"outcome\": {{\"outcome\": \"interrupted\", \"reason\": \"its {why}\"}}}}");
        move |it: &mut History| {
            let step = it.steps[0].id;
            it.attempts.push(AttemptFact { step, token: Token(1), worker: WorkerId(1), outcome: 7, detail });
            it.stops.push(Stop { process: 1, from: 0, until: stopped * 1_000_000_000 });
        }
    };
    assert_eq!(broken(reaped("worker fell silent", 5)), []);
    assert_eq!(broken(reaped("worker fell silent", 1)), [Invariant::Alive]);
    assert_eq!(broken(reaped("worker died", 5)), [Invariant::Alive]);
}

#[test]
fn what_is_found_beside_the_records_counts() {
    use Invariant::*;
    let what = || vec!["something".to_string()];
    assert_eq!(broken(|it| it.damaged = what()), [ArtifactsWhole]);
    assert_eq!(broken(|it| it.orphans = what()), [NoOrphans]);
    assert_eq!(broken(|it| it.leftovers = what()), [NothingLeft]);
    assert_eq!(broken(|it| it.unsealed.push(GroupId(77))), [NothingLeft]);
    assert_eq!(broken(|it| it.findings = what()), [Sound]);
    assert_eq!(broken(|it| it.undrained = Some("stuck".into())), [Alive]);
    let exit = |how, expected| {
        move |it: &mut History| {
            it.exits.push(Exit { process: 3, role: Role::Client, how, at: 0, expected, windows: vec![] });
        }
    };
    assert_eq!(broken(exit(ExitStatus::Signal(9), true)), []);
    assert_eq!(broken(exit(ExitStatus::Code(101), false)), [Sound]);
    let bad = Record::BadInput { step: StepId(1), token: Token(1), what: "torn".into() };
    assert_eq!(broken(|it| it.records.push(bad)), [ArtifactsWhole]);
}

#[test]
fn an_instant_of_the_schedule_starts_one_group() {
    use Invariant::*;
    let ticked = |keys: &'static [Option<&str>]| {
        move |it: &mut History| {
            let work = Work::of_schedule();
            for (at, key) in keys.iter().enumerate() {
                let (group, run) = (GroupId(50 + at as i64), RunId(50 + at as i64));
                tell(it, EventKind::GroupStart, group, None);
                tell(it, EventKind::ItemStart, group, None);
                complete(it, &work, group, run, StepId(500 + at as i64), 0);
                tell(it, EventKind::ItemEnd, group, None);
                tell(it, EventKind::GroupEnd, group, None);
                let (workflow, name, key) = ("tick".to_string(), "tick".to_string(), key.map(str::to_string));
                let (runs, failed, cancelled, epoch) = (1, 0, 0, 1);
                it.groups.push(GroupFact {
                    id: group,
                    workflow,
                    name,
                    runs,
                    ended: true,
                    failed,
                    cancelled,
                    epoch,
                    key,
                    parent: None,
                });
            }
        }
    };
    assert_eq!(broken(ticked(&[Some("schedule:tick@1"), Some("schedule:tick@2")])), []);
    assert_eq!(broken(ticked(&[Some("schedule:tick@1"), Some("schedule:tick@1#77")])), [FiresOnce]);
    assert_eq!(broken(ticked(&[None])), [FiresOnce]);
    let lost = |it: &mut History| it.firings.push(FiringFact { instant: Timestamp(1_000), group: Some(GroupId(77)) });
    assert_eq!(broken(lost), [FiresOnce]);
}

#[test]
fn a_skipped_step_did_not_run_and_the_others_went_on() {
    use Invariant::*;
    let branched = |spoil: fn(&mut History)| {
        let mut history = sound(&[Workflow::Branch]);
        spoil(&mut history);
        let mut found: Vec<Invariant> = check(&history).violations.into_iter().map(|it| it.invariant).collect();
        found.dedup();
        found
    };
    assert_eq!(branched(|_| ()), []);
    let ran = |it: &mut History| {
        let at = step_of(it, Workflow::Branch, 1);
        let (step, group, run) = (it.steps[at].id, it.steps[at].group, it.steps[at].run);
        it.records.push(Record::Start { process: 1, group, run, step, token: Token(9_999), key: None, at: 1_000_000 });
    };
    assert_eq!(branched(ran), [CompletedOnce]);
    let completed = |it: &mut History| {
        let at = step_of(it, Workflow::Branch, 1);
        it.steps[at].state = StepState::Completed;
    };
    assert_eq!(branched(completed), [CompletedOnce]);
}

#[test]
fn units_are_summed_over_claims_and_ends() {
    let within =
        |history: &History| check(history).violations.iter().filter(|it| it.invariant == Invariant::Within).count();
    let mut history = sound(&[Workflow::Limited, Workflow::Limited]);
    let steps: Vec<(GroupId, StepId)> = history.steps.iter().map(|it| (it.group, it.id)).collect();
    history.events.clear();
    for (group, step) in &steps {
        tell(&mut history, EventKind::StepStart, *group, Some(*step));
        tell(&mut history, EventKind::StepReaped, *group, Some(*step));
        tell(&mut history, EventKind::StepStart, *group, Some(*step));
        tell(&mut history, EventKind::StepEnd, *group, Some(*step));
    }
    assert_eq!(within(&history), 0, "one after the other");
    history.events.retain(|it| it.kind == EventKind::StepStart);
    assert!(within(&history) > 0, "four at a time, and there are {}", crate::prove::workload::SLOTS);
}

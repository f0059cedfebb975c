//! What happens when a step ends: which of its dependents start, are skipped, are cancelled or keep waiting.

use crate::model::{After, Shape, ShapeStep, StepState};

/// What is known about one step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    pub state: StepState,
    /// A worker holds a lease on it.
    pub running: bool,
    /// It had completed and runs again because a file that it produced is damaged. Its dependents still count it as
    /// completed.
    pub runs_again: bool,
}

/// How a step ended, as its dependents see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Completed,
    Skipped,
    Failed { allowed: bool },
    Cancelled { by_failure: bool },
}

/// What happens to a step next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// All its needs are met.
    Start,
    /// It ends as SKIPPED.
    Skip,
    /// It is waiting, and ends as CANCELLED.
    Cancel,
    /// It is running, and is asked to stop.
    Stop,
    /// It still waits for this many steps.
    Wait { unmet: usize },
}

/// A step, by number, and what happens to it.
pub type Change = (usize, Then);

/// The consequences when the steps `ended` have ended; `facts` already contains their new states. `cancelling` means
/// that their group is being cancelled.
///
/// A step needs only earlier steps, so one pass in ascending order sees every consequence after its cause.
pub fn follow(shape: &Shape, facts: &[Facts], ended: &[usize], cancelling: bool) -> Vec<Change> {
    Walk::new(shape, facts, ended, &[], cancelling).run()
}

/// The consequences of cancelling a run. If the run has `begun`, steps that run on cancellation stay; otherwise they
/// have nothing to clean up.
pub fn cancel(shape: &Shape, facts: &[Facts], begun: bool, cancelling: bool) -> Vec<Change> {
    let mut facts = facts.to_vec();
    let (mut changes, mut ended) = (Vec::new(), Vec::new());
    for (no, step) in shape.steps.iter().enumerate() {
        if facts[no].state.is_terminal() || (begun && step.on_cancel_run) {
            continue;
        }
        if facts[no].running {
            changes.push((no, Then::Stop));
        } else {
            changes.push((no, Then::Cancel));
            ended.push(no);
            facts[no].state = StepState::Cancelled;
        }
    }
    let then = follow(shape, &facts, &ended, cancelling);
    changes.extend(then.into_iter().filter(|(_, then)| *then != Then::Stop));
    changes
}

/// The steps that cancelling a run leaves untouched and that are ready to run.
pub fn kept(shape: &Shape, facts: &[Facts], changes: &[Change]) -> Vec<usize> {
    let stays = |no: &usize| !facts[*no].running && changes.iter().all(|it| it.0 != *no);
    waiting_for_nothing(shape, facts).into_iter().filter(stays).collect()
}

/// The steps that a retry of a whole run reopens, in ascending order: those that failed or were cancelled and, after
/// such a step, those that were skipped or that handle failures. `before` is the shape under which the run ended; it
/// has the same steps.
pub fn reopened(before: &Shape, shape: &Shape, states: &[StepState]) -> Vec<usize> {
    let mut again = vec![false; states.len()];
    for (no, step) in shape.steps.iter().enumerate() {
        let undone = is_undone(step, states[no]) || is_undone(&before.steps[no], states[no]);
        again[no] = is_lost(states[no]) || (step.needs.iter().any(|&need| again[need]) && undone);
    }
    (0..again.len()).filter(|&no| again[no]).collect()
}

/// The steps that a retry of step `no` reopens, in ascending order; `Err` is the unmet need that prevents the start.
///
/// A dependent is reopened unless it also needs another step that is lost.
pub fn reopened_from(shape: &Shape, facts: &[Facts], no: usize) -> Result<Vec<usize>, usize> {
    let mut facts = facts.to_vec();
    if let Some(need) = lost_need(shape, &facts, no) {
        return Err(need);
    }
    let mut again = vec![no];
    facts[no] = OPEN;
    for at in shape.dependents(no) {
        let step = &shape.steps[at];
        let behind = step.needs.iter().any(|need| again.contains(need));
        let undone = is_lost(facts[at].state) || (behind && is_undone(step, facts[at].state));
        if undone && lost_need(shape, &facts, at).is_none() {
            facts[at] = OPEN;
            again.push(at);
        }
    }
    Ok(again)
}

/// The need that prevents a step from starting.
pub(super) fn lost_need(shape: &Shape, facts: &[Facts], no: usize) -> Option<usize> {
    let ends = ends(shape, facts);
    let step = &shape.steps[no];
    step.needs.iter().copied().find(|&need| step.after == After::Success && ends[need].is_some_and(is_loss))
}

/// A step that has begun because the steps `again` ended. They can't be reopened beneath it.
pub fn begun_behind(shape: &Shape, facts: &[Facts], again: &[usize]) -> Option<usize> {
    let ends = ends(shape, facts);
    (0..facts.len()).find(|&no| {
        let needs = &shape.steps[no].needs;
        let waits = || needs.iter().any(|&need| ends[need].is_none());
        !facts[no].state.is_terminal() && needs.iter().any(|need| again.contains(need)) && !waits()
    })
}

/// The consequences of reopening the steps `again`, which `facts` already shows as open: one change for each of them
/// and for each affected dependent.
pub fn open(shape: &Shape, facts: &[Facts], again: &[usize], cancelling: bool) -> Vec<Change> {
    Walk::new(shape, facts, &[], again, cancelling).run()
}

/// The steps that have not ended and have all their needs met.
pub fn waiting_for_nothing(shape: &Shape, facts: &[Facts]) -> Vec<usize> {
    let ends = ends(shape, facts);
    let waits = |no: usize| shape.steps[no].needs.iter().any(|&need| ends[need].is_none());
    (0..facts.len()).filter(|&no| !facts[no].state.is_terminal() && !waits(no)).collect()
}

/// How each step of a run ended; `None` if it has not.
pub fn ends(shape: &Shape, facts: &[Facts]) -> Vec<Option<End>> {
    let mut ends = Vec::with_capacity(facts.len());
    for (step, facts) in shape.steps.iter().zip(facts) {
        let end = end_of(step, *facts, &ends);
        ends.push(end);
    }
    ends
}

pub(super) const OPEN: Facts = Facts { state: StepState::Open, running: false, runs_again: false };

/// Whether a step is cancelled because a step that it needs ended in this way.
fn cancels(step: &ShapeStep, end: End, cancelling: bool) -> bool {
    if cancelling && !step.on_cancel_run {
        return true;
    }
    match step.after {
        After::Success => is_loss(end),
        After::Failure | After::Always => end == End::Cancelled { by_failure: false } && !step.on_cancel_run,
    }
}

/// Whether a step runs, now that all steps that it needs have ended. Otherwise it is skipped.
fn starts(step: &ShapeStep, mut ends: impl Iterator<Item = End>) -> bool {
    step.after != After::Failure
        || ends.any(|end| match end {
            End::Failed { .. } | End::Cancelled { by_failure: true } => true,
            End::Cancelled { by_failure: false } => step.on_cancel_run,
            End::Completed | End::Skipped => false,
        })
}

fn is_loss(end: End) -> bool {
    matches!(end, End::Failed { allowed: false } | End::Cancelled { .. })
}

fn is_lost(state: StepState) -> bool {
    matches!(state, StepState::Failed | StepState::Cancelled)
}

/// Whether the step ended only as a consequence of the steps that it needs, so that its end is void when they run
/// again.
fn is_undone(step: &ShapeStep, state: StepState) -> bool {
    state == StepState::Skipped || (state.is_terminal() && step.after != After::Success)
}

/// A cancelled step counts as cancelled by a failure if it follows success and a step that it needs failed or was
/// itself cancelled by a failure.
fn end_of(step: &ShapeStep, facts: Facts, before: &[Option<End>]) -> Option<End> {
    match facts.state {
        StepState::Completed => Some(End::Completed),
        StepState::Skipped => Some(End::Skipped),
        StepState::Failed => Some(End::Failed { allowed: step.allow_failure }),
        StepState::Cancelled => {
            let failed = |end: Option<End>| {
                matches!(end, Some(End::Failed { allowed: false } | End::Cancelled { by_failure: true }))
            };
            let by_failure = step.after == After::Success && step.needs.iter().any(|&need| failed(before[need]));
            Some(End::Cancelled { by_failure })
        }
        _ => facts.runs_again.then_some(End::Completed),
    }
}

struct Walk<'a> {
    shape: &'a Shape,
    facts: Vec<Facts>,
    /// Ended just now.
    just: Vec<bool>,
    /// Ended just now, and did not count as ended before.
    fresh: Vec<bool>,
    /// Reopened just now.
    opened: &'a [usize],
    cancelling: bool,
}

impl<'a> Walk<'a> {
    fn new(shape: &'a Shape, facts: &[Facts], ended: &[usize], opened: &'a [usize], cancelling: bool) -> Walk<'a> {
        let mut just = vec![false; facts.len()];
        ended.iter().for_each(|&no| just[no] = true);
        let fresh = (0..facts.len()).map(|no| just[no] && !facts[no].runs_again).collect();
        Walk { shape, facts: facts.to_vec(), just, fresh, opened, cancelling }
    }

    fn run(mut self) -> Vec<Change> {
        let mut ends: Vec<Option<End>> = Vec::with_capacity(self.facts.len());
        let mut changes = Vec::new();
        for no in 0..self.facts.len() {
            if !self.facts[no].state.is_terminal()
                && let Some(then) = self.judge(no, &ends)
            {
                changes.push((no, then));
                self.take_in(no, then);
            }
            ends.push(end_of(&self.shape.steps[no], self.facts[no], &ends));
        }
        changes
    }

    fn judge(&self, no: usize, ends: &[Option<End>]) -> Option<Then> {
        let step = &self.shape.steps[no];
        let mut needs = step.needs.iter().copied();
        let ended = |need: usize| ends[need].filter(|_| self.just[need]);
        if needs.clone().filter_map(ended).any(|end| cancels(step, end, self.cancelling)) {
            return Some(if self.facts[no].running { Then::Stop } else { Then::Cancel });
        }
        if !self.opened.contains(&no) && !needs.clone().any(|need| self.fresh[need] || self.opened.contains(&need)) {
            return None;
        }
        let unmet = needs.clone().filter(|&need| ends[need].is_none()).count();
        Some(match unmet {
            0 if starts(step, needs.by_ref().filter_map(|need| ends[need])) => Then::Start,
            0 => Then::Skip,
            unmet => Then::Wait { unmet },
        })
    }

    fn take_in(&mut self, no: usize, then: Then) {
        self.facts[no].state = match then {
            Then::Cancel => StepState::Cancelled,
            Then::Skip => StepState::Skipped,
            Then::Start | Then::Stop | Then::Wait { .. } => return,
        };
        self.just[no] = true;
        self.fresh[no] = !self.facts[no].runs_again;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StepState::{Cancelled, Completed, Failed, Open, Skipped};
    use proptest::prelude::*;

    fn step(after: After, needs: &[usize]) -> ShapeStep {
        ShapeStep { needs: needs.to_vec(), after, ..ShapeStep::default() }
    }

    fn shape(steps: Vec<ShapeStep>) -> Shape {
        Shape { steps, hooks: vec![] }
    }

    fn facts(states: &[StepState]) -> Vec<Facts> {
        states.iter().map(|&state| Facts { state, running: false, runs_again: false }).collect()
    }

    fn after(states: &[StepState], shape: &Shape, cancelling: bool) -> Vec<Change> {
        follow(shape, &facts(states), &[0], cancelling)
    }

    #[test]
    fn a_step_starts_is_skipped_or_is_cancelled_by_the_end_of_its_need() {
        let table = [
            (After::Success, Completed, Then::Start),
            (After::Success, Skipped, Then::Start),
            (After::Success, Failed, Then::Cancel),
            (After::Success, Cancelled, Then::Cancel),
            (After::Failure, Completed, Then::Skip),
            (After::Failure, Skipped, Then::Skip),
            (After::Failure, Failed, Then::Start),
            (After::Failure, Cancelled, Then::Cancel),
            (After::Always, Completed, Then::Start),
            (After::Always, Skipped, Then::Start),
            (After::Always, Failed, Then::Start),
            (After::Always, Cancelled, Then::Cancel),
        ];
        for (rule, end, then) in table {
            let two = shape(vec![step(After::Success, &[]), step(rule, &[0])]);
            assert_eq!(after(&[end, Open], &two, false), [(1, then)], "{rule:?} of {end:?}");
            assert_eq!(after(&[end, Open], &two, true), [(1, Then::Cancel)], "{rule:?} of {end:?} in a cancel");
        }
    }

    #[test]
    fn what_a_cancel_starts_runs_after_a_cancelled_need_and_in_a_cancelled_group() {
        let table = [
            (After::Always, Completed, Then::Start),
            (After::Always, Cancelled, Then::Start),
            (After::Failure, Cancelled, Then::Start),
            (After::Failure, Failed, Then::Start),
            (After::Failure, Completed, Then::Skip),
        ];
        for (rule, end, then) in table {
            let clean = ShapeStep { on_cancel_run: true, ..step(rule, &[0]) };
            let two = shape(vec![step(After::Success, &[]), clean]);
            for cancelling in [false, true] {
                assert_eq!(after(&[end, Open], &two, cancelling), [(1, then)], "{rule:?} of {end:?}");
            }
        }
    }

    #[test]
    fn a_failure_reaches_its_handler_through_what_it_cancels() {
        // build -> test -> publish, then a failure handler for publish, then a clean-up for the handler.
        let whole = shape(vec![
            step(After::Success, &[]),
            step(After::Success, &[0]),
            step(After::Success, &[1]),
            step(After::Failure, &[2]),
            step(After::Always, &[3]),
        ]);
        let open = [Open, Open, Open, Open];
        let states = |first: StepState| [&[first][..], &open].concat();
        let changes = [(1, Then::Cancel), (2, Then::Cancel), (3, Then::Start), (4, Then::Wait { unmet: 1 })];
        assert_eq!(after(&states(Failed), &whole, false)[..3], changes[..3]);
        let cancelled = [(1, Then::Cancel), (2, Then::Cancel), (3, Then::Cancel), (4, Then::Cancel)];
        assert_eq!(after(&states(Cancelled), &whole, false), cancelled, "a person's cancel is no failure");
    }

    #[test]
    fn an_allowed_failure_counts_as_met_and_starts_its_handler() {
        let mut first = step(After::Success, &[]);
        first.allow_failure = true;
        let whole =
            shape(vec![first, step(After::Success, &[0]), step(After::Failure, &[0]), step(After::Always, &[1, 2])]);
        let changes = after(&[Failed, Open, Open, Open], &whole, false);
        assert_eq!(changes, [(1, Then::Start), (2, Then::Start)]);
    }

    #[test]
    fn a_skip_goes_on_to_what_needs_it() {
        let whole = shape(vec![
            step(After::Success, &[]),
            step(After::Failure, &[0]),
            step(After::Failure, &[1]),
            step(After::Success, &[0, 2]),
            step(After::Success, &[3]),
        ]);
        let changes = after(&[Completed, Open, Open, Open, Open], &whole, false);
        assert_eq!(changes, [(1, Then::Skip), (2, Then::Skip), (3, Then::Start)]);
    }

    #[test]
    fn a_cancel_leaves_the_clean_up_of_a_run_that_has_begun() {
        let clean = ShapeStep { on_cancel_run: true, ..step(After::Always, &[0]) };
        let whole = shape(vec![step(After::Success, &[]), clean, step(After::Always, &[1])]);
        let open = facts(&[Open, Open, Open]);
        let all = [(0, Then::Cancel), (1, Then::Cancel), (2, Then::Cancel)];
        assert_eq!(cancel(&whole, &open, false, true), all);
        assert_eq!(cancel(&whole, &open, true, true), [(0, Then::Cancel), (2, Then::Cancel), (1, Then::Start)]);
        let mut busy = open;
        busy[0].running = true;
        assert_eq!(cancel(&whole, &busy, true, true), [(0, Then::Stop), (2, Then::Cancel)]);
    }

    #[test]
    fn a_retry_opens_what_failed_and_what_that_decided() {
        let whole = shape(vec![
            step(After::Success, &[]),
            step(After::Success, &[0]),
            step(After::Failure, &[1]),
            step(After::Always, &[1]),
            step(After::Success, &[0]),
            step(After::Always, &[4]),
        ]);
        let states = [Completed, Failed, Completed, Completed, Completed, Completed];
        assert_eq!(reopened(&whole, &whole, &states), [1, 2, 3]);
        assert_eq!(reopened_from(&whole, &facts(&states), 1), Ok(vec![1, 2, 3]));
        let mut opened = facts(&states);
        [1, 2, 3].into_iter().for_each(|no| opened[no] = OPEN);
        let changes = open(&whole, &opened, &[1, 2, 3], false);
        assert_eq!(changes, [(1, Then::Start), (2, Then::Wait { unmet: 1 }), (3, Then::Wait { unmet: 1 })]);
        let lost = facts(&[Failed, Cancelled, Open, Open, Cancelled, Open]);
        assert_eq!(reopened_from(&whole, &lost, 1), Err(0));
        let begun = facts(&[Completed, Failed, Completed, Open, Completed, Completed]);
        assert_eq!(begun_behind(&whole, &begun, &[1]), Some(3));
        assert_eq!(begun_behind(&whole, &begun, &[4]), None);
    }

    fn steps() -> impl Strategy<Value = Shape> {
        let rule = prop_oneof![Just(After::Success), Just(After::Failure), Just(After::Always)];
        let one = (rule, any::<[bool; 2]>(), any::<u8>());
        proptest::collection::vec(one, 1..7).prop_map(|drawn| {
            let steps = drawn.into_iter().enumerate().map(|(no, (after, [allow_failure, on_cancel_run], needs))| {
                let needs: Vec<usize> = (0..no).filter(|at| needs & (1 << at) != 0).collect();
                let after = if needs.is_empty() { After::Success } else { after };
                ShapeStep { step_type: "t".into(), needs, after, allow_failure, on_cancel_run }
            });
            shape(steps.collect())
        })
    }

    /// Plays a run to its end: each step that may run ends as `endings` says. Returns how each step ended and how often
    /// it started.
    fn play(shape: &Shape, endings: &[StepState]) -> (Vec<StepState>, Vec<usize>) {
        let count = shape.steps.len();
        let (mut facts, mut starts) = (facts(&vec![Open; count]), vec![0; count]);
        let mut todo: Vec<usize> = (0..count).filter(|&no| shape.steps[no].needs.is_empty()).collect();
        while let Some(no) = todo.pop() {
            starts[no] += 1;
            facts[no].state = endings[no];
            for (at, then) in follow(shape, &facts, &[no], false) {
                match then {
                    Then::Start => todo.push(at),
                    Then::Skip => facts[at].state = Skipped,
                    Then::Cancel => facts[at].state = Cancelled,
                    Then::Stop | Then::Wait { .. } => (),
                }
            }
        }
        (facts.iter().map(|it| it.state).collect(), starts)
    }

    proptest! {
        #[test]
        fn every_step_ends_and_starts_at_most_once(
            shape in steps(),
            endings in proptest::collection::vec(prop_oneof![Just(Completed), Just(Failed), Just(Skipped), Just(Cancelled)], 7),
        ) {
            let (states, starts) = play(&shape, &endings);
            for no in 0..states.len() {
                prop_assert!(states[no].is_terminal(), "step {no} is stranded: {states:?}");
                prop_assert!(starts[no] <= 1);
                prop_assert!(starts[no] == 1 || states[no] != Completed);
            }
        }

        #[test]
        fn a_step_that_follows_success_never_runs_after_a_failure_that_counts(
            shape in steps(),
            endings in proptest::collection::vec(prop_oneof![Just(Completed), Just(Failed)], 7),
        ) {
            let (states, starts) = play(&shape, &endings);
            for (no, step) in shape.steps.iter().enumerate().filter(|(no, _)| starts[*no] == 1) {
                let lost = |need: &usize| {
                    states[*need] == Cancelled || (states[*need] == Failed && !shape.steps[*need].allow_failure)
                };
                prop_assert!(step.after != After::Success || !step.needs.iter().any(lost), "step {no} of {states:?}");
                let failed = |need: &usize| matches!(states[*need], Failed | Cancelled);
                prop_assert!(step.after != After::Failure || step.needs.iter().any(failed), "step {no} of {states:?}");
            }
        }

        #[test]
        fn what_is_retried_can_end_again(
            shape in steps(),
            endings in proptest::collection::vec(prop_oneof![Just(Completed), Just(Failed), Just(Skipped)], 7),
        ) {
            let (states, _) = play(&shape, &endings);
            let again = reopened(&shape, &shape, &states);
            let mut facts = facts(&states);
            again.iter().for_each(|&no| facts[no] = OPEN);
            let changes = open(&shape, &facts, &again, false);
            prop_assert!(again.iter().all(|no| changes.iter().any(|it| it.0 == *no)), "{again:?} {changes:?}");
            let waits = changes.iter().filter(|it| matches!(it.1, Then::Wait { .. })).count();
            prop_assert!(waits == 0 || changes.iter().any(|it| it.1 == Then::Start), "{states:?} {changes:?}");
        }
    }
}

//! Which group is served next: start-time fair queueing (Goyal, Vin, Cheng 1996).
//!
//! Each group that waits in a queue has a tag. The lowest tag is served first. Each claim adds one share to the tag,
//! and a larger weight makes the share smaller. Groups that wait continuously are thus served in proportion to their
//! weights, however many steps they have: over any interval, the claims of two groups, each divided by its weight,
//! differ by less than `1 / weight + 1 / other weight`.

use std::{cmp::Reverse, collections::BinaryHeap};

/// What one claim adds to the tag of a group with weight 1. It has many divisors, so that shares are exact.
const SHARE: i64 = 5_040_000;

/// The largest weight of a group.
pub const MAX_WEIGHT: i64 = 1000;

/// A group that waits in a queue, at one priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    pub priority: i64,
    pub tag: i64,
    pub group: i64,
    pub weight: i64,
}

/// The tag after `claims` more claims.
pub fn served(tag: i64, claims: i64, weight: i64) -> i64 {
    tag.saturating_add(claims.saturating_mul(SHARE / weight.clamp(1, MAX_WEIGHT)))
}

/// The tag of a group that begins to wait beside others; `lowest` is the lowest tag among them. The group is served
/// right after those that already have the lowest tag, and gets no credit for the time before.
pub fn entering(lowest: Option<i64>) -> i64 {
    lowest.unwrap_or(0)
}

/// How many claims another group of the same priority gets before our group reaches the step that has `position` other
/// steps of our group ahead of it.
pub fn claims_before(ours: &Turn, position: i64, other: &Turn) -> i64 {
    let tag = served(ours.tag, position, ours.weight);
    let share = served(0, 1, other.weight);
    let gap = tag - other.tag;
    // If tags are equal, the older group is served first.
    let bound = if other.group < ours.group { gap.div_euclid(share) + 1 } else { (gap - 1).div_euclid(share) + 1 };
    bound.max(0)
}

/// The groups in the order in which they are served: highest priority, then lowest tag, then oldest group.
#[derive(Debug, Clone, Default)]
pub struct Order {
    heap: BinaryHeap<(i64, Reverse<i64>, Reverse<i64>, i64)>,
}

impl Order {
    pub fn new(turns: &[Turn]) -> Order {
        let entry = |it: &Turn| (it.priority, Reverse(it.tag), Reverse(it.group), it.weight);
        Order { heap: turns.iter().map(entry).collect() }
    }

    /// Removes and returns the group that is served next. `put_back` returns it to the order.
    pub fn take(&mut self) -> Option<Turn> {
        let (priority, Reverse(tag), Reverse(group), weight) = self.heap.pop()?;
        Some(Turn { priority, tag, group, weight })
    }

    /// Puts a group back after a claim.
    pub fn put_back(&mut self, turn: Turn) {
        let tag = served(turn.tag, 1, turn.weight);
        self.heap.push((turn.priority, Reverse(tag), Reverse(turn.group), turn.weight));
    }
}

/// The order in which to take the heads of several queues: by priority, then one from each queue in rotation, starting
/// at the queue with index `first`. Tags of different queues can't be compared.
pub fn across_queues(
    priority: i64,
    position: usize,
    queue: usize,
    queues: usize,
    first: usize,
) -> (Reverse<i64>, usize, usize) {
    (Reverse(priority), position, (queue + queues - first % queues.max(1)) % queues.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn turn(group: i64, tag: i64, weight: i64) -> Turn {
        Turn { priority: 0, tag, group, weight }
    }

    fn serve(turns: &[Turn], claims: usize) -> Vec<i64> {
        let mut order = Order::new(turns);
        let mut served = Vec::new();
        while served.len() < claims {
            let Some(turn) = order.take() else { break };
            served.push(turn.group);
            order.put_back(turn);
        }
        served
    }

    #[test]
    fn groups_take_turns_by_weight_and_a_newcomer_waits_for_one_round_at_most() {
        assert_eq!(serve(&[turn(1, 0, 1), turn(2, 0, 1)], 4), [1, 2, 1, 2]);
        assert_eq!(serve(&[turn(1, 0, 1), turn(2, 0, 3)], 8), [1, 2, 2, 2, 1, 2, 2, 2]);
        let late = entering(Some(served(0, 70, 1)));
        let turns = [turn(1, served(0, 70, 1), 1), turn(2, served(0, 71, 1), 1), turn(3, late, 1)];
        assert!(serve(&turns, 3).contains(&3));
        assert_eq!(entering(None), 0);
    }

    #[test]
    fn a_higher_priority_goes_first_whatever_the_tags_say() {
        let urgent = Turn { priority: 1, ..turn(2, 1 << 40, 1) };
        assert_eq!(serve(&[turn(1, 0, 1000), urgent], 3), [2, 2, 2]);
    }

    #[test]
    fn queues_are_taken_in_rotation() {
        let order = |first: usize| {
            let mut heads: Vec<(usize, usize)> = (0..2).flat_map(|it| [(it, 0), (it, 1), (it, 2)]).collect();
            heads.sort_by_key(|(position, queue)| across_queues(0, *position, *queue, 3, first));
            heads.into_iter().map(|it| it.1).collect::<Vec<_>>()
        };
        assert_eq!(order(0), [0, 1, 2, 0, 1, 2]);
        assert_eq!(order(7), [1, 2, 0, 1, 2, 0]);
        assert!(across_queues(5, 9, 0, 2, 0) < across_queues(4, 0, 0, 2, 0), "priority before position");
    }

    proptest! {
        #[test]
        fn the_steps_ahead_are_those_that_are_served_before(
            mine in (0i64..3, 1i64..5), other in (0i64..3, 1i64..5), position in 0i64..30, older in any::<bool>()
        ) {
            let tag = |part: i64| part * (SHARE / 7);
            let ours = turn(if older { 2 } else { 1 }, tag(mine.0), mine.1);
            let theirs = turn(if older { 1 } else { 2 }, tag(other.0), other.1);
            let order = serve(&[ours, theirs], 1000);
            let mut own = 0;
            let before = order.iter().take_while(|it| **it != ours.group || { own += 1; own <= position }).filter(|it| **it == theirs.group);
            prop_assert_eq!(claims_before(&ours, position, &theirs), before.count() as i64);
        }

        /// The theorem of the paper, for requests of equal size.
        #[test]
        fn shares_of_groups_that_wait_differ_by_less_than_one_claim_of_each(
            weights in proptest::collection::vec(1i64..20, 2..8), start in 0usize..300, length in 1usize..1000
        ) {
            let turns: Vec<Turn> = weights.iter().enumerate().map(|(at, weight)| turn(at as i64, 0, *weight)).collect();
            let order = serve(&turns, start + length);
            let mut counts = BTreeMap::new();
            order[start..].iter().for_each(|it| *counts.entry(*it).or_insert(0i64) += 1);
            let share = |at: usize| counts.get(&(at as i64)).copied().unwrap_or(0) as f64 / weights[at] as f64;
            for one in 0..weights.len() {
                for other in 0..one {
                    let bound = 1.0 / weights[one] as f64 + 1.0 / weights[other] as f64 + 1e-3;
                    prop_assert!((share(one) - share(other)).abs() <= bound, "{weights:?}: {counts:?}");
                }
            }
        }
    }
}

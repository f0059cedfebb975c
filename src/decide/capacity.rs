//! Pools: how many steps of each type may run at once, and how many more may be claimed now.

use std::collections::BTreeMap;

/// The pool that takes every type without a pool of its own.
pub const CATCH_ALL: &str = "*";

/// The pool that runs steps of this type, if any does.
pub fn pool_of<'a>(step_type: &str, pools: &'a BTreeMap<String, usize>) -> Option<&'a str> {
    let own = pools.get_key_value(step_type).or_else(|| pools.get_key_value(CATCH_ALL));
    own.map(|(name, _)| name.as_str())
}

/// How many more steps a pool of `size` may take while `busy` of its places are taken.
pub fn room(size: usize, busy: usize) -> usize {
    size.saturating_sub(busy)
}

/// How many steps one idle consumer should claim: its fair share of what waits, at least one, at most the pool's room
/// and `batch`.
///
/// A share, so that the first of several idle consumers does not take all and leave the others without work.
pub fn claim_size(waiting: usize, idle_consumers: usize, room: usize, batch: usize) -> usize {
    waiting.div_ceil(idle_consumers.max(1)).max(1).min(batch.max(1)).min(room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pools(names: &[(&str, usize)]) -> BTreeMap<String, usize> {
        names.iter().map(|(name, size)| (name.to_string(), *size)).collect()
    }

    #[test]
    fn a_type_runs_in_its_own_pool_else_in_the_catch_all() {
        let both = pools(&[("parse", 2), ("*", 4)]);
        assert_eq!(pool_of("parse", &both), Some("parse"));
        assert_eq!(pool_of("embed", &both), Some("*"));
        assert_eq!(pool_of("embed", &pools(&[("parse", 2)])), None);
    }

    #[test]
    fn room_never_goes_below_zero() {
        for (size, busy, left) in [(4, 0, 4), (4, 3, 1), (4, 4, 0), (2, 4, 0), (0, 0, 0)] {
            assert_eq!(room(size, busy), left);
        }
    }

    proptest! {
        #[test]
        fn a_claim_never_exceeds_the_room(
            waiting in 0usize..10_000, idle in 0usize..64, room in 0usize..64, batch in 0usize..64,
        ) {
            let size = claim_size(waiting, idle, room, batch);
            prop_assert!(size <= room && size <= batch.max(1));
            prop_assert!(room == 0 || size >= 1, "an idle consumer always asks for something");
        }
    }
}

//! The status of a run from its steps, and of a group from its runs.

use crate::model::{GroupState, Status};

/// The status of a whole from its parts: of a run from its steps, of a group from its runs.
///
/// While a part is unfinished the whole is: RUNNING if a part runs or work has begun, ERROR if one waits for its retry and
/// none runs, else PENDING. Then FAILED outranks CANCELLED outranks COMPLETED. No parts: COMPLETED.
pub fn of_parts(parts: impl IntoIterator<Item = Status>) -> Status {
    let mut seen = [false; 6];
    for part in parts {
        seen[part as usize] = true;
    }
    let seen = |status: Status| seen[status as usize];
    if seen(Status::Running) {
        return Status::Running;
    }
    if seen(Status::Error) {
        return Status::Error;
    }
    if seen(Status::Pending) {
        let begun = seen(Status::Completed) || seen(Status::Failed) || seen(Status::Cancelled);
        return if begun { Status::Running } else { Status::Pending };
    }
    ended(seen(Status::Failed), seen(Status::Cancelled))
}

/// The terminal status of a group from its counts, or `None` while it is unsealed or a run is unfinished.
pub fn terminal(group: &GroupState) -> Option<Status> {
    (group.sealed && group.unfinished == 0).then(|| ended(group.failed > 0, group.cancelled > 0))
}

/// The status of what has ended, given whether a part failed or was cancelled.
pub fn ended(failed: bool, cancelled: bool) -> Status {
    match (failed, cancelled) {
        (true, _) => Status::Failed,
        (false, true) => Status::Cancelled,
        (false, false) => Status::Completed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Cancelled, Completed, Error, Failed, Pending, Running};
    use proptest::prelude::*;

    #[test]
    fn the_status_of_a_whole_follows_from_its_parts() {
        let table: &[(&[Status], Status)] = &[
            (&[], Completed),
            (&[Pending, Pending], Pending),
            (&[Completed, Pending], Running),
            (&[Completed, Running, Failed], Running),
            (&[Failed, Error], Error),
            (&[Error, Running], Running),
            (&[Completed, Completed], Completed),
            (&[Completed, Cancelled], Cancelled),
            (&[Cancelled, Failed, Completed], Failed),
        ];
        for (parts, whole) in table {
            assert_eq!(of_parts(parts.iter().copied()), *whole, "{parts:?}");
        }
    }

    #[test]
    fn a_group_ends_when_it_is_sealed_and_nothing_is_unfinished() {
        let group = |unfinished, failed, cancelled, sealed| GroupState {
            unfinished,
            failed,
            cancelled,
            epoch: 1,
            sealed,
            paused: false,
        };
        for (state, status) in [
            (group(0, 0, 0, true), Some(Completed)),
            (group(0, 0, 0, false), None),
            (group(1, 1, 0, true), None),
            (group(0, 1, 5, true), Some(Failed)),
            (group(0, 0, 1, true), Some(Cancelled)),
        ] {
            assert_eq!(terminal(&state), status, "{state:?}");
        }
    }

    proptest! {
        #[test]
        fn a_whole_is_terminal_exactly_when_all_parts_are(numbers in prop::collection::vec(0usize..6, 0..8)) {
            let parts: Vec<Status> = numbers.iter().map(|it| Status::ALL[*it]).collect();
            let whole = of_parts(parts.iter().copied());
            prop_assert_eq!(whole.is_terminal(), parts.iter().all(|it| it.is_terminal()));
        }

        #[test]
        fn the_order_of_parts_does_not_matter(numbers in prop::collection::vec(0usize..6, 0..8)) {
            let parts: Vec<Status> = numbers.iter().map(|it| Status::ALL[*it]).collect();
            prop_assert_eq!(of_parts(parts.iter().copied()), of_parts(parts.iter().rev().copied()));
        }
    }
}

//! The status of a run and of a group, from facts. The view `step_status` defines the status of a step, so that SQL
//! statements can use it.

use crate::model::Status;

/// The facts that determine the status of a run or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    pub ended: bool,
    /// A step of the run, or a run of the group, has failed for good.
    pub failed: bool,
    pub cancelled: bool,
    /// A step of the run is running; or a step of the group is running, or one of its runs has ended.
    pub under_way: bool,
    /// One of its steps waits without a worker.
    pub waiting: bool,
    /// A step of the run failed and will be retried.
    pub to_be_retried: bool,
}

/// While open, RUNNING outranks WAITING, then ERROR, then PENDING. Once ended, see [`ended`].
pub fn of(facts: &Facts) -> Status {
    match facts {
        Facts { ended: true, failed, cancelled, .. } => ended(*failed, *cancelled),
        Facts { under_way: true, .. } => Status::Running,
        Facts { waiting: true, .. } => Status::Waiting,
        Facts { to_be_retried: true, .. } => Status::Error,
        _ => Status::Pending,
    }
}

/// FAILED outranks CANCELLED outranks COMPLETED. A group without runs is COMPLETED.
pub fn ended(failed: bool, cancelled: bool) -> Status {
    match (failed, cancelled) {
        (true, _) => Status::Failed,
        (false, true) => Status::Cancelled,
        (false, false) => Status::Completed,
    }
}

/// The status of a group as people see it. A group counts as RUNNING from its first start to its end. People see
/// RUNNING only while `at_work`: a step is running and its worker is alive.
pub fn shown(status: Status, at_work: bool) -> Status {
    match status {
        Status::Running if !at_work => Status::Pending,
        status => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_status_of_a_whole_follows_from_its_parts() {
        let open = Facts::default();
        let over = Facts { ended: true, ..open };
        let table = [
            (open, Status::Pending),
            (Facts { to_be_retried: true, ..open }, Status::Error),
            (Facts { to_be_retried: true, under_way: true, ..open }, Status::Running),
            (Facts { waiting: true, to_be_retried: true, ..open }, Status::Waiting),
            (Facts { waiting: true, under_way: true, ..open }, Status::Running),
            (Facts { failed: true, ..open }, Status::Pending),
            (Facts { failed: true, under_way: true, ..open }, Status::Running),
            (over, Status::Completed),
            (Facts { cancelled: true, ..over }, Status::Cancelled),
            (Facts { failed: true, cancelled: true, ..over }, Status::Failed),
        ];
        for (facts, status) in table {
            assert_eq!(of(&facts), status, "{facts:?}");
        }
    }

    #[test]
    fn a_group_that_nothing_works_on_is_shown_as_pending() {
        for status in Status::ALL {
            assert_eq!(shown(status, true), status);
            assert_eq!(shown(status, false), if status == Status::Running { Status::Pending } else { status });
        }
    }

    proptest! {
        #[test]
        fn a_status_is_terminal_exactly_when_the_whole_has_ended(bits in 0u8..64) {
            let bit = |at: u8| bits & (1 << at) != 0;
            let facts = Facts {
                ended: bit(0), failed: bit(1), cancelled: bit(2), under_way: bit(3), to_be_retried: bit(4), waiting: bit(5),
            };
            prop_assert_eq!(of(&facts).is_terminal(), facts.ended);
        }
    }
}

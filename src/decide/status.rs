//! The status of a run and of a group, from facts. The status of a step is the view `step_status`, so that statements can
//! ask for it.

use crate::model::Status;

/// What is known of a run or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    pub ended: bool,
    /// A step of the run, or a run of the group, has failed for good.
    pub failed: bool,
    pub cancelled: bool,
    /// Work on it is under way: a step of the run runs; a step of the group runs, or a run of it has ended.
    pub under_way: bool,
    /// A step of the run failed and will be retried.
    pub to_be_retried: bool,
}

/// RUNNING outranks ERROR outranks PENDING while it is open. Of what has ended, see [`ended`].
pub fn of(facts: &Facts) -> Status {
    match facts {
        Facts { ended: true, failed, cancelled, .. } => ended(*failed, *cancelled),
        Facts { under_way: true, .. } => Status::Running,
        Facts { to_be_retried: true, .. } => Status::Error,
        _ => Status::Pending,
    }
}

/// FAILED outranks CANCELLED outranks COMPLETED. What has no parts is COMPLETED.
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
    use proptest::prelude::*;

    #[test]
    fn the_status_of_a_whole_follows_from_its_parts() {
        let open = Facts::default();
        let over = Facts { ended: true, ..open };
        let table = [
            (open, Status::Pending),
            (Facts { to_be_retried: true, ..open }, Status::Error),
            (Facts { to_be_retried: true, under_way: true, ..open }, Status::Running),
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

    proptest! {
        #[test]
        fn a_status_is_terminal_exactly_when_the_whole_has_ended(bits in 0u8..32) {
            let bit = |at: u8| bits & (1 << at) != 0;
            let facts = Facts { ended: bit(0), failed: bit(1), cancelled: bit(2), under_way: bit(3), to_be_retried: bit(4) };
            prop_assert_eq!(of(&facts).is_terminal(), facts.ended);
        }
    }
}

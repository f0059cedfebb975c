//! The limits of one slice of a long change, so that others don't wait long for the writer.

use std::time::{Duration, Instant};

/// Together with the commit, well within the promised 100 ms.
const TIME: Duration = Duration::from_millis(10);

/// How many rows a slice may still write, and until when.
#[derive(Debug)]
pub(in crate::store) struct Budget {
    rows: usize,
    until: Instant,
}

impl Budget {
    pub(in crate::store) fn of(rows: usize) -> Budget {
        Budget { rows, until: Instant::now() + TIME }
    }

    /// For work that must happen in one transaction and is known to be small.
    pub(in crate::store) fn whole() -> Budget {
        Budget { rows: usize::MAX, until: Instant::now() + Duration::from_secs(3600) }
    }

    /// Uses up this many rows. False: the slice must end first. The first rows of a slice are always granted.
    pub(in crate::store) fn spend(&mut self, rows: usize) -> bool {
        if self.rows == 0 || Instant::now() >= self.until {
            self.rows = 0;
            return false;
        }
        self.rows = self.rows.saturating_sub(rows);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_with_its_rows_or_its_time() {
        let mut budget = Budget::of(3);
        assert!(budget.spend(2) && budget.spend(2) && !budget.spend(1));
        let mut late = Budget { rows: 10, until: Instant::now() };
        assert!(!late.spend(1));
    }
}

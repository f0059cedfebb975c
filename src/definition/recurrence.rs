//! When a schedule fires: a cron expression in a time zone, or a fixed interval.
//!
//! Clock changes follow the rules of cron(8) on Debian. A time of day that the clock skips fires once, right after the
//! gap; a time that the clock repeats fires once. Expressions with `*` in minutes or hours follow the clock as it is.

use crate::model::{Millis, Timestamp};
use croner::{
    Cron, Direction,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    Zoned,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

/// The shortest interval.
const SHORTEST: Millis = Millis(1_000);

/// An instant as text: `2026-12-01T02:00:00Z`.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |it| it.to_string())
}

/// Parses a moment that a person wrote: a date, which means its start in the local zone, or a date with a time and an
/// optional zone. Without a zone, the local zone is used.
pub fn moment(text: &str) -> Option<Timestamp> {
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let local = text.parse::<DateTime>().ok()?;
        TimeZone::try_system().ok()?.to_ambiguous_timestamp(local).compatible().ok()
    })?;
    Some(Timestamp(instant.as_millisecond()))
}

/// The problem with a recurrence, and a suggestion.
pub type Problem = (String, Option<String>);

/// An endless, ascending sequence of instants.
#[derive(Debug, Clone)]
pub enum Recurrence {
    /// `fixed`: minutes and hours are given without `*`.
    Cron { cron: Box<Cron>, fixed: bool, zone: TimeZone },
    /// Multiples of the interval since `anchor`.
    Every { interval: Millis, anchor: Timestamp },
}

impl Recurrence {
    /// Parses a cron expression of five fields or a nickname such as `@daily`. `zone` is a name in the system's time
    /// zone database, such as `Europe/Berlin`; None means the local zone.
    pub fn cron(expression: &str, zone: Option<&str>) -> Result<Recurrence, Problem> {
        let fields = expression.split_whitespace().count();
        if fields != 5 && !expression.trim().starts_with('@') {
            let hint = match fields {
                6 | 7 => "leave out the seconds, or use `every: 30s`",
                _ => "write minute, hour, day of month, month, day of week: `0 2 * * *` is every night at 2",
            };
            return Err((format!("`{expression}` has {fields} fields instead of 5"), Some(hint.into())));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        if expression.trim().eq_ignore_ascii_case("@reboot") {
            return Err(("`@reboot` is not a time".into(), Some("use `@daily`, or a unit of systemd".into())));
        }
        let cron = match parser.parse(expression) {
            Ok(cron) => cron,
            Err(error) => {
                let hint = "`0 2 * * *` is every night at 2, `*/15 * * * *` every quarter of an hour";
                return Err((format!("`{expression}` is not a cron expression: {error}"), Some(hint.into())));
            }
        };
        let zone = match zone {
            None => TimeZone::try_system().map_err(|error| {
                (
                    format!("the time zone of this machine is not known: {error}"),
                    Some("give one: `zone: Europe/Berlin`".into()),
                )
            })?,
            Some(name) => TimeZone::get(name).map_err(|_| {
                (format!("`{name}` is not a time zone"), Some("use a name such as `Europe/Berlin` or `UTC`".into()))
            })?,
        };
        let fixed = !expression.split_whitespace().take(2).any(|it| it.contains('*')) && !hourly(expression);
        let found = Recurrence::Cron { cron: Box::new(cron), fixed, zone };
        if found.next_after(Timestamp(0)).is_none() {
            return Err((format!("`{expression}` never comes"), None));
        }
        Ok(found)
    }

    pub fn every(interval: Millis, anchor: Timestamp) -> Result<Recurrence, Problem> {
        if interval.0 < SHORTEST.0 {
            return Err(("an interval is at least 1s".into(), None));
        }
        Ok(Recurrence::Every { interval, anchor })
    }

    /// The first instant after `at`.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Recurrence::Cron { cron, fixed, zone } => occurrence(cron, *fixed, zone, at, Direction::Forward),
            Recurrence::Every { interval, anchor } => {
                let step = interval.0 as i64;
                let passed = (at.0 - anchor.0).div_euclid(step) + 1;
                anchor.0.checked_add(passed.max(1).checked_mul(step)?).map(Timestamp)
            }
        }
    }

    /// The last instant at or before `at`.
    pub fn last_until(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Recurrence::Cron { cron, fixed, zone } => occurrence(cron, *fixed, zone, at, Direction::Backward),
            Recurrence::Every { interval, anchor } => {
                let step = interval.0 as i64;
                let passed = (at.0 - anchor.0).div_euclid(step);
                (passed >= 1).then(|| Timestamp(anchor.0 + passed * step))
            }
        }
    }
}

fn hourly(expression: &str) -> bool {
    expression.trim().eq_ignore_ascii_case("@hourly")
}

/// More than any single clock change.
const SHIFT: i64 = 25 * 3_600_000;

/// The next occurrence after `at`, or the last one at or before it.
fn occurrence(cron: &Cron, fixed: bool, zone: &TimeZone, at: Timestamp, direction: Direction) -> Option<Timestamp> {
    let instant = jiff::Timestamp::from_millisecond(at.0).ok()?;
    let forward = direction == Direction::Forward;
    if !fixed {
        let from = Zoned::new(instant, zone.clone());
        let found = match forward {
            true => cron.find_next_occurrence(&from, false),
            false => cron.find_previous_occurrence(&from, true),
        };
        return found.ok().map(|it| Timestamp(it.timestamp().as_millisecond()));
    }
    // Search in local time as if the clock never changed, then convert to instants. Both ascend, so it is enough to
    // begin early.
    let back = if forward { -SHIFT } else { SHIFT };
    let wall = zone.to_datetime(instant).checked_add(jiff::SignedDuration::from_millis(back)).ok()?;
    let mut wall = wall.to_zoned(TimeZone::UTC).ok()?;
    loop {
        wall = match forward {
            true => cron.find_next_occurrence(&wall, false).ok()?,
            false => cron.find_previous_occurrence(&wall, false).ok()?,
        };
        let found = Timestamp(on_the_wall(zone, wall.datetime())?.as_millisecond());
        if (forward && found > at) || (!forward && found <= at) {
            return Some(found);
        }
    }
}

/// The instant at which a wall clock shows this time. If it shows the time twice, the first counts; a skipped time
/// moves to the end of the gap.
fn on_the_wall(zone: &TimeZone, time: DateTime) -> Option<jiff::Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(time);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { before, .. } => {
            // From just before the gap, the next transition is the gap.
            let inside = before.to_timestamp(time).ok()?;
            let early = inside.checked_sub(jiff::SignedDuration::from_hours(25)).ok()?;
            zone.following(early).map(|it| it.timestamp()).find(|it| zone.to_datetime(*it) > time)
        }
        _ => ambiguous.earlier().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn next(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let it = Recurrence::cron(expression, Some(zone)).unwrap();
        let mut found = Vec::new();
        let mut time = at(from);
        for _ in 0..count {
            time = it.next_after(time).unwrap();
            found.push(jiff::Timestamp::from_millisecond(time.0).unwrap().to_string());
        }
        found
    }

    #[test]
    fn a_time_of_day_that_the_clock_skips_fires_once_right_after() {
        // Berlin skips 02:00 to 03:00 on 2026-03-29.
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 3),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]
        );
        assert_eq!(
            next("0,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]
        );
        assert_eq!(
            next("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2),
            ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]
        );
        // Lord Howe changes by half an hour: 02:00 to 02:30 is skipped on 2026-10-04.
        assert_eq!(
            next("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
            ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]
        );
    }

    #[test]
    fn a_time_of_day_that_the_clock_repeats_fires_once() {
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        assert_eq!(
            next("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2),
            ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]
        );
        assert_eq!(
            next("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2),
            ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"]
        );
    }

    #[test]
    fn a_wildcard_runs_by_the_clock_as_it_is() {
        assert_eq!(
            next("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 4),
            ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"]
        );
        assert_eq!(
            next("0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]
        );
    }

    #[test]
    fn kathmandu_is_a_quarter_of_an_hour_off() {
        assert_eq!(next("0 2 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", 1), ["2026-01-01T20:15:00Z"]);
    }

    #[test]
    fn names_and_nicknames_work_and_six_fields_are_refused_with_a_hint() {
        assert_eq!(next("0 9 * * MON", "UTC", "2026-12-01T00:00:00Z", 1), ["2026-12-07T09:00:00Z"]);
        assert_eq!(next("@daily", "UTC", "2026-12-01T00:00:01Z", 1), ["2026-12-02T00:00:00Z"]);
        assert_eq!(next("0 0 1 jan *", "UTC", "2026-12-01T00:00:01Z", 1), ["2027-01-01T00:00:00Z"]);
        for (wrong, hint) in [
            ("0 0 2 * * *", "seconds"),
            ("2 *", "minute, hour"),
            ("61 * * * *", "every night"),
            ("", "minute"),
            ("@reboot", "systemd"),
        ] {
            let (message, found) = Recurrence::cron(wrong, None).unwrap_err();
            assert!(found.as_deref().unwrap_or("").contains(hint), "{wrong}: {message} {found:?}");
        }
        assert!(Recurrence::cron("0 2 30 2 *", Some("UTC")).unwrap_err().0.contains("never"));
        assert!(Recurrence::cron("0 2 * * *", Some("Mars/Base")).unwrap_err().0.contains("Mars/Base"));
    }

    #[test]
    fn an_interval_counts_from_its_anchor() {
        let it = Recurrence::every(Millis(900_000), Timestamp(1_000)).unwrap();
        assert_eq!(it.next_after(Timestamp(0)), Some(Timestamp(901_000)));
        assert_eq!(it.next_after(Timestamp(901_000)), Some(Timestamp(1_801_000)));
        assert_eq!(it.last_until(Timestamp(901_000)), Some(Timestamp(901_000)));
        assert_eq!(it.last_until(Timestamp(900_999)), None);
        assert!(Recurrence::every(Millis(10), Timestamp(0)).is_err());
    }

    /// Minute by minute, what Debian's cron(8) would do.
    fn oracle(
        minutes: &[u8],
        hours: &[u8],
        star: bool,
        zone: &TimeZone,
        from: Timestamp,
        to: Timestamp,
    ) -> Vec<Timestamp> {
        let mut found = Vec::new();
        let wall = |it: i64| zone.to_datetime(jiff::Timestamp::from_millisecond(it).unwrap());
        let matches = |it: DateTime| minutes.contains(&(it.minute() as u8)) && hours.contains(&(it.hour() as u8));
        let mut furthest = wall(from.0 - 26 * 3_600_000);
        let mut at = from.0 - 26 * 3_600_000;
        while at <= to.0 {
            let now = wall(at);
            let fires = match star {
                true => matches(now),
                false if now <= furthest => false,
                false => {
                    let mut due = false;
                    let mut step = furthest;
                    while step < now {
                        step = step.checked_add(jiff::SignedDuration::from_mins(1)).unwrap();
                        due |= matches(step);
                    }
                    furthest = now;
                    due
                }
            };
            if fires && at > from.0 {
                found.push(Timestamp(at));
            }
            at += 60_000;
        }
        found
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]
        #[test]
        fn a_year_goes_as_cron_says(zone in 0usize..5, minutes in proptest::collection::btree_set(0u8..60, 1..3), hours in proptest::collection::btree_set(0u8..4, 1..3), star in 0u8..3, month in 0i64..12) {
            let name = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"][zone];
            let tz = TimeZone::get(name).unwrap();
            let list = |it: &std::collections::BTreeSet<u8>| it.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
            let all = |to: u8| (0..to).collect::<Vec<u8>>();
            let (expression, minutes, hours) = match star {
                0 => (format!("{} {} * * *", list(&minutes), list(&hours)), minutes.iter().copied().collect(), hours.iter().copied().collect()),
                1 => (format!("* {} * * *", list(&hours)), all(60), hours.iter().copied().collect()),
                _ => (format!("{} * * * *", list(&minutes)), minutes.iter().copied().collect(), all(24)),
            };
            let from = Timestamp(at("2026-01-01T00:00:00Z").0 + month * 30 * 86_400_000);
            let to = Timestamp(from.0 + 31 * 86_400_000);
            let it = Recurrence::cron(&expression, Some(name)).unwrap();
            let mut time = from;
            let mut found = Vec::new();
            while let Some(next) = it.next_after(time).filter(|it| *it <= to) {
                found.push(next);
                proptest::prop_assert_eq!(it.last_until(next), Some(next));
                proptest::prop_assert_eq!(it.last_until(Timestamp(next.0 - 1)).filter(|it| *it > from), found.iter().rev().nth(1).copied());
                time = next;
            }
            proptest::prop_assert_eq!(found, oracle(&minutes, &hours, star > 0, &tz, from, to), "{} {}", expression, name);
        }
    }
}

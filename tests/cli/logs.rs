//! The output of groups, runs and steps: with headings, by pattern, with times.

use super::{Place, lines_of_json};

const EACH: &str =
    "echo begin {{ item }}; echo row 1 of {{ item }}; test {{ item }} != bad || { echo no rows >&2; exit 1; }";

/// g1: r1 ann, r2 bad (fails), r3 cat.
fn place() -> Place {
    let place = Place::new();
    assert_eq!(place.run(&["run", "--each", EACH, "--items", "ann", "bad", "cat"]).code, 3);
    place
}

#[test]
fn the_logs_of_a_group_stand_under_a_heading_for_each_attempt() {
    let place = place();
    let all = place.ok(&["logs", "g1"]);
    for heading in ["s1 each, attempt 1 ", "s2 each, attempt 1 ", "s3 each, attempt 1 "] {
        assert_eq!(all.lines().filter(|it| it.starts_with(&format!("== {heading}"))).count(), 1, "{heading} in {all}");
    }
    let bad = all.lines().find(|it| it.starts_with("== s2")).unwrap();
    assert!(bad.contains("ago") || bad.contains("just now"), "{bad}");
    assert!(bad.contains("bad") && bad.ends_with("failed: exit code 1: no rows =="), "{bad}");
    assert!(all.contains("begin ann\nrow 1 of ann\n") && all.contains("row 1 of cat\n"), "{all}");
    let run = place.ok(&["logs", "r2"]);
    assert!(run.contains("row 1 of bad\n") && run.contains("no rows\n") && !run.contains("ann"), "{run}");
    assert_eq!(place.ok(&["logs", "s3"]), "begin cat\nrow 1 of cat\n", "one attempt in a pipe is its bytes alone");
    assert_eq!(place.ok(&["logs", "3"]), "begin cat\nrow 1 of cat\n", "a bare number is a step");
    let follow = place.run(&["logs", "g1", "-f"]);
    assert!(follow.code == 2 && follow.err.contains("s56"), "{}", follow.err);
}

#[test]
fn the_logs_of_a_step_from_the_cache_are_those_of_the_step_that_made_its_result() {
    let place = Place::new();
    let flow = "id: c\nsteps:\n- { name: a, run: 'echo made by {{ item }}', cache: true, cache_files: [] }\n";
    place.write("c.yaml", flow);
    place.ok(&["run", "c.yaml", "--items", "x"]);
    place.ok(&["run", "c.yaml", "--items", "x"]);
    let step = place.run(&["logs", "s2"]);
    assert_eq!(step.out, "made by x\n");
    assert!(step.err.contains("s2 is from the cache: this is the output of s1"), "{}", step.err);
    assert_eq!(place.run(&["logs", "s2", "-f"]).out, "made by x\n");
    for id in ["r2", "g2"] {
        let many = place.run(&["logs", id]);
        assert!(many.out.is_empty(), "{}", many.out);
        assert!(many.err.contains("1 step is from the cache") && many.err.contains("logs s2`"), "{}", many.err);
    }
}

#[test]
fn failed_steps_and_lines_of_a_pattern_are_picked() {
    let place = place();
    let failed = place.ok(&["logs", "g1", "--failed"]);
    assert!(failed.contains("row 1 of bad") && !failed.contains("ann") && !failed.contains("cat"), "{failed}");
    let rows = place.ok(&["logs", "g1", "--grep", "row [0-9] of (ann|bad)"]);
    let lines: Vec<&str> = rows.lines().filter(|it| !it.starts_with("== ")).collect();
    assert_eq!(lines, ["row 1 of ann", "row 1 of bad"]);
    assert!(!rows.contains("s3"), "an attempt without such a line has no heading: {rows}");
    let events = lines_of_json(&place.ok(&["logs", "g1", "--grep", "^row", "--json"]));
    let first = &events[0];
    assert_eq!(
        (&first["step"], &first["run"], &first["attempt"], &first["text"]),
        (&1.into(), &1.into(), &1.into(), &"row 1 of ann\n".into())
    );
    assert!(first["started"].is_i64() && first["outcome"].is_string(), "{first}");
    assert_eq!(events.len(), 3);
    let wrong = place.run(&["logs", "g1", "--grep", "("]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    let none = place.run(&["logs", "g1", "--grep", "no such line"]);
    assert!(
        none.code == 0 && none.out.is_empty() && none.err.contains("no matching line"),
        "{} {}",
        none.code,
        none.err
    );
}

#[test]
fn attempts_are_numbered_on_after_a_retry() {
    let place = place();
    place.ok(&["retry", "g1"]);
    assert_eq!(place.run(&["run", "--resume", "g1"]).code, 3);
    let shown = place.ok(&["show", "s2"]);
    assert!(shown.contains("  attempt 1 on") && shown.contains("  attempt 2 on"), "{shown}");
    let logs = place.ok(&["logs", "s2"]);
    assert!(logs.contains("attempt 1 on") && logs.contains("attempt 2 on"), "{logs}");
    let attempts = &place.json(&["show", "s2"])["attempts_all"];
    assert_eq!((&attempts[0]["no"], &attempts[1]["no"], &attempts[1]["n"]), (&1.into(), &2.into(), &1.into()));
}

#[test]
fn times_are_absolute_where_that_is_asked_for() {
    let place = place();
    let has_time = |text: &str, end: &str| {
        let digits: String = text.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
        digits.contains(&format!("0000-00-00 00:00:00{end}"))
    };
    let commands = [
        &["show", "g1"][..],
        &["show", "s2"],
        &["list"],
        &["list", "runs"],
        &["list", "steps"],
        &["events"],
        &["logs", "g1"],
        &["status"],
    ];
    for command in commands {
        let relative = place.ok(command);
        assert!(!has_time(&relative, ""), "{command:?}: {relative}");
        let utc = place.ok(&[command, &["--utc"]].concat());
        assert!(has_time(&utc, "Z") && !utc.contains("ago"), "{command:?}: {utc}");
        let mut local = place.command(&[command, &["-v"]].concat());
        let local = local.env("TZ", "XYZ-5:30").run();
        assert!(has_time(&local.out, "+00:00") && local.out.contains("+05:30"), "{command:?}: {}", local.out);
    }
}

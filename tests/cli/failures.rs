//! Failures: equal ones are one line with a count; and the whole outcome of a group as a table.

use super::{Place, lines_of_json};
use std::fmt::Write;

const EACH: &str =
    "case {{ item }} in ok*) echo fine;; odd) echo strange >&2; exit 2;; *) echo no rows >&2; exit 1;; esac";

fn place() -> Place {
    let place = Place::new();
    let mut items: Vec<String> = (0..10).map(|it| format!("no{it}")).collect();
    items.extend(["ok1".into(), "odd".into()]);
    place.write("items", &items.join("\n"));
    place
}

#[test]
fn equal_failures_are_one_line_with_a_count() {
    let place = place();
    let ended = place.run(&["run", "--each", EACH, "--items-from", "items"]);
    let shown = place.ok(&["show", "g1"]);
    for text in [&ended.out, &shown] {
        assert_eq!(text.matches("no rows").count(), 1, "{text}");
        assert!(text.contains("each  10 runs: exit code 1: no rows") && text.contains("(s1 no0, "), "{text}");
        assert!(text.contains("s12 each  odd: exit code 2: strange"), "one alone names its item: {text}");
    }
    let kinds = &place.json(&["show", "g1"])["failure_kinds"];
    assert_eq!(
        (&kinds[0]["runs"], &kinds[0]["reason"], &kinds[0]["step"], &kinds[0]["item"], &kinds[1]["runs"]),
        (&10.into(), &"exit code 1: no rows".into(), &1.into(), &"no0".into(), &1.into())
    );
    let why = place.ok(&["why", "g1"]);
    assert_eq!(why.matches("it failed after 1 attempt: exit code 1: no rows").count(), 1, "{why}");
    assert!(why.contains("and 9 steps like it") && why.contains("strange"), "{why}");
    let why = place.json(&["why", "g1"]);
    assert_eq!((&why["steps"][0]["alike"], &why["steps"][1]["alike"]), (&9.into(), &0.into()));
}

#[test]
fn an_ingest_after_a_retry_reports_what_failed_again() {
    let place = Place::new();
    place.write("d/good.md", "Ropes are made of hemp.\n");
    std::fs::copy("tests/documents/encrypted.pdf", place.path().join("d/bad.pdf")).unwrap();
    let first = place.run(&["ingest", "d"]);
    assert!(first.code == 3 && first.err.contains("windlass retry g1`, then the same command"), "{}", first.err);
    place.ok(&["retry", "g1"]);
    let again = place.run(&["ingest", "d"]);
    assert_eq!(again.code, 3, "{} {}", again.out, again.err);
    assert!(again.out.contains("failed") && again.out.contains("a password is needed"), "{} {}", again.out, again.err);
    assert!(again.out.contains("0 documents stored, 1 failed, 1 unchanged"), "{}", again.out);
    assert!(!again.err.contains("skipped"), "it was not skipped: {}", again.err);
    place.ok(&["retry", "g1"]);
    let json = place.run(&["ingest", "d", "--json"]);
    let ended: serde_json::Value = serde_json::from_str(json.out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (json.code, &ended["groups"], &ended["report"]["failed"]),
        (3, &serde_json::json!([1]), &1.into()),
        "{ended}"
    );
    // Without a retry it is skipped, as before.
    let quiet = place.run(&["ingest", "d"]);
    assert!(quiet.code == 0 && quiet.err.contains("skipped"), "{} {}", quiet.code, quiet.err);
}

#[test]
fn a_retry_of_what_did_not_fail_says_how_it_stands() {
    let place = Place::new();
    place.run(&["run", "--each", "test {{ item }} = a", "--items", "a", "b"]);
    for id in ["r1", "s1"] {
        let said = place.run(&["retry", id]);
        assert!(
            said.out.contains(&format!("{id} is completed")) && said.err.contains("windlass retry g1`"),
            "{} {}",
            said.out,
            said.err
        );
    }
    let earlier = place.ok(&["retry", "s2"]);
    assert!(earlier.contains("will run again"), "{earlier}");
    place.run(&["run", "--resume", "g1"]);
    let why = place.ok(&["why", "s2"]);
    assert!(why.contains("after 1 attempt") && why.contains("1 attempt before the retry"), "{why}");
    assert_eq!(why.matches("  attempt ").count(), 1, "{why}");
    place.run(&["run", "--each", "true {{ item }}", "--items", "a"]);
    assert!(place.ok(&["why", "g2"]).contains("g2 has completed"), "{}", place.ok(&["why", "g2"]));
}

#[test]
fn an_address_that_is_not_reached_could_not_be_fetched() {
    let place = Place::new();
    let ended = place.run(&["ingest", "http://127.0.0.1:9/"]);
    assert_eq!(ended.code, 3);
    assert!(ended.out.contains("1 could not be fetched") && !ended.out.contains("nothing to do"), "{}", ended.out);
}

#[test]
fn the_list_of_runs_has_the_reason() {
    let place = place();
    place.run(&["run", "--each", EACH, "--items-from", "items"]);
    let list = place.ok(&["list", "runs", "--group", "g1"]);
    assert_eq!(list.matches("exit code 1: no rows").count(), 10, "{list}");
    let runs = &place.json(&["list", "runs", "--group", "g1"])["runs"];
    assert_eq!((&runs[0]["reason"], runs[10]["reason"].is_null()), (&"exit code 1: no rows".into(), true));
    assert_eq!(place.json(&["show", "r12"])["reason"], "exit code 2: strange");
}

#[test]
fn an_export_has_items_statuses_values_and_reasons() {
    let place = Place::new();
    place.write(
        "flow.yaml",
        "id: f\nsteps:\n  - name: make\n    run: 'printf \"{\\\"n\\\": 1}\"; test {{ item }} != bad || { echo no rows >&2; exit 1; }'\n  - name: say\n    run: 'printf \"%s, \\\"x\\\"\" {{ item }}'\n",
    );
    assert_eq!(place.run(&["run", "flow.yaml", "--items", "a b", "bad", "=1+1"]).code, 3);
    let lines = lines_of_json(&place.ok(&["export", "g1"]));
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[0]["run"], &lines[0]["item"], &lines[0]["status"]),
        (&1.into(), &"a b".into(), &"COMPLETED".into())
    );
    assert_eq!(lines[0]["values"], serde_json::json!({"make": {"n": 1}, "say": "a b, \"x\""}));
    assert_eq!((&lines[1]["status"], &lines[1]["reason"]), (&"FAILED".into(), &"exit code 1: no rows".into()));
    assert_eq!(lines[1]["steps"], serde_json::json!({"make": "FAILED", "say": "CANCELLED"}));
    let csv = place.ok(&["export", "g1", "--csv", "--utc"]);
    let rows: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(rows[0], "run,item,status,ended,reason,make status,make value,say status,say value");
    assert!(rows[1].starts_with("r1,a b,COMPLETED,"), "{csv}");
    assert!(rows[1].ends_with(r#",COMPLETED,"{""n"":1}",COMPLETED,"a b, ""x""""#), "{csv}");
    assert!(rows[2].contains(",exit code 1: no rows,FAILED,,CANCELLED,"), "{csv}");
    // Spreadsheets evaluate nothing from an item or a step.
    assert!(rows[3].starts_with("r3,'=1+1,COMPLETED,") && rows[3].ends_with(r#","'=1+1, ""x""""#), "{csv}");
    assert_eq!(place.run(&["export", "g9"]).code, 4);
}

#[test]
fn an_export_of_many_runs_is_written_as_it_is_read() {
    let place = Place::new();
    let mut items = String::new();
    (0..2_500).for_each(|it| writeln!(items, "item-{it}").unwrap());
    place.write("many", &items);
    place.ok(&["submit", "--each", "true {{ item }}", "--items-from", "many", "--quiet"]);
    let out = place.ok(&["export", "g1"]);
    assert_eq!(out.lines().count(), 2_500);
    assert!(out.lines().last().unwrap().contains("item-2499"));
    // A reader that has enough ends it.
    let out = place.under(&["sh", "-c", "\"$0\" export g1 --csv | head -n 2 | wc -l"], &[]).run();
    assert_eq!((out.out.trim(), out.err.as_str()), ("2", ""));
}

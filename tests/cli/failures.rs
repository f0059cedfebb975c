//! Failures: what is equal is one line with a count; and the whole outcome of a group as a table.

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
    // Spreadsheets compute nothing that an item or a step says.
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

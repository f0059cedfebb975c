//! docs/json.md against the program: every field that a command prints is in its row, and every word of a row is printed.

use crate::Place;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../docs/json.md");

/// Fields whose content is whoever's it is: what is in them is no promise.
const FREE: &[&str] =
    &["params", "metadata", "chunk_params", "config", "meta", "output", "detail", "value", "with", "item"];

/// Words of rows that stand for a state which the samples below are not in, or for a value that is no text.
const NOT_SAMPLED: &[&str] = &[
    // Of `wait`, `list` and `status` beyond what is open now.
    "null",
    "true",
    "false",
    "signal",
    "killed",
    "superseded",
    "cancelled",
    "last_recycle",
    "processes",
    "pool",
    "pid",
    "age",
    "rss_bytes",
    "open_fds",
    "units",
    "busy",
    "limits",
    "rss",
    "fds",
    "server",
];

/// The words in backquotes of each row of the page's tables, by each of the commands in its first cell.
fn rows() -> BTreeMap<String, BTreeSet<String>> {
    let mut rows = BTreeMap::<String, BTreeSet<String>>::new();
    for line in PAGE.lines().filter(|it| it.starts_with("| `")) {
        let mut cells = line.trim_matches('|').splitn(2, '|');
        let (Some(commands), Some(fields)) = (cells.next(), cells.next()) else { continue };
        for command in quoted(commands) {
            rows.entry(command).or_default().extend(quoted(fields));
        }
    }
    rows
}

fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_string).collect()
}

/// Every key, however deep, and every word that a text is.
fn words(value: &Value, keys: &mut BTreeSet<String>, texts: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                keys.insert(key.clone());
                if !FREE.contains(&key.as_str()) {
                    words(value, keys, texts);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|it| words(it, keys, texts)),
        Value::String(text) => drop(texts.insert(text.clone())),
        _ => (),
    }
}

/// The rows whose fields a row has besides its own.
const WITH: &[(&str, &[&str])] = &[
    ("show g12", &["list groups"]),
    ("show r34", &["list runs", "list steps"]),
    ("show s56", &["list steps", "locks", "show r34", "attempt"]),
    ("why", &["list steps", "locks"]),
    ("status", &["list groups", "list workers"]),
    ("db list", &["db info"]),
    ("backup", &["backup --check"]),
    ("restore", &["backup --check"]),
];

/// Prints with `--json` whatever a home can show, as (row, document).
fn samples(place: &Place) -> Vec<(&'static str, Value)> {
    place.write("docs/rope.md", "# Ropes\n\nA rope holds a load.\n");
    place.write(
        "w.yaml",
        "id: w\nsteps:\n  - { name: a, run: 'echo hi; echo x > {{ out }}/f', resource_key: k }\n  \
         - { name: b, run: 'test {{ item }} = good' }\nhooks: { group_end: [{ name: h, run: 'exit 1', retries: 0 }] }\n",
    );
    let lines = |ended: crate::Ended| -> Vec<Value> {
        ended.out.lines().map(|it| serde_json::from_str(it).unwrap_or_else(|_| panic!("{it}"))).collect()
    };
    let mut found = Vec::new();
    let mut doc = |row: &'static str, arguments: &[&str]| found.push((row, place.json(arguments)));
    doc("init", &["init"]);
    doc("run --dry-run", &["run", "w.yaml", "--items", "good", "bad", "--dry-run"]);
    doc("ingest --dry-run", &["ingest", "docs", "--dry-run"]);
    place.ok(&["ingest", "docs"]);
    doc("submit", &["submit", "w.yaml", "--items", "good", "bad"]);
    place.run(&["worker", "--until-idle"]);
    found.push(("wait", serde_json::from_str(&place.run(&["wait", "g2", "--json"]).out).unwrap()));
    let mut doc = |row: &'static str, arguments: &[&str]| found.push((row, place.json(arguments)));
    doc("search", &["search", "rope"]);
    doc("list groups", &["list", "groups"]);
    doc("list runs", &["list", "runs", "--group", "g2"]);
    doc("list steps", &["list", "steps", "--group", "g2"]);
    doc("list definitions", &["list", "definitions"]);
    doc("list params", &["list", "params"]);
    doc("list documents", &["list", "documents"]);
    doc("show g12", &["show", "g2"]);
    doc("show r34", &["show", "r3"]);
    doc("why", &["why", "g2"]);
    doc("status", &["status"]);
    doc("locks", &["locks"]);
    doc("pause", &["pause", "a"]);
    doc("resume", &["resume", "a"]);
    doc("db list", &["db", "list"]);
    doc("db info", &["db", "info"]);
    doc("db check", &["db", "check"]);
    doc("vacuum DB", &["vacuum", "default"]);
    doc("vacuum DB", &["vacuum", "--all"]);
    doc("prune --dry-run", &["prune", "--keep", "0s", "--dry-run"]);
    doc("backup", &["backup", "b.zip"]);
    doc("backup --check", &["backup", "--check", "b.zip"]);
    doc("doctor", &["doctor"]);
    doc("settings", &["settings"]);
    doc("retry", &["retry", "g2"]);
    doc("cancel", &["cancel", "g2"]);
    doc("worker", &["worker", "--until-idle"]);
    doc("prune", &["prune", "--keep", "0s"]);
    for it in lines(place.run(&["run", "w.yaml", "--items", "good", "bad", "--json"])) {
        let row = match it["event"].as_str().unwrap() {
            "submitted" => "submitted",
            "ended" => "ended",
            _ => continue,
        };
        found.push((row, it));
    }
    for it in lines(place.run(&["ingest", "docs", "--force", "--json"])) {
        let row = match it["event"].as_str().unwrap() {
            "plan" => "plan",
            "submitted" => "submitted",
            "ended" => "ended",
            _ => continue,
        };
        found.push((row, it));
    }
    found
}

#[test]
fn the_page_on_json_has_every_field_that_is_printed_and_no_other() {
    let place = Place::new();
    let rows = rows();
    // What the page says below its tables of streams: failures and reports.
    let below: BTreeSet<String> = quoted(PAGE).into_iter().collect();
    let mut printed = BTreeMap::<&str, (BTreeSet<String>, BTreeSet<String>)>::new();
    for (row, document) in samples(&place) {
        let (keys, texts) = printed.entry(row).or_default();
        words(&document, keys, texts);
    }
    let mut wrong = Vec::new();
    for (row, (keys, texts)) in &printed {
        let Some(own) = rows.get(*row) else {
            wrong.push(format!("`{row}` has no row"));
            continue;
        };
        let mut known = own.clone();
        for (_, more) in WITH.iter().filter(|it| it.0 == *row) {
            known.extend(more.iter().filter_map(|it| rows.get(*it)).flatten().cloned());
        }
        if ["plan", "submitted", "ended"].contains(row) {
            known.extend(below.iter().cloned());
            known.insert("event".to_string());
        }
        for key in keys.difference(&known) {
            wrong.push(format!("`{row}` prints `{key}`, which its row does not have"));
        }
        let is_word = |it: &&String| it.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
        for word in own.iter().filter(is_word).filter(|it| !NOT_SAMPLED.contains(&it.as_str())) {
            if !keys.contains(word) && !texts.contains(word) && !rows.contains_key(word) {
                wrong.push(format!("the row of `{row}` has `{word}`, which is not printed"));
            }
        }
    }
    assert!(wrong.is_empty(), "docs/json.md and the program differ:\n{}", wrong.join("\n"));
}

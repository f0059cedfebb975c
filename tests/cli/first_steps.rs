//! What people try first: lists of items, including odd ones.

use super::{Place, lines_of_json};
use std::fs;

#[test]
fn an_item_that_begins_with_a_dash_is_an_item_or_the_tip_works() {
    let place = Place::new();
    let each = ["run", "--each", "echo {{ item }}"];
    assert_eq!(place.run(&[&each[..], &["--items", "-3", "4", "-0.5"]].concat()).code, 0);
    for items in [&["--items", "-x"][..], &["--items", "a", "-x"], &["--items", "a", "--odd", "b"]] {
        let ended = place.run(&[&each[..], items].concat());
        assert_eq!(ended.code, 2);
        let word = items.iter().find(|it| it.starts_with('-') && **it != "--items").unwrap();
        assert!(!ended.err.contains("use '-- "), "a tip that does not work: {}", ended.err);
        let tip = format!("use '--items={word}'");
        assert!(ended.err.contains(&tip), "{items:?}: {}", ended.err);
    }
    place.ok(&[&each[..], &["--items=-x"]].concat());
    place.ok(&[&each[..], &["--items", "a", "--items=--odd", "--items", "b"]].concat());
    let runs = place.json(&["list", "runs", "--group", "g3"])["runs"].clone();
    let items: Vec<&str> = runs.as_array().unwrap().iter().map(|it| it["item"].as_str().unwrap()).collect();
    assert_eq!(items, ["a", "--odd", "b"]);
    // If the parser's tip works, it is shown.
    let ended = place.run(&["search", "-x"]);
    assert!(ended.err.contains("use '-- -x'"), "{}", ended.err);
}

#[test]
fn an_item_with_a_nul_is_refused_with_its_line_and_nothing_is_submitted() {
    let place = Place::new();
    place.write("list", "a\nb\0c\nd\n");
    place.write("objects", "{\"x\": \"a\"}\n{\"x\": \"b\\u0000c\"}\n");
    let each = |list| ["submit", "--each", "echo {{ item }}", "--items-from", list];
    let ended = place.run(&each("list"));
    assert!(ended.code == 2 && ended.err.contains("list:2: this item contains NUL"), "{}", ended.err);
    let ended = place.run(&["submit", "--each", "echo {{ item.x }}", "--items-from", "objects"]);
    assert!(ended.code == 2 && ended.err.contains("item 2 contains NUL"), "{}", ended.err);
    assert_eq!(place.json(&["list", "groups"])["groups"], serde_json::json!([]));
}

#[test]
fn an_empty_list_submits_nothing_and_says_so() {
    let place = Place::new();
    place.write("none", "\n  \n");
    for command in ["run", "submit"] {
        let ended = place.run(&[command, "--each", "echo {{ item }}", "--items-from", "none"]);
        assert_eq!((ended.code, ended.out.as_str()), (0, ""), "{}", ended.err);
        assert_eq!(ended.err, "no items in none: nothing submitted\n");
        let said = place.ok(&[command, "--each", "echo {{ item }}", "--items-from", "none", "--json"]);
        let said = &lines_of_json(&said)[0];
        assert_eq!((&said["group"], &said["runs"], &said["new"]), (&serde_json::Value::Null, &0.into(), &false.into()));
    }
    assert_eq!(place.json(&["list", "groups"])["groups"], serde_json::json!([]));
    // Other problems are still reported.
    assert_eq!(place.run(&["run", "--each", "echo \"{{ item }}\"", "--items-from", "none"]).code, 2);
}

#[test]
fn a_template_without_quotes_is_refused_with_the_line_in_quotes() {
    let place = Place::new();
    for (step, hint) in [
        ("run: {{ item }}", "`run: \"{{ item }}\"`"),
        ("run: {{ item }} --help", "`run: \"{{ item }} --help\"`"),
        ("run: [echo, {{ item }}]", "`\"{{ item }}\"`"),
        ("run: \"true\"\n    env: { X: {{ item }} }", "`\"{{ item }}\"`"),
        ("run: \"true\"\n    env:\n      X: {{ item }}", "`X: \"{{ item }}\"`"),
        ("run: \"true\"\n    resource_key: {{ item }}", "`resource_key: \"{{ item }}\"`"),
        ("run: \"true\"\n    cache_files:\n      - {{ item }}", "`- \"{{ item }}\"`"),
    ] {
        place.write("f.yaml", &format!("id: f\nsteps:\n  - name: a\n    {step}\n"));
        let ended = place.run(&["run", "f.yaml", "--items", "a"]);
        assert!(ended.code == 2 && ended.err.contains("f.yaml:"), "{step}: {}", ended.err);
        assert!(ended.err.contains(&format!("put the value in quotes: {hint}")), "{step}: {}", ended.err);
    }
}

#[test]
fn an_export_shows_the_item_of_ingest_as_its_document() {
    let place = Place::new();
    place.write("docs/a b.md", "# Winches\n");
    place.ok(&["ingest", "docs"]);
    let path = fs::canonicalize(place.path().join("docs/a b.md")).unwrap().to_string_lossy().into_owned();
    assert_eq!(lines_of_json(&place.ok(&["export", "g1"]))[0]["item"], path);
    assert!(place.ok(&["export", "g1", "--csv"]).contains(&format!("r1,{path},COMPLETED")));
    // The promise of `--json`: the item unchanged.
    let item = lines_of_json(&place.ok(&["export", "g1", "--json"]))[0]["item"].clone();
    let item: serde_json::Value = serde_json::from_str(item.as_str().unwrap()).unwrap();
    assert_eq!(item["name"], "a b.md");
}

#[test]
fn an_argument_that_is_not_utf8_is_named() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let place = Place::new();
    let mut command = place.command(&["search"]);
    let ended = command.arg(OsStr::from_bytes(b"caf\xe9\x1b[31m")).run();
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("the argument `caf") && ended.err.contains("is not UTF-8"), "{}", ended.err);
    assert!(ended.err.contains("hint: rename the file") && !ended.err.contains('\u{1b}'), "{}", ended.err);
}

#[test]
fn restore_of_a_directory_says_which_file_to_name() {
    let place = Place::new();
    fs::create_dir(place.path().join("backups")).unwrap();
    let ended = place.run(&["restore", "backups"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    let hint = "name the file in it, such as backups/windlass.zip";
    assert!(
        ended.err.contains("backups is a directory; a backup is one file") && ended.err.contains(hint),
        "{ended:?}"
    );
    assert!(!place.home().exists(), "nothing was made");
}

#[test]
fn shell_at_a_step_says_how_to_use_another_shell() {
    let place = Place::new();
    place.write("a.yaml", "id: a\nsteps:\n  - name: a\n    run: echo\n    shell: bash\n");
    let ended = place.run(&["submit", "a.yaml"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    let said = &ended.err;
    assert!(said.contains("a.yaml:5: unknown key `shell`") && said.contains("[bash, -c, \"...\"]"), "{said}");
}

#[test]
fn a_page_of_links_comes_after_text_and_is_found_where_there_is_nothing_else() {
    let place = Place::new();
    let menu = "<title>All pages</title><ul><li><a href=r.html>Rope care</a><li><a href=s.html>Rope splices</a>\
                <li><a href=l.html>Rope loads and rope ends</a><li><a href=c.html>Capstans</a></ul>";
    place.write("docs/index.html", menu);
    let text = "<h1>The shed</h1><p>Behind the shed, out of the rain and far from the oil, hangs a rope on a wooden peg \
                that the old keeper carved.</p>";
    place.write("docs/shed.html", text);
    place.ok(&["ingest", "docs"]);
    let found = |query: &str| {
        let hits = place.json(&["search", query])["hits"].as_array().unwrap().clone();
        let name = |it: &serde_json::Value| it["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_string();
        hits.iter().map(|it| (name(it), it["navigation"].as_bool().unwrap())).collect::<Vec<_>>()
    };
    for query in ["rope", "rope care", "rope loads"] {
        let expected = [("shed.html".to_string(), false), ("index.html".to_string(), true)];
        assert_eq!(found(query), expected, "{query}");
    }
    assert_eq!(found("capstans")[0], ("index.html".to_string(), true));
}

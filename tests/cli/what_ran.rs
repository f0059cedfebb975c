//! What a step ran, and what a definition says, but never a value known only from `env`.

use super::Place;

const FLOW: &str = r#"
id: greet
name: Greetings
steps:
  - name: make
    run: 'printf "%s\n" {{ params.word }} {{ item }} > {{ out }}/greeting; printf %s {{ env.TOKEN }}{{ env.OUTSIDE }} | wc -c'
    env: { TOKEN: s3cr3t-in-the-file, OUTSIDE: , PLAIN: "{{ item }}" }
    retries: 2
  - name: check
    run: [cat, "{{ inputs.make.dir }}/greeting", "--", "{{ inputs.make.value }}"]
    timeout: 10m
  - name: pause
    uses: windlass/sleep
    with: { for: 1ms, why: "{{ item }}" }
"#;

fn run(place: &Place, item: &str) {
    place.write("greet.yaml", FLOW);
    let arguments = ["run", "greet.yaml", "--items", item, "--param", "word=hello world"];
    let ended = place.command(&arguments).env("OUTSIDE", "s3cr3t-from-outside").run();
    assert!(ended.out.contains("g1"), "{} {}", ended.out, ended.err);
}

#[test]
fn a_step_shows_the_command_that_it_ran_and_no_secret() {
    let place = Place::new();
    run(&place, "it's ann");
    let ran = r#"printf "%s\n" 'hello world' 'it'\''s ann' > {{ out }}/greeting; printf %s ****** | wc -c"#;
    let shown = place.ok(&["show", "s1"]);
    assert!(shown.contains(&format!("  ran        {ran}\n")), "{shown}");
    assert!(
        shown.contains("OUTSIDE=***") && shown.contains("TOKEN=***") && shown.contains("PLAIN='{{ item }}'"),
        "{shown}"
    );
    let step = place.json(&["show", "s1"]);
    assert_eq!(
        (&step["command"], &step["variables"]),
        (&ran.into(), &serde_json::json!(["OUTSIDE", "PLAIN", "TOKEN"]))
    );
    assert_eq!(step["step_definition"]["retries"], 2);
    assert_eq!(step["step_definition"]["env"]["TOKEN"], "***");
    let words = place.json(&["show", "s2"]);
    assert_eq!(words["command"], "cat '{{ inputs.make.dir }}/greeting' -- 37", "its input is known, its place is not");
    assert_eq!(words["step_definition"]["timeout"], "10m");
    let kind = place.json(&["show", "s3"]);
    assert_eq!(kind["command"], r#"windlass/sleep {"for":"1ms","why":"it's ann"}"#);
    for document in [
        place.ok(&["show", "s1", "--json"]),
        shown,
        place.ok(&["show", "greet"]),
        place.ok(&["show", "greet", "--json"]),
    ] {
        assert!(!document.contains("s3cr3t"), "{document}");
    }
}

#[test]
fn what_looks_like_a_secret_is_shown_nowhere() {
    let place = Place::new();
    let text = "id: call\nsteps:\n  - name: a\n    run: 'echo --token {{ params.api_key }} --password=s3cr3t \
                \"Authorization: Bearer s3cr3t\" {{ params.to }} > {{ out }}/said'\n    env: { HOW_TOKEN: s3cr3t }\n  - name: b\n    \
                uses: windlass/sleep\n    with: { for: 1ms, token: s3cr3t }\n";
    place.write("call.yaml", text);
    place.ok(&["run", "call.yaml", "--items", "x", "--param", "api_key=s3cr3t", "--param", "to=here"]);
    for arguments in [
        &["show", "g1"][..],
        &["show", "g1", "--json"],
        &["show", "s1"],
        &["show", "s1", "--json"],
        &["show", "s2", "--json"],
        &["show", "call"],
        &["show", "call", "--json"],
        &["export", "g1"],
    ] {
        let shown = place.ok(arguments);
        // No step of this group has a value to export.
        let masked = shown.contains("***") || arguments[0] == "export";
        assert!(!shown.contains("s3cr3t") && masked, "{arguments:?}: {shown}");
    }
    assert_eq!(place.json(&["show", "g1"])["params"], serde_json::json!({"api_key": "***", "to": "here"}));
    assert!(place.ok(&["show", "s1", "--file", "said"]).contains("--token s3cr3t"), "it ran with the value");
}

#[test]
fn a_definition_is_shown_by_its_name_its_number_and_its_hash() {
    let place = Place::new();
    run(&place, "ann");
    let whole = place.json(&["show", "greet"]);
    let hash = whole["hash"].as_str().unwrap();
    assert_eq!((&whole["id"], &whole["name"], &whole["number"]), (&"greet".into(), &"Greetings".into(), &1.into()));
    assert_eq!(whole["definition"]["steps"][1]["timeout"], "10m");
    for name in ["d1", hash, &hash[..12]] {
        assert_eq!(place.json(&["show", name])["hash"], hash, "{name}");
    }
    assert_eq!(place.json(&["list", "definitions"])["definitions"][0]["hash"], hash);
    let wrong = place.run(&["show", "gret"]);
    assert!(wrong.code == 4 && wrong.err.contains("did you mean `greet`?"), "{} {}", wrong.code, wrong.err);
    let wrong = place.run(&["show", "0123456789ab"]);
    assert_eq!(wrong.code, 4, "{}", wrong.err);
}

#[test]
fn what_is_shown_of_a_definition_is_a_file_that_means_the_same() {
    let place = Place::new();
    let flow = FLOW.replace("TOKEN: s3cr3t-in-the-file, ", "").replace("{{ env.TOKEN }}", "");
    place.write("greet.yaml", &flow);
    place.ok(&["submit", "greet.yaml", "--items", "a", "--param", "word=x"]);
    place.write("again.yaml", &place.ok(&["show", "greet"]));
    let version =
        |file: &str| place.json(&["run", file, "--items", "a", "--param", "word=x", "--dry-run"])["version"].clone();
    assert_eq!(version("again.yaml"), version("greet.yaml"));
}

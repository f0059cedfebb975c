//! Secrets of steps and hooks, and the daemon's address.

use crate::support::{binary::eventually, place::Place};
use std::{fs, os::unix::fs::PermissionsExt};

/// Writes a secret of the home.
pub fn put(place: &Place, name: &str, text: &str, mode: u32) {
    let path = place.home().join("secrets").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The files of the home that contain a text.
fn holding(place: &Place, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![place.home()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|it| it.unwrap().path()));
        } else if fs::read(&path).unwrap().windows(text.len()).any(|it| it == text.as_bytes()) {
            found.push(path.strip_prefix(place.home()).unwrap().display().to_string());
        }
    }
    found
}

const WORKFLOW: &str = "id: push
steps:
  - name: push
    run: 'test ${#TOKEN} = 12 && echo said $TOKEN; printf %s \"$TOKEN\" | cut -c1-6; exit 3'
    env: { TOKEN: { secret: GITHUB_TOKEN } }
hooks:
  group_end:
    - name: tell
      run: 'echo hook $TOKEN; exit 4'
      retries: 0
      env: { TOKEN: { secret: GITHUB_TOKEN } }
";

#[test]
fn a_secret_reaches_its_command_and_nothing_else() {
    let place = Place::new();
    place.write("push.yaml", WORKFLOW);
    put(&place, "GITHUB_TOKEN", "s3cr3t-value\n", 0o600);
    let run = place.run(&["run", "push.yaml"]);
    assert_eq!(run.code, 3, "{run:?}");
    let logs = place.ok(&["logs", "s1"]);
    assert!(logs.contains("said ***") && logs.contains("s3cr3t\n"), "{logs}");
    assert!(place.ok(&["logs", "s2"]).contains("hook ***"));
    for words in
        [&["show", "g1"][..], &["show", "s1"], &["--json", "show", "s1"], &["why", "s1"], &["--json", "show", "s2"]]
    {
        let shown = place.ok(words);
        assert!(!shown.contains("s3cr3t-value"), "{words:?}: {shown}");
    }
    assert!(place.ok(&["--json", "show", "s1"]).contains("GITHUB_TOKEN"));
    assert_eq!(holding(&place, "s3cr3t-value"), ["secrets/GITHUB_TOKEN"]);
    place.ok(&["backup", "copy.zip"]);
    let list = place.run(&["--json", "status"]);
    assert!(!list.out.contains("s3cr3t-value"));
    let copy = fs::read(place.path().join("copy.zip")).unwrap();
    assert!(!copy.windows(12).any(|it| it == b"s3cr3t-value"));
}

#[test]
fn a_secret_that_is_missing_or_that_others_can_read_is_refused_at_submit() {
    let place = Place::new();
    place.write("push.yaml", WORKFLOW);
    let refused = place.run(&["submit", "push.yaml"]);
    assert!(
        refused.code != 0 && refused.err.contains("the secret `GITHUB_TOKEN` of step `push` is not set"),
        "{refused:?}"
    );
    assert!(refused.err.contains("in `secrets` in the home directory, with mode 600"), "{refused:?}");
    let tried = place.run(&["submit", "--dry-run", "push.yaml"]);
    assert_eq!((tried.code, &tried.err), (refused.code, &refused.err), "a dry run says the same");
    put(&place, "GITHUB_TOKEN", "x", 0o644);
    let refused = place.run(&["submit", "push.yaml"]);
    assert!(
        refused.code != 0 && refused.err.contains("other users can read") && refused.err.contains("chmod 600"),
        "{refused:?}"
    );
    fs::remove_file(place.home().join("secrets/GITHUB_TOKEN")).unwrap();
    let mut submit = place.command(&["submit", "push.yaml"]);
    submit.env("GITHUB_TOKEN", "s3cr3t-value");
    submit.ok();
    // The worker has neither, and the step says so.
    place.ok(&["worker", "--until-idle"]);
    let why = place.ok(&["why", "s1"]);
    assert!(why.contains("the secret `GITHUB_TOKEN` is not set"), "{why}");
}

#[test]
fn what_a_secret_can_not_be_is_refused_with_its_line() {
    let place = Place::new();
    for (env, wanted) in [
        ("{ TOKEN: { secrets: A } }", "unknown key `secrets`"),
        ("{ TOKEN: { secret: ../A } }", "not the name of a secret"),
        ("{ TOKEN: {} }", "has no `secret`"),
        ("{ TOKEN: { secret: A } }, value: file", "can't have `value: file`"),
    ] {
        place.write("bad.yaml", &format!("id: bad\nsteps:\n  - {{ name: a, run: ls, env: {env} }}\n"));
        let refused = place.run(&["submit", "bad.yaml"]);
        assert!(refused.code != 0 && refused.err.contains("bad.yaml:3") && refused.err.contains(wanted), "{refused:?}");
    }
}

#[test]
fn a_step_and_a_hook_know_the_address_of_the_daemon_while_one_runs() {
    let place = Place::new();
    let tells = "echo \"${WINDLASS_URL:-none}\" >>";
    let text = format!(
        "id: u\nsteps: [{{ name: a, run: '{tells} step' }}]\nhooks: {{ group_end: [{{ name: h, run: '{tells} hook' }}] }}\n"
    );
    place.write("u.yaml", &text);
    place.ok(&["run", "u.yaml"]);
    let read = |name: &str| fs::read_to_string(place.path().join(name)).unwrap_or_default();
    assert_eq!((read("step").as_str(), read("hook").as_str()), ("none\n", "none\n"));
    let daemon = place.start(&["serve", "--listen", "127.0.0.1:0"]);
    eventually("the daemon listens", || place.home().join("serve.port").exists());
    place.ok(&["submit", "u.yaml"]);
    eventually("the hook has run", || read("hook").lines().count() == 2);
    let url = format!("http://{}", fs::read_to_string(place.home().join("serve.port")).unwrap().trim());
    for name in ["step", "hook"] {
        assert_eq!(read(name), format!("none\n{url}\n"));
    }
    daemon.signal("TERM");
    daemon.end(crate::PATIENCE);
    // A port file without a daemon has no effect.
    fs::write(place.home().join("serve.port"), "127.0.0.1:1").unwrap();
    place.ok(&["run", "u.yaml"]);
    assert_eq!(read("step").lines().last(), Some("none"));
}

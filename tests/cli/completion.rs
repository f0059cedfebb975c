//! Completions as a real shell asks for them.

use super::{Ended, Place, WINDLASS};
use crate::support::needs::needs;
use std::{fs, process::Command};

/// What bash would offer for a line, with the cursor at its end.
fn offered(place: &Place, line: &str) -> Vec<String> {
    let script = place.ok(&["completions", "bash"]);
    fs::write(place.path().join("completions.bash"), script).unwrap();
    // `windlass` on PATH is this build.
    let bin = place.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    if !bin.join("windlass").exists() {
        std::os::unix::fs::symlink(WINDLASS, bin.join("windlass")).unwrap();
    }
    let ask = r#"
        source ./completions.bash
        line="$1"
        COMP_WORDS=($line); [[ "$line" == *" " ]] && COMP_WORDS+=("")
        COMP_LINE="$line"; COMP_POINT=${#line}; COMP_TYPE=9
        COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
        complete -p windlass > /dev/null || exit 9
        function=$(complete -p windlass | sed 's/.*-F \([^ ]*\).*/\1/')
        COMPREPLY=()
        "$function" windlass "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2> errors
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", ask, "bash", line]).current_dir(place.path()).env("PATH", path);
    bash.env("WINDLASS_HOME", place.path().join("home"));
    let ended = Ended::of(bash.output().unwrap());
    assert_eq!(ended.code, 0, "{line}: {} {}", ended.out, ended.err);
    let errors = fs::read_to_string(place.path().join("errors")).unwrap_or_default();
    assert_eq!(errors, "", "{line}");
    ended.out.lines().map(|it| it.trim().to_string()).filter(|it| !it.is_empty()).collect()
}

#[test]
fn bash_completes_ids_statuses_databases_and_names() {
    let place = Place::new();
    place.write("docs/tea.txt", "Tea is made of leaves and hot water.\n");
    place.ok(&["ingest", "docs", "--db", "kitchen", "--quiet"]);
    place.write("greet.yaml", "id: greet\nsteps: [{ name: hello, run: 'true {{ item }}' }]\n");
    place.ok(&["submit", "greet.yaml", "--items", "a", "b", "--quiet"]);
    for (line, expected) in [
        ("windlass show g", &["g1", "g2"][..]),
        ("windlass wait ", &["g2"]),
        ("windlass show gr", &["greet"]),
        ("windlass logs r", &["r2", "r3"]),
        ("windlass why s", &["s6", "s7"]),
        ("windlass list runs --status ", &["pending", "running", "completed", "error", "failed", "cancelled"]),
        ("windlass list runs --group ", &["g1", "g2"]),
        ("windlass search tea --db ", &["kitchen"]),
        ("windlass vacuum ", &["kitchen"]),
        ("windlass db delete ", &["kitchen"]),
        ("windlass db remove --db ", &["kitchen"]),
        ("windlass pause ", &["g2", "hello"]),
        ("windlass settings heart", &["heartbeat"]),
        ("windlass exp", &["export"]),
        ("windlass run --resume ", &["g2"]),
    ] {
        let offered = offered(&place, line);
        for it in expected {
            assert!(offered.iter().any(|one| one == it), "`{line}` offers {offered:?}, not {it}");
        }
    }
    assert!(!offered(&place, "windlass run --resume ").contains(&"g1".to_string()), "g1 has ended");
}

#[test]
fn ids_complete_by_what_is_typed_of_them_however_old_they_are() {
    let place = Place::new();
    let items: Vec<String> = (0..120).map(|it| it.to_string()).collect();
    place.write("items", &items.join("\n"));
    place.ok(&["submit", "--each", "true {{ item }}", "--items-from", "items", "--quiet"]);
    for (line, expected) in [("windlass logs s1", "s1"), ("windlass logs s11", "s119"), ("windlass show r2", "r2")] {
        let offered = offered(&place, line);
        assert!(offered.iter().any(|it| it == expected), "`{line}` offers {offered:?}, not {expected}");
    }
    assert!(offered(&place, "windlass logs s2").iter().all(|it| it.starts_with("s2")));
}

#[test]
fn a_completion_makes_no_home_and_takes_the_one_of_the_line() {
    let place = Place::new();
    assert_eq!(offered(&place, "windlass show g"), [""; 0]);
    assert!(!place.path().join("home").exists());
    place.ok(&["submit", "--each", "true {{ item }}", "--items", "a", "--home", "other", "--quiet"]);
    assert_eq!(offered(&place, "windlass --home other show g"), ["g1"]);
    assert!(!place.path().join("home").exists());
}

#[test]
fn each_shell_has_a_script_that_its_shell_can_read() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        place.write("script", &place.ok(&["completions", shell]));
        if needs(shell) {
            let read = Command::new(shell).args(["-n", "script"]).current_dir(place.path()).output().unwrap();
            assert!(read.status.success(), "{shell}: {}", String::from_utf8_lossy(&read.stderr));
        }
    }
}

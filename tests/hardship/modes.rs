//! Permissions: loose umasks, directories that can't be written or read, no home at all.

use crate::support::needs::skip;
use crate::{Ended, Place, WINDLASS};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

const WORKFLOW: &str = r#"
id: files
steps:
  - { name: make, run: "echo {{ item }} > {{ out }}/it", resource_key: "k:{{ item }}" }
  - { name: use, run: "cat {{ inputs.make.dir }}/it" }
"#;
/// `nobody`: root may do everything, so its tests act as another user.
const NOBODY: u32 = 65_534;

fn walk(dir: &Path, found: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let facts = entry.metadata().unwrap();
        found.push((entry.path().display().to_string(), facts.mode() & 0o777));
        if facts.is_dir() {
            walk(&entry.path(), found);
        }
    }
}

#[test]
fn what_windlass_makes_is_private_whatever_the_mask_says() {
    let place = Place::new();
    place.write("files.yaml", WORKFLOW);
    fs::create_dir(place.path().join("documents")).unwrap();
    place.write("documents/one.txt", "Some words about a winch.");
    for arguments in ["run files.yaml --items a b", "ingest documents", "search winch"] {
        let script = format!("umask 000; exec '{WINDLASS}' {arguments}");
        let mut command = place.under(&["sh", "-c", &script], &[]);
        let ended = command.run();
        assert_eq!(ended.code, 0, "{arguments}: {ended:?}");
    }
    let mut found = vec![("home".to_string(), fs::metadata(place.home()).unwrap().mode() & 0o777)];
    walk(&place.home(), &mut found);
    assert!(found.len() > 8, "{found:?}");
    let open: Vec<_> = found.iter().filter(|it| it.1 & 0o077 != 0).map(|it| format!("{} {:o}", it.0, it.1)).collect();
    assert!(open.is_empty(), "others may look into {open:#?}");
}

/// A command as a user to whom permissions apply.
fn as_somebody(place: &Place, arguments: &[&str]) -> Ended {
    if !rustix::process::getuid().is_root() {
        return place.run(arguments);
    }
    // The binary may be in a place that only root can reach.
    let reachable = place.path().join("windlass");
    if !reachable.exists() && fs::hard_link(WINDLASS, &reachable).is_err() {
        fs::copy(WINDLASS, &reachable).unwrap();
    }
    let mut command = place.under(&["sh", "-c", "shift; exec ./windlass \"$@\"", "sh"], arguments);
    command.user(NOBODY, NOBODY).run()
}

/// A home with a group that belongs to another user. None if the binary can't be run as that user.
fn of_somebody() -> Option<Place> {
    let place = Place::new();
    place.write("files.yaml", WORKFLOW);
    let free = fs::Permissions::from_mode(0o777);
    fs::set_permissions(place.path(), free).unwrap();
    let made = as_somebody(&place, &["run", "files.yaml", "--items", "a"]);
    if made.code != 0 {
        skip(&format!("the binary can't be run as another user: {}", made.err));
        return None;
    }
    Some(place)
}

fn with_mode(place: &Place, directory: u32, file: u32) {
    let mut all = Vec::new();
    walk(&place.home(), &mut all);
    for (path, _) in &all {
        let mode = if fs::metadata(path).unwrap().is_dir() { directory } else { file };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(place.home(), fs::Permissions::from_mode(directory)).unwrap();
}

#[test]
fn a_home_that_can_not_be_written_or_read_is_a_clear_error_and_works_again_afterwards() {
    let Some(place) = of_somebody() else { return };
    for (directory, file) in [(0o500, 0o400), (0o000, 0o000)] {
        with_mode(&place, directory, file);
        for arguments in [&["status"][..], &["list", "groups"], &["run", "files.yaml", "--items", "b"], &["doctor"]] {
            let ended = as_somebody(&place, arguments);
            assert!([1, 74].contains(&ended.code), "{directory:o} {arguments:?}: {ended:?}");
            assert!(ended.err.contains("error:") && ended.err.contains("home"), "{arguments:?}: {ended:?}");
        }
    }
    with_mode(&place, 0o700, 0o600);
    assert_eq!(as_somebody(&place, &["run", "files.yaml", "--items", "b"]).code, 0);
    // Reading requires being the owner.
    let us = rustix::process::geteuid().as_raw().to_string();
    assert!(std::process::Command::new("chown").args(["-R", &us]).arg(place.home()).status().unwrap().success());
    place.assert_sound();
}

#[test]
fn a_directory_without_rights_that_a_step_leaves_is_removed_with_its_work_directory() {
    let Some(place) = of_somebody() else { return };
    let each = "mkdir -p {{ out }}/a/b; touch {{ out }}/a/b/f; chmod 000 {{ out }}/a/b {{ out }}/a";
    for command in [each, &format!("{each}; false")] {
        let ended = as_somebody(&place, &["run", "--each", command, "--items", "a"]);
        assert!(ended.code != 0, "{ended:?}");
    }
    let left: Vec<_> = fs::read_dir(place.home().join("tmp")).unwrap().flatten().map(|it| it.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn without_any_home_the_error_says_what_to_do() {
    let place = Place::new();
    let mut command = place.command(&["status"]);
    for name in ["HOME", "XDG_DATA_HOME", "WINDLASS_HOME"] {
        command.env_remove(name);
    }
    let ended = command.run();
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("--home"), "{ended:?}");
}

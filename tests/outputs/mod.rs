//! What a command may leave in its output directory, and what happens to it.

use super::{Shop, eventually};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    time::{Duration, Instant},
};
use windlass::{
    model::{Bytes, Millis, Status, StepId},
    store::{output, read},
};

impl Shop {
    /// Runs one command. Returns its group's status and the message of its first attempt.
    fn outcome_of(&self, command: &str) -> (Status, String) {
        let _worker = self.worker(1);
        let text = serde_json::json!({"id": "one", "steps": [{"name": "a", "run": command}]}).to_string();
        let group = self.submit(&text, &["x"]);
        let status = self.wait(group).status;
        let step = self.engine.store().read(|tx| {
            let runs = read::runs(tx, group, &read::RunFilter { limit: 1, ..Default::default() })?;
            Ok(read::show_run(tx, runs[0].id)?.steps[0].id)
        });
        let attempts = self.attempts(step.unwrap().0);
        let message = attempts.last().and_then(|it| it.detail.as_ref()?["message"].as_str().map(String::from));
        (status, message.unwrap_or_default())
    }
}

#[test]
fn links_that_stay_inside_reach_the_next_step() {
    let shop = Shop::new();
    let _worker = shop.worker(1);
    let text = r#"
id: links
steps:
  - name: make
    run: |
      cd {{ out }}; mkdir -p bin v2/deep; printf '#!/bin/sh\necho ran' > bin/tool-1.2; chmod 755 bin/tool-1.2
      ln -s tool-1.2 bin/tool; ln -s v2 latest; echo data > v2/deep/data; ln -s ../bin/tool v2/run; ln -s nowhere dangling
  - name: use
    run: |
      cd {{ inputs.make.dir }}; bin/tool && cat latest/deep/data && latest/run && readlink bin/tool latest dangling
      cp -R . {{ out }}
  - name: pass
    run: "{{ inputs.use.dir }}/latest/run"
"#;
    let group = shop.submit(text, &["x"]);
    assert_eq!(shop.wait(group).status, Status::Completed);
    let outputs = |step| shop.engine.store().read(|tx| output::of_step(tx, StepId(step))).unwrap().unwrap();
    let (made, used, passed) = (outputs(1), outputs(2), outputs(3));
    let links = [("bin/tool", "tool-1.2"), ("dangling", "nowhere"), ("latest", "v2"), ("v2/run", "../bin/tool")];
    assert_eq!(made.links, links.map(|(name, target)| (name.to_string(), target.to_string())));
    assert_eq!(used.links, made.links);
    assert_eq!(used.value, Some("ran\ndata\nran\ntool-1.2\nv2\nnowhere".into()));
    assert_eq!(passed.value, Some("ran".into()));
}

#[test]
fn a_link_to_an_absolute_path_inside_is_kept_and_holds_in_the_next_step() {
    let shop = Shop::new();
    let _worker = shop.worker(1);
    let text = r#"
id: links
steps:
  - name: make
    run: |
      mkdir -p {{ out }}/d; echo data > {{ out }}/d/f; ln -s {{ out }}/d/f {{ out }}/l; ln -s {{ out }}/d/f {{ out }}/d/l
      ln -s {{ out }} {{ out }}/d/top; cd {{ out }}; ln -s "$(pwd -P)/d" dir
  - name: use
    run: cd {{ inputs.make.dir }}; cat l d/l d/top/l dir/f; readlink l d/l d/top dir
"#;
    let group = shop.submit(text, &["x"]);
    assert_eq!(shop.wait(group).status, Status::Completed);
    let used = shop.engine.store().read(|tx| output::of_step(tx, StepId(2))).unwrap().unwrap();
    assert_eq!(used.value, Some("data\ndata\ndata\ndata\nd/f\n../d/f\n../\nd".into()));
    let (status, message) = shop.outcome_of("ln -s {{ out }}/../x {{ out }}/l");
    assert!(status == Status::Failed && message.contains("leads out of the directory"), "{message}");
}

#[test]
fn a_link_that_leads_out_fails_its_step_by_name() {
    let shop = Shop::new();
    fs::write(shop.path("secret"), "secret").unwrap();
    for (command, name) in [
        ("ln -s /etc/passwd {{ out }}/x", "`x`"),
        ("mkdir {{ out }}/d; ln -s ../../secret {{ out }}/d/x", "`d/x`"),
        ("cd {{ out }}; mkdir -p a/b/c; ln -s ../../.. a/b/c/up; ln -s a/b/c/up/../.. x", "`x`"),
        ("cd {{ out }}; ln -s y x; ln -s x y", "`x`"),
    ] {
        let (status, message) = shop.outcome_of(command);
        assert_eq!(status, Status::Failed, "{command}");
        assert!(message.contains(name) && message.contains("symbolic link"), "{command}: {message}");
    }
}

#[test]
fn what_is_no_file_is_refused_by_name_and_never_waited_for() {
    let shop = Shop::new();
    fs::create_dir(shop.path("private")).unwrap();
    fs::write(shop.path("private/key"), "secret").unwrap();
    let socket = "python3 -c 'import socket, os; os.chdir(os.environ[\"WINDLASS_OUT\"]); socket.socket(1).bind(\"s\")'";
    for (command, words) in [
        ("mkfifo {{ out }}/pipe", "`pipe` is a fifo"),
        (socket, "`s` is a socket"),
        ("rm -r {{ out }}; ln -s $PWD/private {{ out }}", "replaced"),
        ("rm -r {{ out }}; echo text > {{ out }}", "replaced"),
    ] {
        let begun = Instant::now();
        let (status, message) = shop.outcome_of(command);
        assert_eq!(status, Status::Failed, "{command}");
        assert!(message.contains(words), "{command}: {message}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{command}: {:?}", begun.elapsed());
    }
    let (status, _) = shop.outcome_of("rm -r {{ out }}; mkdir {{ out }}; echo a > {{ out }}/a");
    assert_eq!(status, Status::Completed, "a directory may be made again");
}

#[test]
fn a_hard_link_to_a_file_of_somebody_else_is_refused_and_one_to_a_file_of_ones_own_is_kept() {
    let shop = Shop::new();
    let files = [("theirs", 0o644, Some(65_534)), ("secret", 0o640, None), ("own", 0o644, None)];
    for (name, mode, owner) in files {
        fs::write(shop.path(name), name).unwrap();
        fs::set_permissions(shop.path(name), fs::Permissions::from_mode(mode)).unwrap();
        if let Some(owner) = owner.filter(|_| rustix::process::geteuid().is_root()) {
            chown(shop.path(name), Some(owner), None).unwrap();
        }
    }
    let is_root = rustix::process::geteuid().is_root();
    let link = |name: &str| format!("ln {} {{{{ out }}}}/h", shop.path(name).display());
    for (name, kept) in [("theirs", !is_root), ("secret", !is_root), ("own", true)] {
        let (status, message) = shop.outcome_of(&link(name));
        assert_eq!(status == Status::Completed, kept, "{name}: {message}");
        assert!(kept || message.contains("`h` is a hard link to another user's file"), "{name}: {message}");
    }
    // All its names are in the output.
    let inside = "cd {{ out }}; mkdir d; echo a > d/a; chmod 600 d/a; ln d/a b; chown 65534 b 2> /dev/null || true";
    assert_eq!(shop.outcome_of(inside).0, Status::Completed);
}

#[test]
fn files_beyond_the_limit_are_refused_at_once_holes_included() {
    let shop = Shop::new();
    let begun = Instant::now();
    let (status, message) = shop.outcome_of("truncate -s 1T {{ out }}/x");
    assert_eq!(status, Status::Failed);
    assert!(message.contains("1 TiB") && message.contains("10 GiB") && message.contains("output_limit"), "{message}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(shop.engine.artifacts().options().step_most, Some(Bytes::mib(10 << 10)));
}

/// Takes minutes to hash.
const HUGE: &str = "truncate -s 10G {{ out }}/x; touch written";

#[test]
fn a_timeout_ends_the_keeping_of_files() {
    let shop = Shop::new();
    let _worker = shop.worker(1);
    let step = serde_json::json!({"name": "a", "run": HUGE, "timeout": "1s"});
    let group = shop.submit(&serde_json::json!({"id": "huge", "steps": [step]}).to_string(), &["x"]);
    let begun = Instant::now();
    assert_eq!(shop.wait(group).status, Status::Failed);
    assert_eq!(shop.attempts(1)[0].outcome, Some("timed out"));
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert_eq!(
        fs::read_dir(shop.path("artifacts"))
            .unwrap()
            .flatten()
            .filter(|it| { it.file_name().to_string_lossy().starts_with(".tmp") })
            .count(),
        0,
        "half a file was left"
    );
}

#[test]
fn a_cancel_and_a_stop_end_the_keeping_of_files() {
    let shop = Shop::new();
    let worker = shop.worker(1);
    let text = serde_json::json!({"id": "huge", "steps": [{"name": "a", "run": HUGE}]}).to_string();
    let group = shop.submit(&text, &["x"]);
    eventually("the file is there", || shop.path("written").exists());
    assert!(shop.engine.cancel_group(group).unwrap());
    assert_eq!(shop.wait(group).status, Status::Cancelled);
    fs::remove_file(shop.path("written")).unwrap();
    shop.submit(&text, &["y"]);
    eventually("the file is there again", || shop.path("written").exists());
    let begun = Instant::now();
    worker.stop(Millis(10));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(shop.attempts(2)[0].outcome, Some("interrupted"));
}

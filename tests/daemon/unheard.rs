//! A daemon without readers, with a closed terminal, or with a home that can't be written.

use crate::support::binary::Windlass;
use crate::{
    Home, said,
    web::{Web, until, wait},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::{fs, process::Stdio};

/// Submits a step that takes a moment, and waits until it runs.
fn busy(web: &Web, home: &Home) {
    let at = home.path().join("begun");
    let flow = home.path().join("nap.yaml");
    fs::write(&flow, format!("id: nap\nsteps: [{{ name: nap, run: 'touch {}; sleep 1' }}]\n", at.display())).unwrap();
    let submitted = web.windlass(&["submit", flow.to_str().unwrap(), "--items", "a"]).output().unwrap();
    assert!(submitted.status.success(), "{}", said(&submitted));
    until("the step runs", || at.exists().then_some(()));
}

/// Asserts that it ended properly: the step is done, and the files are gone.
#[track_caller]
fn in_order(home: &Home) {
    assert_eq!(home.files(), ["serve.token"]);
    let status = home.run(&["--json", "show", "g1"]);
    assert!(said(&status).contains(r#""status":"COMPLETED""#), "{}", said(&status));
}

#[test]
fn nobody_who_reads_its_log_is_no_reason_to_end() {
    let home = Home::new("stop_timeout = \"30s\"\nlog.level = \"windlass=debug\"\n");
    let mut command = Windlass::on(home.path());
    command.arg("serve").stderr(Stdio::piped());
    let mut web = Web::started_by(command, home.path());
    drop(web.child.stderr.take());
    for _ in 0..5 {
        assert_eq!(web.get("/health").status, 200);
        assert_eq!(web.get("/api/v1/workflow/definitions").status, 200);
    }
    busy(&web, &home);
    assert_eq!(web.terminate().code(), Some(0));
    in_order(&home);
}

#[test]
fn a_daemon_that_nobody_hears_from_the_beginning_starts() {
    let home = Home::new("");
    let mut command = Windlass::on(home.path());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.arg("serve").stderr(writer);
    let mut web = Web::started_by(command, home.path());
    assert_eq!(web.get("/health").status, 200);
    assert_eq!(web.terminate().code(), Some(0));
}

#[test]
fn a_closed_terminal_stops_it_in_order() {
    let home = Home::new("stop_timeout = \"30s\"\n");
    let mut web = Web::on(home.path(), &[]);
    busy(&web, &home);
    kill_process(Pid::from_raw(web.child.id() as i32).unwrap(), Signal::HUP).unwrap();
    assert_eq!(wait(&mut web.child).code(), Some(0));
    in_order(&home);
}

#[test]
fn under_nohup_it_outlives_its_terminal() {
    let home = Home::new("");
    let mut command = Windlass::under(&["sh", "-c", "trap '' HUP; exec \"$0\" serve"]);
    command.env("WINDLASS_HOME", home.path());
    let mut web = Web::started_by(command, home.path());
    kill_process(Pid::from_raw(web.child.id() as i32).unwrap(), Signal::HUP).unwrap();
    let health = web.get("/health").json();
    assert_eq!(health["status"], "ok", "{health}");
    assert_eq!(home.info()["phase"], json!("ready"));
    assert_eq!(web.terminate().code(), Some(0));
}

#[test]
fn a_home_that_can_not_be_written_is_no_reason_to_run_on() {
    let home = Home::new("");
    let mut web = Web::on(home.path(), &[]);
    // Nothing can replace it.
    fs::create_dir(home.path().join("serve.stopping")).unwrap();
    let stopped = home.run(&["stop"]);
    assert!(stopped.status.success() && said(&stopped).contains("windlass has stopped"), "{}", said(&stopped));
    assert!(said(&stopped).contains("other commands can start windlass meanwhile"), "{}", said(&stopped));
    assert_eq!(wait(&mut web.child).code(), Some(0));
    assert_eq!(home.files(), ["serve.stopping", "serve.token"]);
}

#[test]
fn documents_that_were_submitted_before_start_it_too() {
    let home = Home::new("autostart = true\n");
    let document = home.path().join("ropes.md");
    fs::write(&document, "# Ropes\n\nHemp rots when it is stored wet.\n").unwrap();
    let document = document.to_str().unwrap();
    let first = home.run(&["ingest", "--detach", "--no-autostart", document]);
    assert!(first.status.success() && home.holder().is_none(), "{}", said(&first));
    let alone = home.run(&["ingest", "--detach", "--no-autostart", document]);
    assert!(said(&alone).contains("no worker is running"), "{}", said(&alone));
    let again = home.run(&["ingest", "--detach", document]);
    assert!(again.status.success() && home.holder().is_some(), "{}", said(&again));
    let waited = home.run(&["wait", "g1"]);
    assert!(waited.status.success(), "{}", said(&waited));
    assert!(home.run(&["stop"]).status.success());
}

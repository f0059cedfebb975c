//! Starts and stops that overlap, or meet a process that does not respond.

use crate::support::binary::Windlass;
use crate::support::needs::needs;
use crate::{
    Home, said,
    web::{PATIENCE, Web, until, wait},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::process::ExitStatusExt,
    process::{Child, Stdio},
    time::{Duration, Instant},
};
use windlass::os::FileLock;

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), signal).unwrap();
}

#[test]
fn a_holder_that_does_not_answer_is_named_as_hung() {
    let home = Home::new("");
    let mut web = Web::on(home.path(), &[]);
    signal(&web.child, Signal::STOP);
    let hung = home.run(&["serve"]);
    assert_eq!(hung.status.code(), Some(1));
    let text = said(&hung);
    assert!(text.contains("does not answer") && text.contains(&web.child.id().to_string()), "{text}");
    assert!(text.contains("windlass stop"), "{text}");
    signal(&web.child, Signal::CONT);
    assert!(home.run(&["stop"]).status.success() && wait(&mut web.child).success());
}

#[test]
fn a_holder_that_is_not_windlass_is_named_at_once() {
    let home = Home::new("");
    let _lock = FileLock::try_exclusive(&home.path().join("engine.db.lock")).unwrap().unwrap();
    // A former daemon's files lead to the daemon of another home.
    let other = Web::start();
    fs::write(home.path().join("serve.port"), other.address.to_string()).unwrap();
    let refused = home.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(5), "{}", said(&refused));
    assert!(said(&refused).contains(&format!("pid {}", std::process::id())), "{}", said(&refused));
}

#[test]
fn one_that_waits_for_its_turn_can_be_interrupted() {
    let home = Home::new("");
    let mut web = Web::on(home.path(), &[]);
    signal(&web.child, Signal::STOP);
    let mut second = Windlass::on(home.path());
    let mut second = second.arg("serve").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(second.stderr.take().unwrap()));
    assert!(lines.next().unwrap().unwrap().contains("waiting for an answer"));
    signal(&second, Signal::TERM);
    assert_eq!(wait(&mut second).code(), Some(143));
    signal(&web.child, Signal::CONT);
    assert!(home.run(&["stop"]).status.success() && wait(&mut web.child).success());
}

#[test]
fn a_daemon_whose_lock_file_was_deleted_leaves_the_files_of_the_next_one_alone() {
    let home = Home::new("");
    let mut first = Web::on(home.path(), &[]);
    fs::remove_file(home.path().join("engine.db.lock")).unwrap();
    let second = Web::on(home.path(), &[]);
    assert_eq!(wait(&mut first.child).code(), Some(1));
    assert_eq!(home.info()["pid"], json!(second.child.id()));
    assert_eq!(home.files(), ["serve.pid", "serve.port", "serve.token"]);
    assert!(home.run(&["ui", "--print"]).status.success());
}

#[test]
fn two_that_stop_it_politely_are_no_force() {
    let home = Home::new("");
    let mut web = Web::on(home.path(), &[]);
    // A request in progress keeps it running for a moment after it has stopped listening.
    let mut slow = TcpStream::connect(web.address).unwrap();
    let head = format!(
        "POST /api/v1/batch/ HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 100\r\n\r\nsource=",
        web.address,
        web.bearer()
    );
    slow.write_all(head.as_bytes()).unwrap();
    until("the request is at work", || {
        (web.get("/health").json()["diagnostics"]["http"]["connections"].as_i64() > Some(1)).then_some(())
    });
    let mut first = Windlass::on(home.path()).arg("stop").stderr(Stdio::null()).spawn().unwrap();
    until("its door is closed", || TcpStream::connect(web.address).is_err().then_some(()));
    assert!(home.run(&["stop"]).status.success());
    assert!(wait(&mut first).success());
    let ended = wait(&mut web.child);
    assert_eq!((ended.code(), ended.signal()), (Some(0), None));
    assert_eq!(home.files(), ["serve.token"]);
}

#[test]
fn what_wants_the_page_waits_for_a_daemon_that_is_starting() {
    let home = Home::new("autostart = true\n");
    assert!(home.run(&["status"]).status.success(), "makes the database");
    let room = FileLock::try_exclusive(&home.path().join("engine.write.lock")).unwrap().unwrap();
    let mut web = Windlass::on(home.path()).arg("serve").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it is starting", || (home.info()["phase"] == "starting").then_some(()));
    let mut ui = Windlass::on(home.path());
    let mut ui = ui.args(["ui", "--print"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(ui.stderr.take().unwrap()));
    assert!(lines.next().unwrap().unwrap().contains("opening the database"), "it says what it waits for");
    drop(room);
    assert!(wait(&mut ui).success());
    let mut link = String::new();
    ui.stdout.take().unwrap().read_to_string(&mut link).unwrap();
    assert!(link.contains("/open/"), "{link}");
    assert!(home.run(&["stop"]).status.success() && wait(&mut web).success());
}

#[test]
fn a_link_that_nobody_heard_is_not_logged() {
    let home = Home::new("");
    let log = home.path().join("all.log");
    let mut command = Windlass::on(home.path());
    command.args(["serve", "--in-background"]).stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    until("it is ready", || (home.info()["phase"] == "ready").then_some(()));
    assert!(home.run(&["stop"]).status.success() && wait(&mut child).success());
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("ready") && !text.contains("/open/"), "{text}");
}

#[test]
fn where_others_may_read_the_output_there_is_no_link_in_it() {
    let home = Home::new("");
    let log = home.path().join("output");
    let journal = {
        use std::os::unix::fs::MetadataExt;
        let kept = fs::File::create(&log).unwrap().metadata().unwrap();
        format!("{}:{}", kept.dev(), kept.ino())
    };
    type Case<'a> = (&'a [&'a str], Option<(&'a str, &'a str)>, bool);
    let cases: [Case; 7] = [
        (&["serve"], None, true),
        (&["--json", "serve"], None, true),
        (&["serve", "--supervised"], None, true),
        (&["--json", "serve", "--supervised"], None, true),
        (&["serve"], Some(("NOTIFY_SOCKET", "/nowhere/at/all")), true),
        (&["serve"], Some(("JOURNAL_STREAM", &journal)), false),
        (&["serve", "--background"], None, false),
    ];
    for (arguments, variable, piped) in cases {
        let mut command = Windlass::on(home.path());
        command.args(arguments).envs(variable).stderr(Stdio::null());
        let output = fs::File::create(&log).unwrap();
        let mut child = command.stdout(if piped { Stdio::piped() } else { output.into() }).spawn().unwrap();
        let mut line = String::new();
        match child.stdout.take() {
            Some(output) => drop(std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line)),
            None => {
                until("it has said something", || {
                    line = fs::read_to_string(&log).unwrap();
                    line.contains('\n').then_some(())
                });
            }
        }
        assert!(line.contains("127.0.0.1:") && !line.contains("/open/"), "{arguments:?} {variable:?}: {line}");
        assert!(home.run(&["stop"]).status.success() && wait(&mut child).success());
    }
}

#[test]
fn silent_clients_do_not_take_the_last_descriptor() {
    let home = Home::new("");
    let mut command = Windlass::under(&["sh", "-c", "ulimit -n 80; exec \"$0\" serve"]);
    let mut child = command.env("WINDLASS_HOME", home.path()).silent().spawn().unwrap();
    let address = until("it is ready", || home.info()["http"].as_str().map(str::to_string));
    let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(&address)).collect();
    let begun = Instant::now();
    let mut client = TcpStream::connect(&address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(format!("GET /health HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    drop(silent);
    assert!(home.run(&["stop"]).status.success() && wait(&mut child).success());
}

#[test]
fn while_nobody_is_known_to_hold_the_lock_nobody_is_signalled() {
    if !needs("python3") {
        return;
    }
    let home = Home::new("");
    let mut stranger = std::process::Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let own = windlass::os::process_stat::identity_of(stranger.id()).unwrap();
    let forged = json!({
        "phase": "ready", "pid": own.pid, "start_time": own.start_time, "boot_id": own.boot_id, "version": "0", "nonce": "x",
        "pid_namespace": own.pid_namespace, "time_namespace": own.time_namespace, "http": "127.0.0.1:1", "since": 0,
    });
    // The process that took the lock has ended; its child still holds it.
    let script = "import fcntl, os, sys, time\nf = open(sys.argv[1], 'w')\nfcntl.flock(f, fcntl.LOCK_EX)\nif os.fork() == 0: time.sleep(1000)\nprint('held', flush=True)\nos._exit(0)";
    let mut taker = std::process::Command::new("python3");
    taker.args(["-c", script]).arg(home.path().join("engine.db.lock")).stdout(Stdio::null());
    assert!(taker.status().unwrap().success());
    fs::write(home.path().join("serve.pid"), forged.to_string()).unwrap();
    let stopped = home.run(&["stop", "--timeout", "200ms"]);
    assert_eq!(stopped.status.code(), Some(1), "{}", said(&stopped));
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger was signalled: {}", said(&stopped));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    let _ = std::process::Command::new("pkill").args(["-f", home.path().to_str().unwrap()]).status();
}

#[test]
fn a_log_that_is_taken_away_begins_anew_and_a_long_one_is_set_aside() {
    let home = Home::new("log.level = \"windlass=debug\"\n");
    let started = home.run(&["serve", "--background"]);
    assert!(started.status.success(), "{}", said(&started));
    let (log, before) = (home.path().join("serve.log"), home.path().join("serve.log.1"));
    let address = home.info()["http"].as_str().unwrap().to_string();
    // Every request is logged; new ones are made until the messages are in the file.
    let is_used = |what: &str| {
        until(what, || {
            let _ = ureq::get(format!("http://{address}/health")).call();
            fs::read_to_string(&log).is_ok_and(|it| it.contains("/health")).then_some(())
        });
    };
    fs::remove_file(&log).unwrap();
    is_used("a deleted log begins anew");
    fs::rename(&log, home.path().join("moved")).unwrap();
    fs::write(&log, "of somebody else\n").unwrap();
    is_used("messages go where the log is looked for");
    assert!(fs::read_to_string(&log).unwrap().starts_with("of somebody else"));
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(9 << 20).unwrap();
    until("the long one is set aside", || before.exists().then_some(()));
    is_used("and a new one begins");
    assert!(fs::metadata(&log).unwrap().len() < 1 << 20);
}

#[test]
fn a_stop_keeps_others_from_starting_before_it_signals() {
    let home = Home::new("");
    let mut web = Web::on(home.path(), &[]);
    signal(&web.child, Signal::STOP);
    // The daemon does not respond, so there is a wait for its answer between the sentinel and the signal.
    let mut stop = Windlass::on(home.path()).arg("stop").stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let is_requested = || {
        let status = fs::read_to_string(format!("/proc/{}/status", web.child.id())).unwrap();
        let pending = status.lines().find_map(|it| it.strip_prefix("ShdPnd:")).unwrap();
        u64::from_str_radix(pending.trim(), 16).unwrap() & (1 << (Signal::TERM.as_raw() - 1)) != 0
    };
    let sentinel = home.path().join("serve.stopping");
    let mut before = false;
    until("it is signalled", || {
        // In this order: what exists before a check that finds no signal existed before the signal.
        let there = sentinel.exists();
        let requested = is_requested();
        before |= there && !requested;
        requested.then_some(())
    });
    assert!(before, "it was signalled before the sentinel was up");
    signal(&web.child, Signal::CONT);
    assert!(wait(&mut web.child).success() && wait(&mut stop).success());
    assert!(!sentinel.exists());
}

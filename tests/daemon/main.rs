//! The daemon: claim, files, background, stop, autostart.

#[path = "../support"]
mod support {
    pub mod binary;
    pub mod needs;
    pub mod web;
}

use support::binary::{Running, Windlass};
use support::needs::needs;
use support::web;

mod edges;
mod unheard;

use serde_json::{Value, json};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};
use web::{PATIENCE, Web, until, wait};
use windlass::os::FileLock;

/// A home. If a test leaves a daemon behind, it is killed.
struct Home(tempfile::TempDir);

impl Home {
    fn new(settings: &str) -> Home {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("windlass.toml"), format!("listen = \"127.0.0.1:0\"\n{settings}")).unwrap();
        Home(home)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Windlass::on(self.path()).args(arguments).output().unwrap()
    }

    fn info(&self) -> Value {
        let text = fs::read_to_string(self.path().join("serve.pid")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn holder(&self) -> Option<u32> {
        windlass::os::process_stat::who_holds_lock(&self.path().join("engine.db.lock"))
    }

    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|it| it.starts_with("serve.")).collect();
        names.sort();
        names
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(pid) = self.holder() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A process unrelated to windlass.
struct Stranger(Running);

impl Stranger {
    fn new() -> Stranger {
        Stranger(Running::of(Command::new("sleep").arg("1000").stdin(Stdio::null())).unwrap())
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

#[test]
fn its_files_tell_of_it_and_are_gone_after_it() {
    let home = Home::new("");
    let mut web = Web::on(home.path(), &[]);
    let info = home.info();
    assert_eq!((&info["phase"], &info["pid"]), (&json!("ready"), &json!(web.child.id())));
    assert_eq!(info["http"], json!(web.address.to_string()));
    let port = fs::read_to_string(home.path().join("serve.port")).unwrap();
    assert_eq!(port.trim(), web.address.to_string());
    for name in ["serve.pid", "serve.port", "serve.token", "engine.db.lock"] {
        let mode = fs::metadata(home.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(web.terminate().code(), Some(0));
    assert_eq!(home.files(), ["serve.token"]);
    assert!(home.path().join("engine.db.lock").exists(), "the lock file is never removed");
}

#[test]
fn a_second_daemon_says_who_runs_and_ends_well_or_with_75() {
    let home = Home::new("");
    let web = Web::on(home.path(), &[]);
    let who = format!("(pid {}, http://{})", web.child.id(), web.address);
    let second = home.run(&["serve"]);
    assert!(second.status.success() && said(&second).contains(&who), "{}", said(&second));
    let background = home.run(&["--json", "serve", "--background"]);
    let startup: Value = serde_json::from_slice(&background.stdout).unwrap();
    assert_eq!((background.status.code(), &startup["pid"]), (Some(0), &json!(web.child.id())));
    assert_eq!(home.run(&["serve", "--supervised"]).status.code(), Some(75));
    // The variable is set, but that no supervisor listens there must not cause a restart loop.
    let notified =
        Windlass::on(home.path()).arg("serve").env("NOTIFY_SOCKET", home.path().join("gone")).output().unwrap();
    assert_eq!(notified.status.code(), Some(75), "{}", said(&notified));
}

#[test]
fn of_twenty_that_start_together_one_serves_and_nineteen_say_so() {
    let home = Home::new("");
    let start = || {
        let mut command = Windlass::on(home.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut all: Vec<Running> = (0..20).map(|_| start()).collect();
    let running = |all: &mut Vec<Running>| {
        all.iter_mut().filter_map(|it| it.try_wait().unwrap().is_none().then(|| it.id())).collect::<Vec<_>>()
    };
    let left = until("nineteen have ended", || Some(running(&mut all)).filter(|it| it.len() <= 1));
    assert_eq!(left.len(), 1);
    assert_eq!((home.info()["phase"].as_str(), home.holder()), (Some("ready"), Some(left[0])));
    for child in all.iter_mut().filter(|it| it.id() != left[0]) {
        let mut text = String::new();
        std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut text).unwrap();
        assert_eq!(wait(child).code(), Some(0), "{text}");
        assert!(text.contains(&format!("already running (pid {}", left[0])), "{text}");
    }
    assert!(home.run(&["stop"]).status.success());
    all.iter_mut().for_each(|it| assert!(wait(it).success()));
}

#[test]
fn a_stale_file_with_a_reused_pid_harms_nobody() {
    let home = Home::new("");
    let mut stranger = Stranger::new();
    let own = windlass::os::process_stat::identity_of(stranger.0.id()).unwrap();
    let stale = |start: Value| {
        let info = json!({
            "phase": "ready", "pid": own.pid, "start_time": start, "boot_id": own.boot_id,
            "pid_namespace": own.pid_namespace, "time_namespace": own.time_namespace, "version": "0", "nonce": "x",
            "http": "127.0.0.1:1", "socket": null, "since": 0,
        });
        fs::write(home.path().join("serve.pid"), info.to_string()).unwrap();
        fs::write(home.path().join("serve.port"), "127.0.0.1:1").unwrap();
    };
    // The start time is another's, unknown, or even right: the lock is free, so no daemon runs.
    for start in [json!(1), Value::Null, json!(own.start_time)] {
        stale(start.clone());
        let stopped = home.run(&["stop"]);
        assert!(stopped.status.success() && said(&stopped).contains("not running"), "{}", said(&stopped));
        assert!(stranger.lives());
        stale(start);
        let mut web = Web::on(home.path(), &[]);
        assert_eq!(home.info()["pid"], json!(web.child.id()));
        assert_eq!(web.terminate().code(), Some(0));
        assert!(stranger.lives());
    }
    // A daemon runs, and the file names the foreign process. Only the holder of the lock is stopped.
    let mut web = Web::on(home.path(), &[]);
    stale(json!(own.start_time));
    assert!(home.run(&["stop"]).status.success());
    assert!(stranger.lives());
    assert_eq!(wait(&mut web.child).code(), Some(0));
}

#[test]
fn whoever_else_holds_the_lock_is_named_and_not_signalled() {
    if !needs("python3") {
        return;
    }
    let home = Home::new("");
    let lock = home.path().join("engine.db.lock");
    let script = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); time.sleep(1000)";
    let mut stranger = Stranger(Running::of(Command::new("python3").args(["-c", script]).arg(&lock)).unwrap());
    until("the lock is held", || home.holder());
    let stopped = home.run(&["stop", "--timeout", "200ms"]);
    assert!(stranger.lives());
    assert_eq!(stopped.status.code(), Some(5), "{}", said(&stopped));
    assert!(said(&stopped).contains(&format!("pid {}", stranger.0.id())), "{}", said(&stopped));
    assert!(!home.path().join("serve.stopping").exists());
}

#[test]
fn garbage_in_its_files_is_no_obstacle() {
    let home = Home::new("");
    for garbage in ["", "{", "null", "\u{0}\u{0}"] {
        for name in ["serve.pid", "serve.port", "serve.stopping"] {
            fs::write(home.path().join(name), garbage).unwrap();
        }
        let mut web = Web::on(home.path(), &[]);
        // Damaged while it runs: the lock still identifies it.
        fs::write(home.path().join("serve.pid"), garbage).unwrap();
        fs::write(home.path().join("serve.port"), garbage).unwrap();
        let stopped = home.run(&["stop"]);
        assert!(stopped.status.success(), "{}", said(&stopped));
        assert_eq!(wait(&mut web.child).code(), Some(0));
        assert_eq!(home.files(), ["serve.token"]);
    }
}

#[test]
fn in_the_background_the_starter_hears_of_success_and_of_failure() {
    let home = Home::new("");
    let started = home.run(&["--json", "serve", "--background"]);
    let startup: Value = serde_json::from_slice(&started.stdout).unwrap_or_else(|_| panic!("{}", said(&started)));
    assert_eq!((&startup["state"], startup["pid"].as_u64()), (&json!("started"), home.holder().map(u64::from)));
    assert!(startup["link"].is_null(), "{startup}");
    let log = std::fs::read_to_string(home.path().join("serve.log")).unwrap();
    assert!(log.contains("ready") && log.contains(startup["http"].as_str().unwrap()), "{log}");

    let taken = Home::new("");
    let address = startup["http"].as_str().unwrap();
    let failed = taken.run(&["serve", "--background", "--listen", address]);
    assert_eq!(failed.status.code(), Some(5), "{}", said(&failed));
    assert!(said(&failed).contains("failed to listen on") && said(&failed).contains("--listen"), "{}", said(&failed));
    assert_eq!((taken.holder(), taken.files()), (None, vec!["serve.log".to_string()]));

    let stopped = home.run(&["stop"]);
    assert!(stopped.status.success() && said(&stopped).contains("has stopped"), "{}", said(&stopped));
    assert_eq!((home.holder(), home.files()), (None, vec!["serve.log".to_string(), "serve.token".to_string()]));
    let again = home.run(&["stop"]);
    assert!(again.status.success() && said(&again).contains("not running"), "{}", said(&again));
}

#[test]
fn a_log_in_json_has_nothing_else_between_its_lines() {
    let home = Home::new("");
    let log = home.path().join("all.log");
    let mut command = Windlass::on(home.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("WINDLASS_LOG_FORMAT", "json").stdout(Stdio::null());
    let mut child = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let lines = || std::fs::read_to_string(&log).unwrap();
    until("it is ready", || lines().contains("open it with").then_some(()));
    assert!(home.run(&["stop"]).status.success() && wait(&mut child).success());
    for line in lines().lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|it| it.is_object()), "{line}");
    }
}

#[test]
fn a_slow_start_is_never_silent() {
    let home = Home::new("");
    assert!(home.run(&["status"]).status.success(), "makes the database");
    let room = FileLock::try_exclusive(&home.path().join("engine.write.lock")).unwrap().unwrap();
    let mut child = Windlass::on(home.path()).args(["serve", "--background"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("opening the database ("), "{line}");
    assert_eq!(home.info()["phase"], json!("starting"));
    assert!(home.info()["progress"].as_str().unwrap().contains("opening the database"));
    drop(room);
    assert_eq!(wait(&mut child).code(), Some(0));
    assert!(home.run(&["stop"]).status.success());
}

#[test]
fn a_daemon_that_is_stopped_in_its_tracks_is_killed_after_the_grace() {
    let home = Home::new("");
    let mut web = Web::on(home.path(), &[]);
    let pid = rustix::process::Pid::from_child(&web.child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let stopped = home.run(&["stop", "--timeout", "200ms"]);
    assert!(stopped.status.success() && said(&stopped).contains("was killed"), "{}", said(&stopped));
    assert!(!home.path().join("serve.stopping").exists());
    assert_eq!(wait(&mut web.child).code(), None);
    // Its leftovers block nothing.
    let mut next = Web::on(home.path(), &[]);
    assert_eq!(next.terminate().code(), Some(0));
}

const SLEEPER: &str = "id: sleeper\nsteps: [{ name: nap, run: 'sleep 1000' }]\n";

fn submit(home: &Home, workflow: &str, arguments: &[&str]) -> Output {
    let file = home.path().join("flow.yaml");
    fs::write(&file, workflow).unwrap();
    Windlass::on(home.path()).arg("submit").arg(file).args(arguments).output().unwrap()
}

/// The pid of the `sleep` below this daemon, once it runs.
fn sleeper_of(daemon: u32) -> u32 {
    until("the step runs", || {
        let below = windlass::os::process_stat::descendants(daemon);
        below.into_iter().find(|it| fs::read_to_string(format!("/proc/{it}/comm")).is_ok_and(|it| it.trim() == "sleep"))
    })
}

fn is_gone(pid: u32) -> bool {
    windlass::os::process_stat::identity_of(pid).is_none()
}

#[test]
fn the_first_signal_drains_and_the_second_one_ends_it_at_once() {
    let home = Home::new("stop_timeout = \"10m\"\n");
    let mut web = Web::on(home.path(), &[]);
    assert!(submit(&home, SLEEPER, &[]).status.success());
    let sleeper = sleeper_of(web.child.id());
    let pid = rustix::process::Pid::from_child(&web.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    until("it says that it is stopping", || (home.info()["phase"] == "stopping").then_some(()));
    let health = web.send("GET", "/health", &[], &[]);
    assert_eq!((health.status, &health.json()["reasons"]), (503, &json!(["stopping"])));
    assert_eq!(web.post_json("/api/v1/session", &json!({})).status, 503, "nothing new is taken in");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(wait(&mut web.child).code(), Some(143));
    until("the step's process is gone", || is_gone(sleeper).then_some(()));
}

#[test]
fn a_stop_gives_back_what_does_not_finish_in_time() {
    let home = Home::new("stop_timeout = \"300ms\"\n");
    let mut web = Web::on(home.path(), &[]);
    assert!(submit(&home, SLEEPER, &[]).status.success());
    let sleeper = sleeper_of(web.child.id());
    assert!(home.run(&["stop"]).status.success());
    assert_eq!(wait(&mut web.child).code(), Some(0));
    assert!(is_gone(sleeper));
    let status = home.run(&["--json", "list", "steps"]);
    assert!(said(&status).contains("PENDING"), "{}", said(&status));
}

#[test]
fn a_stop_lets_steps_finish_and_runs_the_hooks_that_become_due_by_that() {
    let home = Home::new("");
    let mut web = Web::on(home.path(), &[]);
    let (go, ran) = (home.path().join("go"), home.path().join("told"));
    let workflow = format!(
        "id: ends\nsteps: [{{ name: wait, run: 'until [ -e {} ]; do sleep 0.02; done' }}]\n\
         hooks: {{ group_end: [{{ name: tell, run: 'touch {}' }}] }}\n",
        go.display(),
        ran.display()
    );
    let submitted = submit(&home, &workflow, &[]);
    assert!(submitted.status.success(), "{}", said(&submitted));
    sleeper_of(web.child.id());
    let mut stop = Windlass::on(home.path()).arg("stop").stderr(Stdio::null()).spawn().unwrap();
    until("it says that it is stopping", || (home.info()["phase"] == "stopping").then_some(()));
    fs::write(&go, "").unwrap();
    assert!(wait(&mut stop).success());
    assert_eq!(wait(&mut web.child).code(), Some(0));
    assert!(ran.exists(), "the hook has not run");
}

#[test]
fn nothing_starts_it_by_itself_unless_the_setting_says_so() {
    let plain = Home::new("");
    assert!(submit(&plain, SLEEPER, &[]).status.success());
    let ui = plain.run(&["ui", "--print"]);
    assert_eq!((ui.status.code(), plain.holder()), (Some(1), None));
    assert!(said(&ui).contains("serve --background"), "{}", said(&ui));

    let home = Home::new("autostart = true\nstop_timeout = \"100ms\"\n");
    let submitted = submit(&home, SLEEPER, &["--no-autostart"]);
    assert!(submitted.status.success() && home.holder().is_none());
    let submitted = submit(&home, SLEEPER, &[]);
    assert!(said(&submitted).contains("started windlass in the background"), "{}", said(&submitted));
    let pid = home.holder().unwrap();
    let ui = home.run(&["ui", "--print"]);
    assert!(ui.status.success() && said(&ui).contains("/open/"), "{}", said(&ui));
    assert_eq!(home.holder(), Some(pid));
    assert!(home.run(&["stop"]).status.success());
    assert_eq!(home.holder(), None);
}

#[test]
fn while_a_stop_is_under_way_nothing_starts_by_itself() {
    let home = Home::new("autostart = true\nstop_timeout = \"100ms\"\n");
    let sentinel = home.path().join("serve.stopping");
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    fs::write(&sentinel, (now() + 25_000).to_string()).unwrap();
    let submitted = submit(&home, SLEEPER, &[]);
    assert!(submitted.status.success() && said(&submitted).contains("just stopped"), "{}", said(&submitted));
    assert_eq!(home.run(&["ui", "--print"]).status.code(), Some(1));
    // Also for one that asked before the stop began.
    let late = home.run(&["serve", "--by-itself"]);
    assert_eq!((late.status.code(), home.holder()), (Some(1), None));
    // An explicit request by a person succeeds; a stale or future entry counts as absent.
    let mut web = Web::on(home.path(), &[]);
    assert_eq!(web.terminate().code(), Some(0));
    for expiry in [now() - 1, now() + 3_600_000] {
        fs::write(&sentinel, expiry.to_string()).unwrap();
        let ui = home.run(&["ui", "--print"]);
        assert!(ui.status.success(), "{}", said(&ui));
        assert!(home.run(&["stop"]).status.success() && !sentinel.exists());
    }
}

#[test]
fn a_supervisor_is_told() {
    let home = Home::new("stop_timeout = \"2s\"\n");
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let start = || {
        let mut command = Windlass::on(home.path());
        command.arg("serve").env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").stdout(Stdio::null());
        command.stderr(Stdio::null()).spawn().unwrap()
    };
    let mut child = start();
    let mut buffer = [0; 500];
    let mut hear = |what: &str| {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let length = socket.recv(&mut buffer).unwrap();
            if String::from_utf8_lossy(&buffer[..length]).contains(what) {
                return;
            }
        }
        panic!("never heard {what}");
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    let mut second = start();
    assert_eq!(wait(&mut second).code(), Some(75));
    assert!(submit(&home, SLEEPER, &["--items", "a"]).status.success());
    sleeper_of(child.id());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    hear("STOPPING=1");
    // Systemd would kill a service that stops for a long time without a message.
    hear("STATUS=waiting for a step to end\nEXTEND_TIMEOUT_USEC=");
    hear("WATCHDOG=1");
    assert_eq!(wait(&mut child).code(), Some(0));
}

#[test]
fn a_daemon_whose_files_are_taken_away_says_so_and_ends() {
    for (lost, says) in [
        ("engine.db", "replaced or removed"),
        ("engine.db-wal", "replaced or removed"),
        ("engine.db.lock", "lock file"),
    ] {
        let home = Home::new("");
        let started = home.run(&["serve", "--background"]);
        assert!(started.status.success(), "{}", said(&started));
        let pid = home.holder().unwrap();
        fs::remove_file(home.path().join(lost)).unwrap();
        until("it ends", || is_gone(pid).then_some(()));
        let log = fs::read_to_string(home.path().join("serve.log")).unwrap();
        assert!(log.contains(says), "{lost}: {log}");
    }
}

#[test]
fn an_idle_stop_takes_no_time() {
    let home = Home::new("");
    let mut web = Web::on(home.path(), &[]);
    let begun = Instant::now();
    assert_eq!(web.terminate().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

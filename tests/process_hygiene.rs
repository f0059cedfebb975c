//! Commands as the engine runs them: with the real binary as their shim, and with real signals.

mod support {
    pub mod binary;
}

use support::binary::{Windlass, this_program, use_for_children};
mod escapes;

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    os::fd::AsFd,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use windlass::{
    decide::outcome::StartError,
    model::{Bytes, ExitStatus, KillIntent, Millis, Outcome, ResourceLimit},
    os::{CancelToken, FileLock, LockState, process_stat},
    process::{self, ChildEnd, ChildSpec, Stdin},
};

struct House {
    dir: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        use_for_children();
        House { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, argv: &[&str]) -> ChildSpec {
        let argv = argv.iter().map(OsString::from).collect();
        ChildSpec { grace: Millis::seconds(20), ..ChildSpec::new(argv, self.dir.path().to_path_buf()) }
    }

    fn shell(&self, script: &str) -> ChildSpec {
        self.command(&["sh", "-c", script])
    }

    /// The pid that a script wrote into a file here.
    fn pid_in(&self, name: &str) -> u32 {
        let mut pid = None;
        wait_until(&format!("a pid in {name}"), || {
            pid = fs::read_to_string(self.path(name)).ok().filter(|it| it.ends_with('\n'));
            pid.is_some()
        });
        pid.unwrap().trim().parse().unwrap()
    }
}

fn run(spec: &ChildSpec) -> ChildEnd {
    process::run(spec, &CancelToken::new())
}

/// Runs a command, and ends it as soon as `ready` holds.
fn run_until(spec: &ChildSpec, intent: KillIntent, ready: impl Fn() -> bool) -> ChildEnd {
    let token = CancelToken::new();
    thread::scope(|scope| {
        let running = scope.spawn(|| process::run(spec, &token));
        wait_until("the command is ready to be ended", || ready() || running.is_finished());
        token.cancel(intent);
        running.join().unwrap()
    })
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        thread::yield_now();
    }
}

fn is_gone(pid: u32) -> bool {
    process_stat::identity_of(pid).is_none()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_command_gets_its_input_directory_and_environment_and_nothing_else() {
    let house = House::new();
    let mut spec = house.shell("cat; pwd; env | sort | grep -v -e ^PWD -e ^_ -e ^SHLVL -e ^OLDPWD; echo oops >&2");
    spec.stdin = Stdin::Bytes(b"from stdin\n".to_vec());
    spec.env.push(("ITEM".into(), "a b".into()));
    let end = run(&spec);
    let dir = house.dir.path().canonicalize().unwrap();
    let expected = format!("from stdin\n{}\nITEM=a b\nPATH=/usr/local/bin:/usr/bin:/bin\n", dir.display());
    assert_eq!(text(&end.stdout.newest), expected);
    assert_eq!(text(&end.stderr.newest), "oops\n");
    assert_eq!((end.exit, end.intent, &end.start_error), (Some(ExitStatus::Code(0)), None, &None));
    assert_eq!(process::outcome(&end, &[]), Outcome::Succeeded);
    assert!(end.peak_rss.is_some() && end.cpu.is_some(), "{end:?}");
}

#[test]
fn a_large_input_is_read_whole_and_an_unread_one_harms_nobody() {
    let house = House::new();
    let input = vec![b'x'; 3 << 20];
    let mut spec = house.shell("wc -c");
    spec.stdin = Stdin::Bytes(input.clone());
    assert_eq!(text(&run(&spec).stdout.newest).trim(), "3145728");
    let mut deaf = house.command(&["true"]);
    deaf.stdin = Stdin::Bytes(input);
    assert_eq!(run(&deaf).exit, Some(ExitStatus::Code(0)));
}

#[test]
fn exit_codes_and_signals_arrive_exactly() {
    let house = House::new();
    for code in [0, 1, 75, 126, 127, 255] {
        assert_eq!(run(&house.shell(&format!("exit {code}"))).exit, Some(ExitStatus::Code(code)));
    }
    for signal in [1, 2, 6, 9, 11, 15] {
        let end = run(&house.shell(&format!("kill -{signal} $$")));
        assert_eq!(end.exit, Some(ExitStatus::Signal(signal)));
        let outcome = process::outcome(&end, &[]);
        assert!(matches!(outcome, Outcome::Crashed { signal: Some(it), .. } if it == signal), "{outcome:?}");
    }
}

#[test]
fn a_command_that_can_not_be_started_is_named() {
    let house = House::new();
    fs::write(house.path("data"), "no program").unwrap();
    for (argv, what) in [("no-such-command-here", "was not found"), ("./data", "is not executable")] {
        let end = run(&house.command(&[argv]));
        let Some(StartError::NotStartable(why)) = &end.start_error else { panic!("{end:?}") };
        assert!(why.contains(argv) && why.contains(what), "{why}");
        assert_eq!(end.exit, None);
        assert!(matches!(process::outcome(&end, &[]), Outcome::Failed { retryable: false, .. }));
    }
    let mut elsewhere = house.command(&["true"]);
    elsewhere.dir = house.path("missing");
    assert!(matches!(run(&elsewhere).start_error, Some(StartError::NotStartable(why)) if why.contains("missing")));
    assert!(run(&house.command(&[])).start_error.is_some());
}

#[test]
fn much_output_never_blocks_and_the_newest_is_kept() {
    let house = House::new();
    let end = run(&house.shell("head -c 300000 /dev/zero >&2; head -c 3000000 /dev/zero; echo last"));
    assert_eq!((end.stderr.total, end.stdout.total), (300_000, 3_000_005));
    assert_eq!(end.stderr.newest.len(), 300_000);
    assert_eq!(end.stdout.newest.len(), 1 << 20);
    assert!(end.stdout.newest.ends_with(b"last\n"));
}

#[test]
fn stdout_can_go_straight_into_a_file() {
    let house = House::new();
    let mut spec = house.shell("echo data; echo note >&2");
    spec.stdout_file = Some(fs::File::create(house.path("out")).unwrap());
    let end = run(&spec);
    assert_eq!(fs::read_to_string(house.path("out")).unwrap(), "data\n");
    assert_eq!((end.stdout.total, text(&end.stderr.newest)), (0, "note\n"));
}

#[test]
fn nothing_is_started_for_a_request_that_was_cancelled_before() {
    let house = House::new();
    let token = CancelToken::new();
    token.cancel(KillIntent::Cancel);
    let end = process::run(&house.shell("touch started"), &token);
    assert_eq!(process::outcome(&end, &[]), Outcome::Cancelled);
    assert!(!house.path("started").exists());
}

#[test]
fn a_cancelled_command_that_exits_with_zero_is_cancelled() {
    let house = House::new();
    let spec = house.shell("trap 'echo bye; exit 0' TERM; touch ready; while :; do sleep 0.01; done");
    let end = run_until(&spec, KillIntent::Cancel, || house.path("ready").exists());
    assert_eq!((end.exit, end.intent), (Some(ExitStatus::Code(0)), Some(KillIntent::Cancel)));
    assert_eq!(text(&end.stdout.newest), "bye\n");
    assert_eq!(process::outcome(&end, &[]), Outcome::Cancelled);
}

#[test]
fn a_command_that_ignores_term_is_killed_after_the_grace() {
    let house = House::new();
    let mut spec = house.shell("trap '' TERM; touch ready; while :; do sleep 0.01; done");
    spec.grace = Millis(100);
    let end = run_until(&spec, KillIntent::Shutdown, || house.path("ready").exists());
    assert_eq!(end.exit, Some(ExitStatus::Signal(9)));
    assert!(matches!(process::outcome(&end, &[]), Outcome::Interrupted { .. }));
    assert!(end.wall < Millis::seconds(15), "{}", end.wall);
}

#[test]
fn a_command_past_its_time_is_ended() {
    let house = House::new();
    let mut spec = house.command(&["sleep", "1000"]);
    spec.limits.wall = Some(Millis(50));
    let end = run(&spec);
    assert_eq!(process::outcome(&end, &[]), Outcome::TimedOut { after: Millis(50) });
    assert_eq!(end.exit, Some(ExitStatus::Signal(15)));
}

#[test]
fn a_stopped_command_can_still_be_ended() {
    let house = House::new();
    let mut spec = house.shell("kill -STOP $$; sleep 1000");
    spec.limits.wall = Some(Millis(100));
    assert_eq!(run(&spec).exit, Some(ExitStatus::Signal(15)));
}

#[test]
fn limits_on_memory_cpu_time_and_output_are_named() {
    let house = House::new();
    let limit_of = |spec: &ChildSpec| match process::outcome(&run(spec), &[]) {
        Outcome::ResourceLimit { limit, .. } => limit,
        other => panic!("{other:?}"),
    };
    // `tail` keeps its input, which has no line ends, in memory; a grandchild counts too.
    let mut memory = house.shell("head -c 400000000 /dev/zero | tail; sleep 1000");
    memory.limits.memory = Some(Bytes::mib(64));
    assert_eq!(limit_of(&memory), ResourceLimit::Memory);
    let mut cpu = house.shell("(while :; do :; done)");
    cpu.limits.cpu = Some(Millis(300));
    assert_eq!(limit_of(&cpu), ResourceLimit::CpuTime);
    let mut output = house.shell("yes; sleep 1000");
    output.limits.output = Some(Bytes(100_000));
    assert_eq!(limit_of(&output), ResourceLimit::OutputSize);
    output.stdout_file = Some(fs::File::create(house.path("out")).unwrap());
    assert_eq!(limit_of(&output), ResourceLimit::OutputSize);
}

#[test]
fn a_command_gets_at_most_10240_descriptors_or_what_its_limit_says() {
    let house = House::new();
    let limit = |spec: &ChildSpec| text(&run(spec).stdout.newest).trim().parse::<u64>().unwrap();
    let mut spec = house.shell("ulimit -n");
    assert!(limit(&spec) <= 10_240);
    spec.limits.open_files = Some(64);
    assert_eq!(limit(&spec), 64);
}

#[test]
fn a_command_inherits_what_it_is_given_and_nothing_else() {
    let house = House::new();
    let (mut read, write) = std::io::pipe().unwrap();
    let mut spec = house.shell("echo through 3 >&3; ls /proc/self/fd");
    spec.passed_fds = vec![write.into()];
    let end = run(&spec);
    drop(spec);
    let mut sent = String::new();
    std::io::Read::read_to_string(&mut read, &mut sent).unwrap();
    assert_eq!(sent, "through 3\n");
    assert_eq!(text(&end.stdout.newest), "0\n1\n2\n3\n4\n"); // 4 is the folder that `ls` reads
}

#[test]
fn a_lock_that_a_command_inherits_lasts_until_its_tree_is_gone() {
    let house = House::new();
    let lock = FileLock::try_exclusive(&house.path("key")).unwrap().unwrap();
    let mut spec = house.shell("touch ready; while [ ! -e go ]; do sleep 0.01; done");
    spec.kept_fds = vec![lock.lend().as_fd().try_clone_to_owned().unwrap()];
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            let spec = spec; // its copy of the descriptor goes when the run is over
            run(&spec)
        });
        wait_until("the command runs", || house.path("ready").exists());
        drop(lock);
        assert_eq!(FileLock::probe(&house.path("key")).unwrap(), LockState::Held);
        fs::write(house.path("go"), "").unwrap();
        assert_eq!(running.join().unwrap().exit, Some(ExitStatus::Code(0)));
    });
    assert_eq!(FileLock::probe(&house.path("key")).unwrap(), LockState::Free);
}

/// A grandchild in its own session, whose parent is gone and which ignores TERM.
const ESCAPED: &str =
    r#"setsid sh -c 'trap "" TERM; sh -c "echo \$\$ > escaped; while :; do sleep 0.01; done" & exit' &"#;

#[test]
fn what_a_command_leaves_behind_is_ended_with_it() {
    let house = House::new();
    let quiet = "setsid sh -c 'echo $$ > left; exec sleep 1000' >/dev/null 2>&1 & while [ ! -s left ]; do :; done";
    let mut spec = house.shell(quiet);
    let end = run(&spec);
    assert_eq!((end.exit, end.intent), (Some(ExitStatus::Code(0)), None));
    assert!(is_gone(house.pid_in("left")));
    spec = house.shell(
        "setsid sh -c 'echo $$ > stubborn; trap \"\" TERM; while :; do sleep 0.01; done' & \
        while [ ! -s stubborn ]; do :; done",
    );
    (spec.grace, spec.drain) = (Millis(50), Millis(50));
    assert_eq!(run(&spec).exit, Some(ExitStatus::Code(0)));
    assert!(is_gone(house.pid_in("stubborn")));
}

#[test]
fn output_of_a_grandchild_that_outlives_the_command_is_kept_and_the_wait_is_bounded() {
    let house = House::new();
    let mut late = house.shell("(while [ -d /proc/$$ ]; do sleep 0.01; done; sleep 0.05; echo late) & echo early");
    late.drain = Millis::seconds(20);
    let late = run(&late);
    assert_eq!(text(&late.stdout.newest), "early\nlate\n");
    let mut spec = house.shell("sleep 1000 & echo final");
    spec.drain = Millis(100);
    let end = run(&spec);
    assert_eq!((text(&end.stdout.newest), end.exit), ("final\n", Some(ExitStatus::Code(0))));
    assert!(end.wall < Millis::seconds(15), "{}", end.wall);
}

#[test]
fn a_tree_of_fifty_is_cancelled_as_a_whole() {
    let house = House::new();
    let script = "i=0; while [ $i -lt 50 ]; do setsid sh -c 'echo $$ >> pids; sleep 1000' & i=$((i+1)); done; wait";
    let pids = || fs::read_to_string(house.path("pids")).unwrap_or_default();
    let end = run_until(&house.shell(script), KillIntent::Cancel, || pids().lines().count() == 50);
    assert_eq!(end.intent, Some(KillIntent::Cancel));
    assert!(pids().lines().all(|it| is_gone(it.parse().unwrap())));
}

#[test]
fn the_spawning_thread_may_end() {
    let house = House::new();
    let spec = house.shell("while [ ! -e go ]; do sleep 0.01; done; echo survived");
    let handle = thread::scope(|scope| scope.spawn(|| launch(&spec)).join().unwrap());
    fs::write(house.path("go"), "").unwrap();
    let mut handle = handle;
    let mut exit = None;
    while !handle.is_gone() {
        handle.hear();
        while let Some(news) = handle.next_event() {
            if let windlass::process::wire::ShimEvent::Exited(it) = news {
                exit = Some(it);
            }
        }
    }
    assert_eq!(exit, Some(ExitStatus::Code(0)));
}

fn launch(spec: &ChildSpec) -> windlass::process::handle::ShimHandle {
    let nothing = fs::File::open("/dev/null").unwrap();
    windlass::process::handle::ShimHandle::start(windlass::process::handle::Launch {
        argv: &spec.argv,
        dir: &spec.dir,
        env: &spec.env,
        stdin: nothing.as_fd(),
        stdout: Stdio::null(),
        stderr: Stdio::null(),
        config: Default::default(),
        passed: &[],
        kept: &[],
    })
    .unwrap()
}

#[test]
fn a_killed_shim_takes_its_child_along() {
    let house = House::new();
    let spec = house.shell("echo $PPID > shim; echo $$ > child; exec sleep 1000");
    let end = thread::scope(|scope| {
        let running = scope.spawn(|| run(&spec));
        let (shim, child) = (house.pid_in("shim"), house.pid_in("child"));
        Command::new("kill").args(["-9", &shim.to_string()]).status().unwrap();
        wait_until("the child is gone", || is_gone(child));
        running.join().unwrap()
    });
    assert_eq!((end.exit, end.intent), (None, None));
    assert!(matches!(process::outcome(&end, &[]), Outcome::Crashed { signal: None, .. }));
}

/// Not a test on its own: the engine that other tests kill. Runs the script in its environment.
#[test]
#[ignore = "the part of an engine, played for other tests"]
fn the_part_of_an_engine() {
    let Some(script) = std::env::var_os("PART_SCRIPT") else { return };
    use_for_children();
    let spec = ChildSpec::new(vec!["sh".into(), "-c".into(), script], std::env::current_dir().unwrap());
    println!("\n{:?}", run(&spec).exit);
}

fn engine(house: &House, script: &str) -> Windlass {
    let mut command = Windlass::role("the_part_of_an_engine");
    command.env("PART_SCRIPT", script).current_dir(house.dir.path());
    command
}

#[test]
fn nothing_is_left_when_the_engine_is_killed() {
    let house = House::new();
    let script = format!("echo $$ > child; trap '' TERM; sleep 1000 & {ESCAPED} sleep 1000");
    let mut engine = engine(&house, &script).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pids = [house.pid_in("child"), house.pid_in("escaped")];
    assert!(pids.iter().all(|it| !is_gone(*it)));
    let tree = process_stat::descendants(engine.id());
    assert!(tree.len() >= 4, "{tree:?}"); // the shim, the shell, its sleep, the escaped one
    engine.kill().unwrap();
    let killed = Instant::now();
    wait_until("the whole tree is gone", || tree.iter().chain(&pids).all(|it| is_gone(*it)));
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
}

#[test]
fn an_engine_without_standard_descriptors_runs_commands() {
    let house = House::new();
    let exe = this_program();
    let line = format!("exec '{}' --exact the_part_of_an_engine --ignored 0<&- 1>&- 2>&-", exe.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(house.dir.path());
    shell.env("PART_SCRIPT", "cat; echo out; echo err >&2; ls /proc/self/fd > fds");
    shell.status().unwrap();
    assert_eq!(fs::read_to_string(house.path("fds")).unwrap(), "0\n1\n2\n3\n");
}

#[test]
fn a_stop_sent_to_everybody_is_left_to_the_engine() {
    let house = House::new();
    let script =
        "trap 'echo got TERM >&2; exit 3' TERM; echo $PPID > shim; echo $$ > child; while :; do sleep 0.01; done";
    let mut engine = engine(&house, script).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (shim, child) = (house.pid_in("shim"), house.pid_in("child"));
    for pid in [shim, child] {
        Command::new("kill").args(["-15", &pid.to_string()]).status().unwrap();
    }
    let printed: Vec<String> = BufReader::new(engine.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    assert!(printed.iter().any(|it| it == "Some(Code(3))"), "{printed:?}");
}

#[test]
fn a_certificate_holds_the_last_lines() {
    let house = House::new();
    let end = run(&house.shell("seq 1 5000 >&2; printf 'bad \\377 byte\\n' >&2; exit 9"));
    let certificate = process::attempt_stats(&end);
    assert_eq!(certificate.exit, Some(ExitStatus::Code(9)));
    assert!(certificate.last_lines.len() <= 4096 && certificate.last_lines.ends_with("bad \u{fffd} byte\n"));
    assert!(certificate.last_lines.lines().nth(5).unwrap().parse::<u32>().unwrap() > 4000);
    assert_eq!(process::outcome(&end, &[]).to_string(), "exit code 9: bad \u{fffd} byte");
    assert_eq!(process::outcome(&end, &[9]), Outcome::permanent("exit", "exit code 9: bad \u{fffd} byte"));
}

//! Commands that escape their shim, that attack it, or that leave processes behind.

use super::{House, is_gone, run, run_until, text, wait_until};
use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    thread,
};
use windlass::{
    model::{Bytes, ExitStatus, KillIntent, Millis, Outcome},
    process::{self, ChildEnd},
};

/// Leaves one process in its own session that ignores TERM, and one below it in yet another session.
const LEFT: &str = "setsid sh -c 'trap \"\" TERM; setsid sh -c \"echo \\$\\$ > deeper; while :; do sleep 0.01; done\" & \
    while [ ! -s deeper ]; do :; done; echo $$ > left; while :; do sleep 0.01; done' >/dev/null 2>&1 & \
    while [ ! -s left ]; do :; done; ";

fn crashed(end: &ChildEnd) -> bool {
    matches!(process::outcome(end, &[]), Outcome::Crashed { signal: None, .. })
}

/// A child that belongs to no command, killed at the end of a test in any case.
struct Bystander(std::process::Child);

impl Bystander {
    fn start(command: &mut Command) -> Bystander {
        Bystander(command.arg("1000").stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_command_that_kills_its_shim_leaves_nothing_behind_and_harms_nobody_else() {
    process::adopt_orphans();
    let house = House::new();
    let mut daemon = Command::new("sleep");
    // SAFETY: one system call that allocates nothing.
    unsafe { daemon.pre_exec(|| rustix::process::setsid().map(|_| ()).map_err(Into::into)) };
    let daemon = Bystander::start(&mut daemon);
    let neighbour = House::new();
    let waiting = neighbour.shell("while [ ! -e go ]; do sleep 0.01; done; echo unharmed");
    let (end, other) = thread::scope(|scope| {
        let neighbours = scope.spawn(|| run(&waiting));
        let child = Bystander::start(&mut Command::new("sleep"));
        let end = run(&house.shell(&format!("{LEFT} kill -9 $PPID; sleep 1000")));
        let unharmed = [child.0.id(), daemon.0.id()].map(|it| !is_gone(it));
        fs::write(neighbour.path("go"), "").unwrap();
        let other = neighbours.join().unwrap();
        assert_eq!(unharmed, [true, true], "a bystander was ended");
        (end, other)
    });
    assert!(is_gone(house.pid_in("left")) && is_gone(house.pid_in("deeper")));
    assert!(crashed(&end), "{end:?}");
    assert!(end.remarks.iter().any(|it| it.contains("its remaining processes were ended")), "{:?}", end.remarks);
    assert_eq!((text(&other.stdout.newest), other.exit), ("unharmed\n", Some(ExitStatus::Code(0))));
}

#[test]
fn what_stays_in_the_session_of_a_killed_shim_is_ended_without_adoption_as_well() {
    let house = House::new();
    let end = run(&house.shell("sleep 1000 & echo $! > left; kill -9 $PPID; sleep 1000"));
    assert!(is_gone(house.pid_in("left")));
    assert!(crashed(&end), "{end:?}");
}

#[test]
fn a_command_that_stops_its_shim_does_not_escape_its_limits() {
    process::adopt_orphans();
    let house = House::new();
    let mut spec = house.shell(&format!("{LEFT} kill -STOP $PPID; head -c 400000000 /dev/zero | tail; sleep 1000"));
    spec.limits.memory = Some(Bytes::mib(64));
    let end = run(&spec);
    assert!(matches!(process::outcome(&end, &[]), Outcome::Crashed { .. } | Outcome::ResourceLimit { .. }), "{end:?}");
    assert!(is_gone(house.pid_in("left")) && is_gone(house.pid_in("deeper")));
}

#[test]
fn a_command_that_stops_its_shim_can_still_be_cancelled() {
    process::adopt_orphans();
    let house = House::new();
    let mut spec = house.shell(&format!("{LEFT} kill -STOP $PPID; touch ready; sleep 1000"));
    // Longer than the test may take. A stopped shim does not get this grace period.
    spec.grace = Millis::minutes(10);
    let end = run_until(&spec, KillIntent::Cancel, || house.path("ready").exists());
    assert_eq!(process::outcome(&end, &[]), Outcome::Cancelled);
    assert!(is_gone(house.pid_in("left")) && is_gone(house.pid_in("deeper")));
}

#[cfg(target_os = "linux")]
#[test]
fn the_environment_of_a_command_is_not_that_of_its_shim() {
    let house = House::new();
    let mut spec = house.shell("echo $PPID > shim; tr '\\0' '\\n' < /proc/$PPID/environ; echo \"mine: $MINE\"");
    let traces = house.path("loaded");
    spec.env.push(("MINE".into(), "yes".into()));
    // With these variables, the dynamic linker of every process writes a file with its pid.
    spec.env.push(("LD_DEBUG".into(), "files".into()));
    spec.env.push(("LD_DEBUG_OUTPUT".into(), traces.clone().into()));
    let end = run(&spec);
    assert_eq!(text(&end.stdout.newest), "mine: yes\n", "{end:?}");
    let shim = house.pid_in("shim");
    assert!(!house.path(&format!("loaded.{shim}")).exists(), "the linker of the shim heard the command's variables");
}

#[test]
fn a_background_process_that_holds_the_output_costs_the_command_no_time() {
    let house = House::new();
    for stubborn in ["", "trap '' TERM; "] {
        let script = format!(
            "sh -c '{stubborn}echo $$ > left; while :; do sleep 0.01; done' & \
            while [ ! -s left ]; do :; done; echo hi"
        );
        let end = run(&house.shell(&script));
        assert_eq!((text(&end.stdout.newest), end.exit), ("hi\n", Some(ExitStatus::Code(0))));
        assert!(end.wall < Millis::seconds(15), "{}", end.wall);
        assert!(is_gone(house.pid_in("left")));
        fs::remove_file(house.path("left")).unwrap();
    }
}

#[test]
fn a_process_that_may_stay_goes_on_and_may_go_on_printing() {
    let house = House::new();
    let mut spec = house.shell(
        "sh -c 'echo $$ > left; n=0; while :; do n=$((n+1)); echo noise $n; echo noise >&2; echo $n > count; sleep 0.01; done' & \
        while [ ! -s count ]; do :; done; echo hi",
    );
    spec.background = true;
    let end = run(&spec);
    assert_eq!((end.exit, end.intent), (Some(ExitStatus::Code(0)), None));
    assert!(text(&end.stdout.newest).contains("hi\n"), "{end:?}");
    assert!(end.wall < Millis::seconds(15), "{}", end.wall);
    let left = house.pid_in("left");
    let count =
        || fs::read_to_string(house.path("count")).ok().and_then(|it| it.trim().parse::<u64>().ok()).unwrap_or(0);
    let before = count();
    wait_until("it goes on", || count() > before + 20);
    assert!(!is_gone(left));
    Command::new("kill").args(["-9", &left.to_string()]).status().unwrap();
    wait_until("it is gone", || is_gone(left));
}

#[test]
fn a_command_that_fails_leaves_nothing_behind_whatever_may_stay() {
    let house = House::new();
    let mut spec = house.shell("sh -c 'echo $$ > left; exec sleep 1000' & while [ ! -s left ]; do :; done; exit 3");
    spec.background = true;
    assert_eq!(run(&spec).exit, Some(ExitStatus::Code(3)));
    assert!(is_gone(house.pid_in("left")));
    spec = house.shell("sh -c 'exec sleep 1000' & echo $! > left; touch ready; sleep 1000");
    spec.background = true;
    let end = run_until(&spec, KillIntent::Shutdown, || house.path("ready").exists());
    assert!(matches!(process::outcome(&end, &[]), Outcome::Interrupted { .. }));
    wait_until("it is gone", || is_gone(house.pid_in("left")));
}

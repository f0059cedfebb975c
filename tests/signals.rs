//! Signals to an engine: the effects of the first and the second one, and how Ctrl-Z waits for a write.

mod support {
    pub mod binary;
}

use std::{
    fs,
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use support::binary::{Running, Windlass};
use windlass::os::{Signals, hold_suspend, signals::reset_sigpipe};

/// A process that plays one role in this file and is killed at the end of its test.
struct Player {
    process: Running,
    dir: tempfile::TempDir,
}

impl Player {
    fn start(part: &str) -> Player {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Windlass::role(part);
        command.env("PLAYED", "yes").current_dir(dir.path());
        let process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        Player { process, dir }
    }

    fn says(&self, word: &str) {
        wait_until(word, || self.dir.path().join(word).exists());
    }

    fn tell(&self, word: &str) {
        fs::write(self.dir.path().join(word), "").unwrap();
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.process.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// The letter of its state in /proc: `T` is stopped.
    fn state(&self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        thread::yield_now();
    }
}

fn is_played() -> bool {
    std::env::var_os("PLAYED").is_some()
}

fn note(word: &str) {
    fs::write(word, "").unwrap();
}

fn wait_for(word: &str) {
    wait_until(word, || Path::new(word).exists());
}

#[test]
#[ignore = "a part, played for other tests"]
fn part_that_drains() {
    if is_played() {
        let signals = Signals::install().unwrap();
        note("ready");
        assert!(signals.wait(Duration::from_secs(30)) && signals.stop_requested());
        note("draining");
        wait_for("never");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_first_signal_drains_and_the_second_kills() {
    for (first, second, code) in [("TERM", "TERM", 143), ("INT", "INT", 130), ("TERM", "INT", 130)] {
        let mut player = Player::start("part_that_drains");
        player.says("ready");
        player.signal(first);
        player.says("draining");
        assert_eq!(player.process.try_wait().unwrap(), None);
        player.signal(second);
        assert_eq!(player.process.wait().unwrap().code(), Some(code));
    }
}

#[test]
#[ignore = "a part, played for other tests"]
fn part_that_writes() {
    if is_played() {
        let _signals = Signals::install().unwrap();
        let outer = hold_suspend();
        let inner = hold_suspend();
        note("writing");
        wait_for("go");
        drop(inner);
        note("written");
        drop(outer);
        wait_for("end");
        note("ended");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_ctrl_z_waits_for_the_write_to_end() {
    let player = Player::start("part_that_writes");
    player.says("writing");
    player.signal("TSTP");
    player.tell("go");
    player.says("written"); // a process stopped at once would never get here
    wait_until("it stops itself", || player.state() == Some('T'));
    player.signal("CONT");
    player.tell("end");
    player.says("ended");
}

#[test]
#[ignore = "a part, played for other tests"]
fn part_that_prints() {
    if is_played() {
        reset_sigpipe();
        let line = [b'x'; 4096];
        while std::io::stdout().write_all(&line).is_ok() {}
        note("went on");
    }
}

#[test]
fn a_closed_pipe_ends_a_printing_command_quietly() {
    let mut player = Player::start("part_that_prints");
    player.process.stdout.take().unwrap().read_exact(&mut [0; 9000]).unwrap();
    assert_eq!(player.process.wait().unwrap().signal(), Some(13));
    assert!(!player.dir.path().join("went on").exists());
}

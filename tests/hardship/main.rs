//! The real binary where things go wrong around it: disks that are full or slow, files that are damaged or gone, clocks
//! that jump, limits that are low, crowds and races. What docs/guarantees.md lists as a fault is injected here, unless
//! another test does it.
//!
//! What needs strace, a mount or another user says so and passes where that is not to be had.

#[path = "../house/mod.rs"]
mod house;
#[path = "../plant/mod.rs"]
mod plant;

mod clocks;
mod crowd;
mod disk;
mod files;
mod foreign_backups;
mod kills;
mod limits;
mod modes;
mod old_copies;
mod ownership;
mod pages;
mod races;
mod shortage;
mod silence;
mod special_files;
mod upgrade;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use windlass::{
    os::SystemClock,
    store::{Options, Store, check},
};

pub const WINDLASS: &str = env!("CARGO_BIN_EXE_windlass");

/// A home directory and a place to work in.
pub struct Place {
    dir: tempfile::TempDir,
}

/// How a command ended, in text.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Default for Place {
    fn default() -> Place {
        Place::new()
    }
}

impl Place {
    pub fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    pub fn database(&self) -> PathBuf {
        self.home().join("engine.db")
    }

    /// The binary itself, or a program that starts it.
    pub fn command(&self, before: &[&str], arguments: &[&str]) -> Command {
        let words: Vec<&str> = before.iter().copied().chain([WINDLASS]).chain(arguments.iter().copied()).collect();
        let mut command = Command::new(words[0]);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WINDLASS_")) {
            command.env_remove(name);
        }
        command.args(&words[1..]).current_dir(self.path()).env("WINDLASS_HOME", self.home()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(&[], arguments).output().unwrap())
    }

    /// A command that must succeed; its stdout.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended.out
    }

    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(&[], arguments);
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    pub fn wait_for_file(&self, name: &str) {
        eventually(name, || self.path().join(name).exists());
    }

    pub fn store(&self) -> Store {
        Store::open(&Options::new(self.database()), std::sync::Arc::new(SystemClock)).unwrap()
    }

    /// What SQLite and the store find wrong.
    #[track_caller]
    pub fn assert_sound(&self) {
        let store = self.store();
        let found = store.read(|tx| Ok((check::integrity(tx)?, check::check(tx)?))).unwrap();
        store.close();
        assert_eq!(found, (vec![], vec![]));
    }
}

/// A process that ends with this value.
pub struct Running(pub Child);

impl Running {
    pub fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// For a process that was started by another program: strace.
    pub fn signal_child(&self, name: &str) {
        let pid = self.0.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let child = children.split_whitespace().next().expect("a child");
        assert!(Command::new("kill").args([&format!("-{name}"), child]).status().unwrap().success());
    }

    /// Waits for its end, at most so long.
    pub fn end(mut self, within: Duration) -> Ended {
        let deadline = Instant::now() + within;
        while self.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        let (mut out, mut err) = (String::new(), String::new());
        use std::io::Read;
        let _ = self.0.stdout.take().map(|mut it| it.read_to_string(&mut out));
        let _ = self.0.stderr.take().map(|mut it| it.read_to_string(&mut err));
        let status = self.0.wait().unwrap();
        use std::os::unix::process::ExitStatusExt;
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or(0));
        assert!(!err.contains("panicked"), "{err}");
        Ended { code, out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn ended(output: Output) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    let code = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ended = Ended { code, out: text(&output.stdout), err: text(&output.stderr) };
    assert!(!ended.err.contains("panicked"), "{ended:?}");
    ended
}

#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a program works with these arguments here; says what is skipped when it does not.
pub fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let works = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let works = works.is_ok_and(|it| it.success());
    if !works {
        println!("skipped: `{program} {}` does not work here", arguments.join(" "));
    }
    works
}

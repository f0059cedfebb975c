//! The one place that starts `windlass`, or this test program in another role.
#![allow(dead_code)] // Each test program uses its own part of it.

use serde_json::Value;
use std::{
    ffi::OsStr,
    io::{self, Write},
    ops::{Deref, DerefMut},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The binary that Cargo built for these tests.
pub const WINDLASS: &str = env!("CARGO_BIN_EXE_windlass");

/// The running test program.
pub fn this_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// A program of `examples/`. Cargo builds them whenever it builds all tests.
pub fn example(name: &str) -> Command {
    let program = this_program().ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.is_file(), "{} is missing: run `cargo build --example {name}`", program.display());
    Command::new(program)
}

/// The environment variables that a command inherits. None of them changes a setting.
const INHERITED: [&str; 4] = ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"];

/// Makes an engine in this process start its children (shims, parsers) from the binary.
pub fn use_for_children() {
    windlass::process::program::use_program(Path::new(WINDLASS));
}

/// A command of the binary, without stdin and with a minimal environment. Its methods are like those of `Command`.
#[derive(Debug)]
pub struct Windlass {
    command: Command,
    input: Option<Vec<u8>>,
}

/// How a command ended, as text.
#[derive(Debug)]
pub struct Ended {
    /// The exit code, or the negated number of the signal that killed it.
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Windlass {
    /// Uses this home.
    pub fn on(home: impl AsRef<OsStr>) -> Windlass {
        let mut command = Windlass::bare();
        command.env("WINDLASS_HOME", home);
        command
    }

    /// Names no home.
    pub fn bare() -> Windlass {
        Windlass::under(&[])
    }

    /// Started by another program: `strace -f`, or `sh -c` and a script in which it is `"$0"`.
    pub fn under(before: &[&str]) -> Windlass {
        // Allows another build, to see how an older one behaves.
        let binary = std::env::var_os("WINDLASS_TEST_BINARY").unwrap_or(WINDLASS.into());
        let mut command = match before {
            [] => Command::new(binary),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(binary);
                command
            }
        };
        command.env_clear().stdin(Stdio::null());
        for name in INHERITED {
            std::env::var_os(name).map(|value| command.env(name, value));
        }
        Windlass { command, input: None }
    }

    /// Runs the binary under another name, through a link.
    pub fn named(program: impl AsRef<OsStr>) -> Windlass {
        let mut named = Windlass { command: Command::new(program), input: None };
        for (name, value) in Windlass::bare().command.get_envs() {
            named.command.env(name, value.unwrap_or_default());
        }
        named.command.stdin(Stdio::null());
        named
    }

    /// Runs this test program itself with only the test of this name, ignored or not.
    pub fn role(name: &str) -> Windlass {
        let mut command = Command::new(this_program());
        command.args(["--exact", name, "--include-ignored", "--nocapture"]).stdin(Stdio::null());
        Windlass { command, input: None }
    }

    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Windlass {
        self.command.arg(arg);
        self
    }

    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Windlass {
        self.command.args(args);
        self
    }

    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Windlass {
        self.command.env(name, value);
        self
    }

    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, all: impl IntoIterator<Item = (N, V)>) -> &mut Windlass {
        self.command.envs(all);
        self
    }

    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Windlass {
        self.command.env_remove(name);
        self
    }

    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Windlass {
        self.command.current_dir(dir);
        self
    }

    /// Sets its stdin.
    pub fn input(&mut self, text: impl AsRef<[u8]>) -> &mut Windlass {
        self.input = Some(text.as_ref().to_vec());
        self.stdin(Stdio::piped())
    }

    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Windlass {
        self.command.stdin(stdin);
        self
    }

    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Windlass {
        self.command.stdout(stdout);
        self
    }

    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Windlass {
        self.command.stderr(stderr);
        self
    }

    /// Discards both streams.
    pub fn silent(&mut self) -> &mut Windlass {
        self.stdout(Stdio::null()).stderr(Stdio::null())
    }

    /// Pipes both streams, for `Running::end`.
    pub fn piped(&mut self) -> &mut Windlass {
        self.stdout(Stdio::piped()).stderr(Stdio::piped())
    }

    /// The inner command, for things that this type lacks: a user, a process group, a call before it starts.
    pub fn inner(&mut self) -> &mut Command {
        &mut self.command
    }

    pub fn user(&mut self, uid: u32, gid: u32) -> &mut Windlass {
        self.command.uid(uid).gid(gid);
        self
    }

    pub fn spawn(&mut self) -> io::Result<Running> {
        let mut running = Running(Some(self.command.spawn()?));
        if let Some(input) = self.input.take() {
            let mut pipe = running.stdin.take().unwrap();
            // It need not read everything.
            thread::spawn(move || pipe.write_all(&input));
        }
        Ok(running)
    }

    pub fn output(&mut self) -> io::Result<Output> {
        if self.input.is_none() {
            return self.command.output();
        }
        self.piped().spawn()?.wait_with_output()
    }

    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(&mut self) -> Ended {
        Ended::of(self.output().unwrap())
    }

    /// Runs it. It must end with this code.
    #[track_caller]
    pub fn ends(&mut self, code: i32) -> Ended {
        let ended = self.run();
        assert_eq!(ended.code, code, "{:?}\n{}\n{}", self.command, ended.out, ended.err);
        ended
    }

    /// Runs it. It must succeed; returns its stdout.
    #[track_caller]
    pub fn ok(&mut self) -> String {
        self.ends(0).out
    }

    /// Runs it with `--json`. It must succeed.
    #[track_caller]
    pub fn json(&mut self) -> Value {
        let out = self.arg("--json").ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{:?}: {error}: {out}", self.command))
    }
}

impl Ended {
    #[track_caller]
    pub fn of(output: Output) -> Ended {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0));
        let ended = Ended { code, out: text(output.stdout), err: text(output.stderr) };
        assert!(!ended.err.contains("panicked"), "{ended:?}");
        ended
    }

    /// Both streams, stdout first.
    pub fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// A process in the background. Dropping it kills it.
#[derive(Debug)]
pub struct Running(Option<Child>);

impl Running {
    /// Starts another program.
    pub fn of(command: &mut Command) -> io::Result<Running> {
        command.spawn().map(|child| Running(Some(child)))
    }

    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Signals the child of a wrapper such as strace.
    pub fn signal_child(&self, name: &str) {
        let pid = self.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let child = children.split_whitespace().next().expect("a child");
        signal(child.parse().unwrap(), name);
    }

    /// Waits for its end, at most this long.
    #[track_caller]
    pub fn end(mut self, within: Duration) -> Ended {
        let deadline = Instant::now() + within;
        while self.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
        Ended::of(self.wait_with_output().unwrap())
    }

    pub fn wait_with_output(mut self) -> io::Result<Output> {
        self.0.take().expect("it is not over yet").wait_with_output()
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.0.as_ref().expect("it is not over yet")
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        self.0.as_mut().expect("it is not over yet")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `TERM`, `KILL`, `STOP`...
#[track_caller]
pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

/// Waits until the condition holds, with a deadline.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

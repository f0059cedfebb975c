//! A worker process as a value: its pipes, its output, its answers and its end.

use super::{
    capture::{CAPTURE, Captured},
    handle::{Launch, ShimHandle, start_error},
    protocol::{self, Answer, Frames},
    wire::{ShimConfig, ShimEvent},
};
use crate::{
    decide::outcome::StartError,
    model::{Bytes, ExitStatus, Health, KillIntent, Millis},
    os::{process_stat, readiness::never_block, spawn::ProcessLimits},
};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, PipeReader, PipeWriter, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    time::{Duration, Instant},
};

/// No worker may open more files than this, even if the engine may.
const MOST_OPEN_FILES: u64 = 10_240;
/// The maximum number of consecutive reads from one stream, so that endless output can't block everything else.
const MOST_READS: usize = 32;

/// How to start a worker process.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// The working directory. It must exist.
    pub dir: PathBuf,
    /// Its complete environment, except for the variables of the protocol.
    pub env: Vec<(OsString, OsString)>,
    /// The name of the workflow, for its `load`.
    pub definition: String,
    /// The handlers that steps will call.
    pub handlers: Vec<String>,
    /// For each of its processes. Allocations beyond it fail inside the process.
    pub address_space: Option<Bytes>,
    pub timeouts: Timeouts,
}

/// The time limits for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub hello: Millis,
    pub load: Millis,
    pub ping: Millis,
    pub finalize: Millis,
    /// The time from `shutdown` to TERM.
    pub shutdown: Millis,
    /// The time between TERM and KILL.
    pub grace: Millis,
    /// How long after the end of a worker to wait for a final answer while another process still holds its pipe.
    pub drain: Millis,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            hello: Millis::seconds(10),
            load: Millis::seconds(60),
            ping: Millis::seconds(5),
            finalize: Millis::seconds(30),
            shutdown: Millis::seconds(5),
            grace: Millis::seconds(10),
            drain: Millis::seconds(2),
        }
    }
}

/// Why no worker was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartFailure {
    /// Its program was not found or is not executable. A retry fails the same way.
    NotStartable(String),
    /// The system lacked a resource to start it. The step is not at fault.
    NoRoom(String),
    /// It started but is unusable; its output says more.
    Failed(Box<Broken>),
    /// A stop was requested in the meantime.
    Stopped(KillIntent),
}

/// A worker that started but did not become ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Broken {
    /// The reason, for people.
    pub why: String,
    /// Whether it ended or reported the failure itself. Otherwise we stopped waiting.
    pub by_itself: bool,
    pub stdout: Captured,
    pub stderr: Captured,
}

/// How a worker process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExitInfo {
    pub exit: Option<ExitStatus>,
    /// User and system time of its whole tree, over its whole life.
    pub cpu: Option<Millis>,
    /// Whether the kernel killed a process for lack of memory shortly before.
    pub out_of_memory: bool,
}

/// A worker process that has sent its hello. Dropping it kills its whole tree.
#[derive(Debug)]
pub struct Worker {
    /// Unique within its pool.
    pub number: u64,
    /// Its program, for messages.
    pub name: OsString,
    pub pid: u32,
    pub started: Instant,
    /// The number of finalized units.
    pub units: u64,
    pub age_limit: Option<Millis>,
    pub(super) timeouts: Timeouts,
    pub(super) handle: ShimHandle,
    pub(super) requests: PipeWriter,
    /// `None` after the end of the stream.
    pub(super) answers: Option<PipeReader>,
    /// stdout and stderr; `None` after the end of the stream.
    pub(super) printed: [Option<PipeReader>; 2],
    pub(super) captured: [Captured; 2],
    pub(super) frames: Frames,
    pub(super) last_id: u64,
    pub(super) health: Health,
    /// `None` while it is alive.
    pub(super) exit_info: Option<ExitInfo>,
    pub(super) start_error: Option<StartError>,
    /// Whether its program was about to run.
    pub(super) begun: bool,
    pub(super) out_of_memory_kills: Option<u64>,
    /// Resident memory before its first unit, in bytes.
    pub(super) rss_new: Option<u64>,
    buffer: Vec<u8>,
}

impl Worker {
    /// Starts the program.
    pub(super) fn launch(number: u64, spec: &WorkerSpec, nonce: &str) -> Result<Worker, StartFailure> {
        let no_room = |error: io::Error| StartFailure::NoRoom(format!("no resources to start it: {error}"));
        let nothing = File::open("/dev/null").map_err(no_room)?;
        let (their_requests, requests) = io::pipe().map_err(no_room)?;
        let (answers, their_answers) = io::pipe().map_err(no_room)?;
        let (out, stdout) = io::pipe().map_err(no_room)?;
        let (err, stderr) = io::pipe().map_err(no_room)?;
        for end in [requests.as_fd(), answers.as_fd(), out.as_fd(), err.as_fd()] {
            never_block(end).map_err(no_room)?;
        }
        let mut env = spec.env.clone();
        env.retain(|it| it.0 != protocol::FDS && it.0 != protocol::NONCE);
        env.push((protocol::FDS.into(), "3,4".into()));
        env.push((protocol::NONCE.into(), nonce.into()));
        let address_space = spec.address_space;
        let limits = ProcessLimits { open_files: Some(MOST_OPEN_FILES), address_space, cpu: None };
        let handle = ShimHandle::start(Launch {
            argv: &spec.command,
            dir: &spec.dir,
            env: &env,
            stdin: nothing.as_fd(),
            stdout: stdout.into(),
            stderr: stderr.into(),
            config: ShimConfig { limits, unwatched: true, ..ShimConfig::default() },
            passed: &[OwnedFd::from(their_requests), OwnedFd::from(their_answers)],
            kept: &[],
        });
        let handle = handle.map_err(|error| match error {
            StartError::NotStartable(why) => StartFailure::NotStartable(why),
            StartError::NoRoom(why) => StartFailure::NoRoom(why),
        })?;
        Ok(Worker {
            number,
            name: spec.command.first().cloned().unwrap_or_default(),
            pid: 0,
            started: Instant::now(),
            units: 0,
            age_limit: None,
            timeouts: spec.timeouts,
            handle,
            requests,
            answers: Some(answers),
            printed: [Some(out), Some(err)],
            captured: Default::default(),
            frames: Frames::default(),
            last_id: 0,
            health: Health::default(),
            exit_info: None,
            start_error: None,
            begun: false,
            out_of_memory_kills: process_stat::out_of_memory_kills(),
            rss_new: None,
            buffer: vec![0; 64 << 10],
        })
    }

    pub fn age(&self) -> Millis {
        self.started.elapsed().into()
    }

    /// Its last report. Memory is measured by the system if possible.
    pub fn health(&self) -> Health {
        let rss_bytes = process_stat::rss_bytes(self.pid).or(self.health.rss_bytes);
        let open_fds = self.health.open_fds.or_else(|| process_stat::open_fds(self.pid));
        Health { rss_bytes, open_fds }
    }

    /// Resident memory beyond that of a new process, in bytes.
    pub(super) fn rss_left(&self) -> u64 {
        let now = process_stat::rss_bytes(self.pid);
        now.zip(self.rss_new).map_or(0, |(now, new)| now.saturating_sub(new))
    }

    pub fn exit_info(&self) -> Option<&ExitInfo> {
        self.exit_info.as_ref()
    }

    /// Makes the shim hold a lock until `let_go`, or until the last process of the worker's tree is dead.
    pub fn hold(&self, lock: BorrowedFd<'_>) -> io::Result<()> {
        self.handle.hold(lock)
    }

    pub fn let_go(&self) {
        self.handle.let_go();
    }

    /// Descriptors that become readable when an idle worker prints, dies, or sends an unrequested message.
    pub(super) fn signs(&self) -> [Option<BorrowedFd<'_>>; 4] {
        [
            self.answers.as_ref().map(AsFd::as_fd),
            self.printed[0].as_ref().map(AsFd::as_fd),
            self.printed[1].as_ref().map(AsFd::as_fd),
            Some(self.handle.control()),
        ]
    }

    /// Reads and discards what an idle worker printed or sent. Returns false if it is dead.
    pub fn attend(&mut self) -> bool {
        self.read_printed();
        self.captured = Default::default();
        self.read_answers();
        while self.frames.next_frame().is_some_and(|it| it != protocol::Frame::TooLong) {}
        self.hear_events();
        self.exit_info.is_none() && self.answers.is_some()
    }

    /// Reads its available output.
    pub(super) fn read_printed(&mut self) {
        for (pipe, captured) in self.printed.iter_mut().zip(&mut self.captured) {
            read_available(pipe, &mut self.buffer, |bytes| captured.push(bytes, CAPTURE));
        }
    }

    /// Reads its available answers.
    pub(super) fn read_answers(&mut self) {
        let frames = &mut self.frames;
        read_available(&mut self.answers, &mut self.buffer, |bytes| frames.push(bytes));
    }

    /// Reads the shim's events without waiting.
    pub(super) fn hear_events(&mut self) {
        loop {
            let heard = crate::os::readiness::wait_readable(&[Some(self.handle.control())], Duration::ZERO);
            if self.handle.is_gone() || !heard.is_ok_and(|it| it[0]) {
                break;
            }
            self.handle.hear();
        }
        while let Some(event) = self.handle.next_event() {
            match event {
                ShimEvent::Begun => self.begun = true,
                ShimEvent::Started { pid } => self.pid = pid,
                ShimEvent::NotStarted { errno } => {
                    let error = io::Error::from_raw_os_error(errno);
                    self.start_error = Some(start_error(&self.name, &error));
                    self.exit_info.get_or_insert_default();
                }
                ShimEvent::Exited(exit) => {
                    let killed = exit == ExitStatus::Signal(libc::SIGKILL);
                    let out_of_memory = killed && process_stat::out_of_memory_kills() > self.out_of_memory_kills;
                    self.exit_info = Some(ExitInfo { exit: Some(exit), out_of_memory, cpu: None });
                }
                ShimEvent::Ended { cpu, .. } => self.exit_info.get_or_insert_default().cpu = Some(cpu),
                ShimEvent::Limit(_) => (),
            }
        }
        if self.handle.is_gone() {
            self.exit_info.get_or_insert_default();
        }
    }

    pub(super) fn take_printed(&mut self) -> [Captured; 2] {
        let mut taken = std::mem::take(&mut self.captured);
        taken.iter_mut().for_each(|it| it.trim(CAPTURE));
        taken
    }

    pub(super) fn note(&mut self, answer: &Answer) {
        self.health = answer.health;
    }
}

/// Reads until no more data is available. Sets the pipe to `None` at the end of the stream.
fn read_available(pipe: &mut Option<PipeReader>, buffer: &mut [u8], mut take: impl FnMut(&[u8])) {
    for _ in 0..MOST_READS {
        let Some(open) = pipe else { return };
        match open.read(buffer) {
            Ok(0) => *pipe = None,
            Ok(count) => take(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => *pipe = None,
        }
    }
}

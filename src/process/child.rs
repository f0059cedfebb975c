//! Runs one command to its end: captures its output, enforces limits, and ends its whole process tree.

use super::{
    capture::Captured,
    handle::{Launch, NOT_BEGUN, ShimHandle, start_error},
    live::Live,
    mask::Masker,
    wire::{ShimConfig, ShimEvent},
};
use crate::{
    decide::outcome::{CommandFacts, StartError, of_command},
    model::{AttemptStats, Bytes, ExitStatus, KillIntent, Millis, Outcome, ResourceLimit},
    os::{
        CancelToken,
        cancel::CancelWake,
        leader::Left,
        process_stat::out_of_memory_kills,
        readiness::{never_block, wait_readable},
        spawn::{ProcessLimits, file_of},
    },
};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, PipeReader, Read},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

/// No child may open more files than this, even if the engine may.
const MOST_OPEN_FILES: u64 = 10_240;
/// Pipes still open after the whole tree is dead belong to an outside process. This is how long to wait for them.
const STRAY_PIPES: Duration = Duration::from_millis(500);
/// How often to measure a stdout that goes straight into a file.
const FILE_CHECK: Duration = Duration::from_millis(100);
/// The time between TERM and KILL for processes that a command left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(1);
/// How long after KILL a shim that does not respond is killed itself.
const KILLED: Duration = Duration::from_secs(10);
/// How often to check a shim that watches limits or is ending a tree.
const SHIM_CHECK: Duration = Duration::from_secs(1);
const LAST_LINES: usize = 4096;

/// A command and its conditions.
#[derive(Debug)]
pub struct ChildSpec {
    /// The program and its arguments. A program without a slash is looked up in the PATH of `env`.
    pub argv: Vec<OsString>,
    /// The working directory. It must exist.
    pub dir: PathBuf,
    /// The complete environment; nothing is added.
    pub env: Vec<(OsString, OsString)>,
    pub stdin: Stdin,
    pub limits: ChildLimits,
    /// Between TERM and KILL.
    pub grace: Millis,
    /// How long to wait, after the command's end, for output of processes that it left behind, before ending them.
    pub drain: Millis,
    /// Whether processes that a successful command leaves behind keep running, even after this process ends.
    pub background: bool,
    /// How many of the newest bytes of stdout and of stderr to keep.
    pub capture: Bytes,
    /// A directory for output that a follower reads while the command runs (`live`). It may not exist yet.
    pub live: Option<PathBuf>,
    /// Secrets that the command knows: in what is kept of its output they are masked.
    pub secrets: Vec<String>,
    /// Receives stdout, which is then not captured.
    pub stdout_file: Option<File>,
    /// Inherited as descriptors 3, 4, ... The shim keeps no copies.
    pub passed_fds: Vec<OwnedFd>,
    /// Locks. Inherited after the given ones; the shim also holds them until the last process of the tree is dead.
    pub kept_fds: Vec<OwnedFd>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stdin {
    Null,
    Bytes(Vec<u8>),
}

/// Limits of the whole tree, unless noted otherwise. `None` sets no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChildLimits {
    /// Resident memory, sampled at least every 100 ms.
    pub memory: Option<Bytes>,
    /// Address space of each process. Allocations beyond it fail inside the child.
    pub address_space: Option<Bytes>,
    /// Per process; at most 10,240.
    pub open_files: Option<u64>,
    pub cpu: Option<Millis>,
    /// A command that exceeds it has timed out.
    pub wall: Option<Millis>,
    /// Stdout and stderr together.
    pub output: Option<Bytes>,
}

/// How a command ended, and its output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChildEnd {
    pub start_error: Option<StartError>,
    /// `None` if it never started, or if its shim was killed before it could report.
    pub exit: Option<ExitStatus>,
    /// Why we ended it; `None` if it ended by itself.
    pub intent: Option<KillIntent>,
    pub stdout: Captured,
    pub stderr: Captured,
    /// The largest sampled sum over the tree.
    pub peak_rss: Option<Bytes>,
    /// User and system time of the whole tree.
    pub cpu: Option<Millis>,
    pub wall: Millis,
    pub open_files_hit: bool,
    /// Whether the kernel killed a process for lack of memory while the command ran.
    pub out_of_memory: bool,
    /// Remarks for readers of the attempt stats.
    pub remarks: Vec<String>,
}

impl ChildSpec {
    /// A command in `dir` with only a PATH, no input, no limits, 10 s of grace, 0.2 s of drain and 1 MiB of capture.
    pub fn new(argv: Vec<OsString>, dir: PathBuf) -> ChildSpec {
        ChildSpec {
            argv,
            dir,
            env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
            stdin: Stdin::Null,
            limits: ChildLimits::default(),
            grace: Millis::seconds(10),
            drain: Millis(200),
            background: false,
            capture: Bytes::mib(1),
            live: None,
            secrets: Vec::new(),
            stdout_file: None,
            passed_fds: Vec::new(),
            kept_fds: Vec::new(),
        }
    }

    fn config(&self) -> ShimConfig {
        let limits = ProcessLimits {
            open_files: Some(self.limits.open_files.unwrap_or(MOST_OPEN_FILES).min(MOST_OPEN_FILES)),
            cpu: self.limits.cpu,
            address_space: self.limits.address_space,
        };
        ShimConfig { limits, memory: self.limits.memory, ..ShimConfig::default() }
    }
}

/// Runs the command and waits until every process of its tree is gone, or until KILL has had no effect.
///
/// Blocks the calling thread and uses no other. The child survives the end of that thread, but not of this process.
pub fn run(spec: &ChildSpec, cancel: &CancelToken) -> ChildEnd {
    let began = Instant::now();
    if let Some(intent) = cancel.intent() {
        return ChildEnd { intent: Some(intent), ..ChildEnd::default() };
    }
    let killed_before = out_of_memory_kills();
    let mut end = match Watch::start(spec, cancel, began) {
        Ok(watch) => watch.until_the_end(),
        Err(error) => ChildEnd { start_error: Some(error), ..ChildEnd::default() },
    };
    end.wall = began.elapsed().into();
    let killed = end.exit == Some(ExitStatus::Signal(libc::SIGKILL)) && end.intent.is_none();
    end.out_of_memory = killed && out_of_memory_kills() > killed_before;
    end
}

/// The outcome of a command that ended this way. `permanent_exits` are the exit codes that its definition declares
/// permanent.
pub fn outcome(end: &ChildEnd, permanent_exits: &[i32]) -> Outcome {
    of_command(&CommandFacts {
        intent: end.intent,
        start_error: end.start_error.clone(),
        exit: end.exit,
        out_of_memory: end.out_of_memory,
        open_files_hit: end.open_files_hit,
        peak_rss: end.peak_rss,
        permanent_exits,
        last_line: &end.stderr.last_line(),
    })
}

/// The attempt statistics, with at most 4 KiB of the last lines of stderr as valid UTF-8.
pub fn attempt_stats(end: &ChildEnd) -> AttemptStats {
    AttemptStats {
        exit: end.exit,
        peak_rss: end.peak_rss,
        cpu: end.cpu,
        last_lines: end.stderr.tail(LAST_LINES),
        remarks: end.remarks.clone(),
    }
}

/// The phase of a running command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// The command has ended, but processes that it left behind may still hold its pipes.
    Draining {
        until: Instant,
    },
    Stopping {
        until: Instant,
    },
    Killing {
        until: Instant,
    },
    /// The whole tree is gone.
    Gone {
        until: Instant,
    },
}

struct Watch<'a> {
    spec: &'a ChildSpec,
    cancel: &'a CancelToken,
    wake: Option<CancelWake>,
    handle: ShimHandle,
    /// stdout and stderr; `None` after the end of the stream.
    pipes: [Option<PipeReader>; 2],
    phase: Phase,
    began: Instant,
    live: Option<Live>,
    maskers: [Masker; 2],
    /// Whether the shim has reported if the command runs.
    reported: bool,
    end: ChildEnd,
}

impl<'a> Watch<'a> {
    fn start(spec: &'a ChildSpec, cancel: &'a CancelToken, began: Instant) -> Result<Watch<'a>, StartError> {
        let nameless = OsString::from("the command");
        let name = spec.argv.first().unwrap_or(&nameless);
        let no_room = |error: io::Error| start_error(name, &error);
        let stdin: OwnedFd = match &spec.stdin {
            Stdin::Null => File::open("/dev/null").map_err(no_room)?.into(),
            Stdin::Bytes(bytes) => file_of(bytes).map_err(no_room)?,
        };
        let (out, stdout) = match &spec.stdout_file {
            Some(file) => (None, Stdio::from(file.try_clone().map_err(no_room)?)),
            None => io::pipe().map(|(read, write)| (Some(read), write.into())).map_err(no_room)?,
        };
        let (err, stderr) = io::pipe().map_err(no_room)?;
        let wake = Some(cancel.wake().map_err(no_room)?);
        let handle = ShimHandle::start(Launch {
            argv: &spec.argv,
            dir: &spec.dir,
            env: &spec.env,
            stdin: stdin.as_fd(),
            stdout,
            stderr: stderr.into(),
            config: spec.config(),
            passed: &spec.passed_fds,
            kept: &spec.kept_fds,
        })?;
        let (pipes, phase) = ([out, Some(err)], Phase::Running);
        let live = spec.live.as_ref().map(|it| Live::new(it, began));
        let end = ChildEnd::default();
        let maskers = [Masker::new(&spec.secrets), Masker::new(&spec.secrets)];
        Ok(Watch { spec, cancel, wake, handle, pipes, phase, began, live, maskers, reported: false, end })
    }

    fn until_the_end(mut self) -> ChildEnd {
        let mut buffer = vec![0; 64 << 10];
        while !self.is_over() {
            if let Err(error) = self.turn(&mut buffer) {
                // Without poll we can neither read nor wait. Dropping the shim kills its tree.
                self.end.remarks.push(format!("lost contact with the command: {error}"));
                break;
            }
        }
        for stream in [&mut self.end.stdout, &mut self.end.stderr] {
            stream.trim(self.spec.capture);
        }
        if self.end.intent.is_some() && self.cancel.intent() == Some(KillIntent::Cancel) {
            self.end.intent = Some(KillIntent::Cancel);
        }
        let own_limit = self.spec.limits.cpu.is_some() && self.end.exit == Some(ExitStatus::Signal(libc::SIGXCPU));
        if own_limit && self.end.intent.is_none() {
            self.end.intent = Some(KillIntent::Limit(ResourceLimit::CpuTime));
        }
        self.end
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Gone { .. }) && self.pipes.iter().all(Option::is_none)
    }

    /// Waits for something to happen and handles it.
    fn turn(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let gone = matches!(self.phase, Phase::Gone { .. });
        let fds = [
            self.pipes[0].as_ref().map(AsFd::as_fd),
            self.pipes[1].as_ref().map(AsFd::as_fd),
            (!gone).then(|| self.handle.control()),
            self.wake.as_ref().map(AsFd::as_fd),
        ];
        let ready = wait_readable(&fds, self.patience())?;
        for stream in [0, 1] {
            if ready[stream] {
                self.read(stream, buffer);
            }
        }
        // Handled before other events, so that a command that exits with 0 on our own TERM counts as cancelled.
        if ready[3] {
            self.cancelled();
        }
        if ready[2] {
            self.handle.hear();
            while let Some(event) = self.handle.next_event() {
                self.heard(event);
            }
            if self.handle.is_gone() {
                self.tree_is_gone();
            }
        }
        self.look_at_limits();
        self.look_at_the_time();
        if let Some(live) = &mut self.live {
            live.look([&self.end.stdout, &self.end.stderr], Instant::now());
        }
        Ok(())
    }

    /// The time until something is due.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        let due = match self.phase {
            Phase::Running => self.spec.limits.wall.map(|it| self.began + it.duration()),
            Phase::Draining { until } | Phase::Stopping { until } => Some(until),
            Phase::Killing { until } | Phase::Gone { until } => Some(until),
        };
        let shown = self.live.as_ref().and_then(|it| it.due([&self.end.stdout, &self.end.stderr]));
        let due = due.into_iter().chain(shown).min();
        let wait = due.map_or(Duration::from_secs(3600), |it| it.saturating_duration_since(now));
        let limits = &self.spec.limits;
        match self.phase {
            _ if self.spec.stdout_file.is_some() && limits.output.is_some() => wait.min(FILE_CHECK),
            Phase::Running if limits.memory.is_some() || limits.cpu.is_some() => wait.min(SHIM_CHECK),
            Phase::Stopping { .. } | Phase::Killing { .. } => wait.min(SHIM_CHECK),
            _ => wait,
        }
    }

    fn read(&mut self, stream: usize, buffer: &mut [u8]) {
        let Some(pipe) = &mut self.pipes[stream] else { return };
        let masker = &mut self.maskers[stream];
        let shown = match pipe.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Ok(0) | Err(_) => {
                self.pipes[stream] = None;
                masker.finish().into()
            }
            Ok(count) => masker.feed(&buffer[..count]),
        };
        let captured = if stream == 0 { &mut self.end.stdout } else { &mut self.end.stderr };
        captured.push(&shown, self.spec.capture);
    }

    fn cancelled(&mut self) {
        self.wake = None; // it stays readable from now on
        match (self.cancel.intent(), self.phase) {
            (Some(intent), Phase::Running) => self.stop(intent),
            (Some(_), Phase::Draining { .. }) => self.end_leftovers(LEFT_BEHIND),
            _ => (),
        }
    }

    fn heard(&mut self, event: ShimEvent) {
        let now = Instant::now();
        self.reported = true;
        match (event, self.phase) {
            (ShimEvent::Begun | ShimEvent::Started { .. }, _) => (),
            (ShimEvent::NotStarted { errno }, _) => {
                let error = io::Error::from_raw_os_error(errno);
                self.end.start_error = self.spec.argv.first().map(|it| start_error(it, &error));
            }
            (ShimEvent::Limit(limit), Phase::Running | Phase::Stopping { .. }) => {
                self.end.intent.get_or_insert(KillIntent::Limit(limit));
                self.phase = Phase::Killing { until: now + KILLED };
            }
            (ShimEvent::Limit(_), _) => (),
            (ShimEvent::Exited(exit), phase) => {
                self.end.exit = Some(exit);
                if phase == Phase::Running && self.spec.background && exit == ExitStatus::Code(0) {
                    self.release();
                } else if phase == Phase::Running {
                    self.phase = Phase::Draining { until: now + self.spec.drain.duration() };
                }
            }
            (ShimEvent::Ended { peak_rss, cpu, open_files_hit }, _) => {
                self.end.peak_rss = peak_rss;
                self.end.cpu = Some(cpu);
                self.end.open_files_hit = open_files_hit;
            }
        }
    }

    fn look_at_limits(&mut self) {
        let depends = match self.phase {
            Phase::Running => self.spec.limits.memory.is_some() || self.spec.limits.cpu.is_some(),
            Phase::Stopping { .. } | Phase::Killing { .. } => true,
            Phase::Draining { .. } | Phase::Gone { .. } => false,
        };
        if depends && self.handle.is_stopped() {
            // The shim no longer watches or ends anything, so the command ends with it.
            self.handle.overthrow();
            return self.tree_is_gone();
        }
        let Some(limit) = self.spec.limits.output.filter(|_| self.phase == Phase::Running) else { return };
        let in_file = self.spec.stdout_file.as_ref().and_then(|it| it.metadata().ok()).map_or(0, |it| it.len());
        if self.end.stdout.total + self.end.stderr.total + in_file > limit.0 {
            self.end.intent = Some(KillIntent::Limit(ResourceLimit::OutputSize));
            self.kill();
        }
    }

    fn look_at_the_time(&mut self) {
        let now = Instant::now();
        match self.phase {
            Phase::Running => {
                let wall = self.spec.limits.wall.filter(|it| now >= self.began + it.duration());
                if let Some(wall) = wall {
                    self.stop(KillIntent::Deadline(wall));
                }
            }
            Phase::Draining { until } if now >= until || self.pipes.iter().all(Option::is_none) => {
                self.end_leftovers(LEFT_BEHIND);
            }
            Phase::Stopping { until } if now >= until => self.kill(),
            Phase::Killing { until } if now >= until => {
                self.handle.overthrow();
                self.tree_is_gone();
            }
            Phase::Gone { until } if now >= until => {
                if self.pipes.iter().any(Option::is_some) {
                    self.end.remarks.push("a process outside its tree still held its output".to_string());
                }
                self.pipes = [None, None];
            }
            _ => (),
        }
    }

    /// The shim has ended, and its tree before it.
    fn tree_is_gone(&mut self) {
        let Left { ended, stuck } = self.handle.left();
        if !self.reported && ended == 0 {
            self.end.start_error = Some(StartError::NoRoom(NOT_BEGUN.to_string()));
        }
        if ended > 0 {
            self.end.remarks.push(format!("its supervisor was killed; its remaining processes were ended ({ended})"));
        }
        if stuck > 0 {
            self.end.remarks.push("one of its processes could not be killed".to_string());
        }
        self.phase = Phase::Gone { until: Instant::now() + STRAY_PIPES };
    }

    /// Reads the remaining output of the command and detaches the processes that it left behind.
    fn release(&mut self) {
        let mut buffer = vec![0; 64 << 10];
        for stream in [0, 1] {
            let most = Instant::now() + self.spec.drain.duration();
            let reads = self.pipes[stream].as_ref().is_some_and(|it| never_block(it.as_fd()).is_ok());
            // Endless output must not delay this.
            while reads && Instant::now() < most && self.has_output(stream) {
                self.read(stream, &mut buffer);
            }
        }
        let pipes = std::mem::take(&mut self.pipes);
        let outputs: Vec<_> = pipes.iter().flatten().map(AsFd::as_fd).collect();
        self.handle.release(&outputs);
        self.phase = Phase::Killing { until: Instant::now() + KILLED };
    }

    fn has_output(&self, stream: usize) -> bool {
        let pipe = self.pipes[stream].as_ref().map(AsFd::as_fd);
        pipe.is_some() && wait_readable(&[pipe], Duration::ZERO).is_ok_and(|it| it[0])
    }

    fn stop(&mut self, intent: KillIntent) {
        self.end.intent = Some(intent);
        self.end_leftovers(self.spec.grace.duration());
    }

    /// Sends TERM to the whole tree, and KILL after the grace period.
    fn end_leftovers(&mut self, grace: Duration) {
        self.handle.terminate();
        self.phase = Phase::Stopping { until: Instant::now() + grace.min(self.spec.grace.duration()) };
    }

    fn kill(&mut self) {
        self.handle.kill();
        self.phase = Phase::Killing { until: Instant::now() + KILLED };
    }
}

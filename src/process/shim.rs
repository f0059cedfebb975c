//! The shim: a small process of this same program that leads a child's process tree.
//!
//! It leads a session, adopts every orphan of the tree, and reads a socket that only the engine has the other end of.
//! When the engine is gone, for whatever reason, the socket ends and the shim kills every descendant. It starts before
//! any argument parsing and does no work of its own, so it is cheap to start.

use super::{
    deaths::listen_for_deaths,
    environment, guard, program,
    wire::{KILL, LET_GO, RELEASE, ShimConfig, ShimEvent, TERMINATE, WORD},
};
use crate::{
    model::ResourceLimit,
    os::{
        fd_passing, process_stat,
        readiness::wait_readable,
        spawn::{self, Reaped},
    },
};
use std::{
    collections::VecDeque,
    env,
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::Command,
    time::{Duration, Instant},
};

/// The first check of the tree comes soon, so that a short command has a peak too; later ones are rarer.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(100);
/// The interval between two checks while nothing is expected.
const LONG: Duration = Duration::from_secs(3600);
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Acts as a shim if this process was started as one, and returns the exit code to end with. A program that runs an
/// engine calls this first in its `main`.
pub fn run_if_asked() -> Option<i32> {
    program::checks_role_in_main();
    let mut words = env::args_os().skip(1);
    let word = words.next()?;
    if word == guard::WORD {
        return Some(guard::serve(words));
    }
    if word != WORD {
        return None;
    }
    let Some(config) = ShimConfig::from_args(&mut words) else { return Some(2) };
    Some(match serve(config, words.collect()) {
        Ok(()) => 0,
        Err(_) => 1,
    })
}

struct Shim {
    config: ShimConfig,
    /// `None` once the engine is gone.
    control: Option<UnixStream>,
    /// The child, until it is reaped. Until then, its process group id can't be reused.
    child: Option<u32>,
    killing: bool,
    tree: Tree,
    /// Becomes readable when a child dies.
    deaths: UnixStream,
    /// Locks under which the tree currently works.
    held: Vec<OwnedFd>,
    /// The outputs of released processes that the command left behind.
    released: Option<Vec<File>>,
}

fn serve(config: ShimConfig, argv: Vec<OsString>) -> io::Result<()> {
    spawn::close_from(3); // whatever else our parent forgot to close
    spawn::leave_session();
    spawn::adopt_orphans()?;
    spawn::ignore_stops();
    // SAFETY: descriptor 0 is the socket that the engine passed to us; nothing else uses it.
    let mut control = unsafe { UnixStream::from_raw_fd(0) };
    let fds = receive(&control, &config)?;
    let moved = control.as_fd().try_clone_to_owned()?;
    spawn::replace_standard(0, fds.stdin.as_fd())?;
    std::mem::forget(std::mem::replace(&mut control, moved.into())); // descriptor 0 is the child's input now
    drop(fds.stdin);

    let deaths = listen_for_deaths()?;
    let limits = config.limits;
    let (program, args) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    // These variables are the command's only: one such as LD_PRELOAD does not affect the shim itself.
    command.args(args).env_clear().envs(environment::read(fds.env)?).process_group(0);
    let (control_of_child, begun) = (control.try_clone()?, ShimEvent::Begun.to_bytes());
    let prepare = move || {
        spawn::prepare_child(&limits)?;
        fd_passing::write_quietly(&control_of_child, &begun)
    };
    // SAFETY: makes system calls only.
    unsafe { command.pre_exec(prepare) };
    let started = command.spawn();
    drop(command); // and its copy of the socket
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    for number in 0..3 {
        spawn::replace_standard(number, nothing.as_fd())?; // or the child's pipes would never end
    }
    drop(fds.passed);
    let tree = Tree::new(config.unwatched);
    let mut shim = Shim {
        config,
        control: Some(control),
        child: None,
        killing: false,
        tree,
        deaths,
        held: Vec::new(),
        released: None,
    };
    match started {
        Ok(child) => {
            shim.child = Some(child.id());
            shim.tell(ShimEvent::Started { pid: child.id() });
            shim.watch()
        }
        Err(error) => {
            shim.tell(ShimEvent::NotStarted { errno: error.raw_os_error().unwrap_or(0) });
            Ok(())
        }
    }
}

/// The received descriptors. The given and kept ones are 3, 4, ..., as the child expects.
struct Received {
    passed: Vec<OwnedFd>,
    _kept: Vec<std::mem::ManuallyDrop<OwnedFd>>,
    stdin: OwnedFd,
    env: OwnedFd,
}

fn receive(control: &UnixStream, config: &ShimConfig) -> io::Result<Received> {
    let mut fds: VecDeque<OwnedFd> = fd_passing::receive(control)?.into();
    // As everything above 2 is closed, the system assigns 3, 4, ... in order; anything else is an error.
    let in_place = fds.iter().enumerate().all(|(index, fd)| fd.as_raw_fd() == 3 + index as i32);
    if fds.len() != config.passed + config.kept + 2 || !in_place {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let env = fds.pop_back().ok_or(io::ErrorKind::InvalidData)?;
    let stdin = fds.pop_back().ok_or(io::ErrorKind::InvalidData)?;
    let kept = fds.split_off(config.passed).into_iter().map(std::mem::ManuallyDrop::new).collect();
    Ok(Received { passed: fds.into(), _kept: kept, stdin, env })
}

impl Shim {
    /// Runs until no process of the tree is left.
    fn watch(&mut self) -> io::Result<()> {
        if !self.config.unwatched {
            self.look();
        }
        let mut kill_pause = Duration::from_millis(1);
        while self.reap()? {
            let pause = match self.killing {
                true => {
                    spawn::kill_descendants(self.child);
                    kill_pause = (kill_pause * 2).min(Duration::from_millis(100));
                    kill_pause
                }
                false => self.tree.next_look.saturating_duration_since(Instant::now()),
            };
            let fds = [self.control.as_ref().map(AsFd::as_fd), Some(self.deaths.as_fd())];
            let ready = wait_readable(&fds, pause)?;
            if ready[1] {
                while matches!(self.deaths.read(&mut [0; 64]), Ok(count) if count > 0) {}
            }
            if ready[0] {
                self.listen();
            }
            if let Some(outputs) = self.released.take() {
                return self.stay_behind(outputs);
            }
            if !self.killing && self.tree.next_look <= Instant::now() {
                self.look();
            }
        }
        self.tell_the_end();
        Ok(())
    }

    /// Runs without the engine until no process of the tree is left. Reads their output, since a closed pipe would kill
    /// them.
    fn stay_behind(&mut self, mut outputs: Vec<File>) -> io::Result<()> {
        self.tell_the_end();
        self.control = None;
        self.held.clear();
        let mut buffer = [0; 4096];
        while self.reap()? {
            let mut fds = vec![Some(self.deaths.as_fd())];
            fds.extend(outputs.iter().map(|it| Some(it.as_fd())));
            let ready = wait_readable(&fds, LONG)?;
            while matches!(self.deaths.read(&mut [0; 64]), Ok(count) if count > 0) {}
            for at in (0..outputs.len()).rev().filter(|at| ready[1 + at]) {
                match outputs[at].read(&mut buffer) {
                    Ok(0) => _ = outputs.remove(at),
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => _ = outputs.remove(at),
                    _ => (),
                }
            }
        }
        Ok(())
    }

    fn tell_the_end(&mut self) {
        self.tell(ShimEvent::Ended {
            peak_rss: self.tree.peak_rss.map(crate::model::Bytes),
            cpu: spawn::reaped_cpu_time(),
            open_files_hit: self.tree.open_files_hit,
        });
    }

    /// Reaps all dead children. Returns false if no children are left.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match spawn::reap()? {
                Reaped::Nobody => return Ok(true),
                Reaped::Childless => return Ok(false),
                Reaped::Child { pid, exit } if self.child == Some(pid) => {
                    self.child = None;
                    self.tell(ShimEvent::Exited(exit));
                }
                Reaped::Child { .. } => (), // an orphan that we adopted
            }
        }
    }

    /// Receives the engine's orders, or notices that it is gone.
    fn listen(&mut self) {
        let Some(control) = &mut self.control else { return };
        let mut words = [0; 16];
        match fd_passing::receive_with(control, &mut words) {
            Ok((0, _)) | Err(_) => {
                self.control = None;
                self.killing = true;
            }
            Ok((count, locks)) => {
                // A message ends with its descriptors, so a lock to hold comes after one to let go.
                if words[..count].contains(&LET_GO) {
                    self.held.clear();
                }
                if words[..count].contains(&RELEASE) {
                    self.released = Some(locks.into_iter().map(File::from).collect());
                    return;
                }
                self.held.extend(locks);
                if words[..count].contains(&TERMINATE) {
                    spawn::terminate_descendants(self.child);
                }
                self.killing |= words[..count].contains(&KILL);
            }
        }
    }

    /// Measures memory, CPU time and descriptors of the tree, and kills it at a limit.
    fn look(&mut self) {
        let limit = self.tree.look(&self.config);
        if let Some(limit) = limit {
            self.tell(ShimEvent::Limit(limit));
            self.killing = true;
        }
    }

    fn tell(&mut self, event: ShimEvent) {
        let reported = self.control.as_ref().map(|it| fd_passing::write_quietly(it, &event.to_bytes()));
        if let Some(Err(_)) = reported {
            self.control = None;
            self.killing = true;
        }
    }
}

/// The processes of the tree that have been seen so far.
struct Tree {
    /// The largest sum of current resident sizes, in bytes. Shared pages count once per process.
    peak_rss: Option<u64>,
    open_files_hit: bool,
    next_look: Instant,
    pause: Duration,
}

impl Tree {
    fn new(unwatched: bool) -> Tree {
        let next_look = Instant::now() + if unwatched { NEVER } else { Duration::ZERO };
        Tree { peak_rss: None, open_files_hit: false, next_look, pause: FIRST_LOOK }
    }

    fn look(&mut self, config: &ShimConfig) -> Option<ResourceLimit> {
        let mut rss = 0;
        let mut cpu = spawn::reaped_cpu_time().0;
        let mut waiting = process_stat::children(std::process::id());
        while let Some(pid) = waiting.pop() {
            rss += process_stat::rss_bytes(pid).unwrap_or(0);
            if config.limits.cpu.is_some() {
                cpu += process_stat::cpu_time(pid).map_or(0, |it| it.0);
            }
            if let Some(limit) = config.limits.open_files {
                self.open_files_hit |= process_stat::open_fds(pid).is_some_and(|it| it >= limit);
            }
            waiting.extend(process_stat::children(pid));
        }
        if rss > 0 {
            self.peak_rss = self.peak_rss.max(Some(rss));
        }
        self.next_look = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LAST_LOOK);
        if config.memory.is_some_and(|it| rss >= it.0) {
            return Some(ResourceLimit::Memory);
        }
        config.limits.cpu.filter(|it| cpu >= it.0).map(|_| ResourceLimit::CpuTime)
    }
}

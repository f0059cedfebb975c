//! The processes of a drill: starts them, signals them, and waits for their ends.

use super::{
    Error, Result,
    history::{Exit, Stop},
    home::{SILENT_AFTER, Site},
    role::{Role, arguments},
    trace::{self, Mine, WindowCounts},
};
use crate::{
    model::ExitStatus,
    os::{
        clock::precise_now,
        peer::{Blow, Peer},
    },
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

const KILLED: ExitStatus = ExitStatus::Signal(9);
const TERMINATED: ExitStatus = ExitStatus::Signal(15);

/// A running process of the drill.
struct Player {
    process: u32,
    role: Role,
    peer: Peer,
    stopped: Option<Standing>,
    /// When it was stopped or killed.
    struck: Option<i64>,
    end_requested: bool,
}

/// A stopped process, with times in nanoseconds of the monotonic clock.
#[derive(Debug, Clone, Copy)]
struct Standing {
    from: i64,
    until: i64,
}

impl Player {
    /// A process that is stopped for long must survive, so that it can wake up and find that others have taken its
    /// work.
    fn is_spared(&self) -> bool {
        self.stopped.is_some_and(|it| it.until - it.from > nanos(SILENT_AFTER.duration()))
    }
}

pub struct Processes {
    site: Site,
    seed: u64,
    program: Option<PathBuf>,
    players: Vec<Player>,
    next: u32,
    pub exits: Vec<Exit>,
    pub stops: Vec<Stop>,
}

impl Processes {
    pub fn new(site: &Site, seed: u64, program: Option<PathBuf>) -> Processes {
        Processes {
            site: site.clone(),
            seed,
            program,
            players: Vec::new(),
            next: 1,
            exits: Vec::new(),
            stops: Vec::new(),
        }
    }

    pub fn start(&mut self, role: Role, mine: Option<Mine>) -> Result<()> {
        let process = self.next;
        self.next += 1;
        let args = arguments(role, self.site.root(), process, self.seed, mine);
        let output = self.site.output(process);
        let peer = Peer::start(self.program.as_deref(), &args, &output).map_err(Error::io("start", "a process"))?;
        self.players.push(Player { process, role, peer, stopped: None, struck: None, end_requested: false });
        Ok(())
    }

    pub fn living(&self, role: Role) -> usize {
        self.players.iter().filter(|it| it.role == role).count()
    }

    /// How many processes have been killed so far.
    pub fn kills(&self) -> usize {
        self.exits.iter().filter(|it| it.how == KILLED).count()
    }

    /// Kills the `of`th running process of a role, modulo their number.
    pub fn kill(&mut self, role: Role, of: u64) -> Result<()> {
        let Some(player) = self.nth(role, of).filter(|it| !it.is_spared()) else { return Ok(()) };
        player.struck = Some(precise_now());
        player.peer.strike(Blow::Kill).map_err(Error::io("kill", "a process"))
    }

    pub fn kill_all(&mut self, role: Role) -> Result<()> {
        (0..self.living(role) as u64).try_for_each(|of| self.kill(role, of))
    }

    /// Stops a process for a while, unless it is already stopped.
    pub fn stop(&mut self, role: Role, of: u64, time: Duration) -> Result<()> {
        let Some(player) = self.nth(role, of).filter(|it| it.stopped.is_none()) else { return Ok(()) };
        let from = precise_now();
        player.stopped = Some(Standing { from, until: from + nanos(time) });
        player.peer.strike(Blow::Stop).map_err(Error::io("stop", "a process"))
    }

    /// Continues the stopped processes that are due (or all of them), and collects those that have ended.
    pub fn tend(&mut self, wake_all: bool) -> Result<()> {
        let mut left = Vec::new();
        for mut player in std::mem::take(&mut self.players) {
            if let Some(standing) = player.stopped.filter(|it| wake_all || it.until <= precise_now()) {
                player.stopped = None;
                player.peer.strike(Blow::Continue).map_err(Error::io("continue", "a process"))?;
                self.stops.push(Stop { process: player.process, from: standing.from, until: precise_now() });
            }
            match player.peer.ended().map_err(Error::io("wait for", "a process"))? {
                None => left.push(player),
                Some(how) => self.saw_end(player, how),
            }
        }
        self.players = left;
        Ok(())
    }

    fn saw_end(&mut self, player: Player, how: ExitStatus) {
        let trace = self.site.trace(player.process);
        let seen: WindowCounts = trace::read(&trace);
        // The process installs its signal handlers before it creates its trace. Until then, it counts as not started.
        let begun = trace.exists();
        if let Some(Standing { from, .. }) = player.stopped {
            self.stops.push(Stop { process: player.process, from, until: precise_now() });
        }
        let mined = seen.died.filter(|_| how == KILLED);
        self.exits.push(Exit {
            process: player.process,
            role: player.role,
            how,
            at: mined.or(player.struck).unwrap_or_else(precise_now),
            expected: match how {
                KILLED => mined.is_some() || player.struck.is_some(),
                how => player.end_requested && (how == ExitStatus::Code(0) || (how == TERMINATED && !begun)),
            },
            windows: seen.windows(),
        });
    }

    /// Asks all processes of a role to end and waits for them. Kills those that are still running at the deadline, and
    /// returns false if there were any.
    pub fn dismiss(&mut self, role: Role, deadline: Instant) -> Result<bool> {
        self.tend(true)?;
        for player in self.players.iter_mut().filter(|it| it.role == role) {
            player.end_requested = true;
            player.peer.strike(Blow::Terminate).map_err(Error::io("end", "a process"))?;
        }
        while self.living(role) > 0 && Instant::now() < deadline {
            self.tend(true)?;
            std::thread::sleep(Duration::from_millis(5));
        }
        let all = self.living(role) == 0;
        self.kill_all(role)?;
        Ok(all)
    }

    fn nth(&mut self, role: Role, of: u64) -> Option<&mut Player> {
        let count = self.living(role) as u64;
        let at = of.checked_rem(count)?;
        self.players.iter_mut().filter(|it| it.role == role).nth(at as usize)
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    /// The end of a process that is asked to end before it handles signals.
    fn end(with_a_trace: bool) -> Exit {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::create(&dir.path().join("drill")).unwrap();
        let program = dir.path().join("slow");
        fs::write(&program, "#!/bin/sh\nexec sleep 60\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let mut processes = Processes::new(&site, 1, Some(program));
        processes.start(Role::Client, None).unwrap();
        if with_a_trace {
            fs::write(site.trace(1), "").unwrap();
        }
        assert!(processes.dismiss(Role::Client, Instant::now() + Duration::from_secs(20)).unwrap());
        assert_eq!(processes.exits.len(), 1);
        processes.exits.remove(0)
    }

    #[test]
    fn a_process_that_is_asked_to_end_before_it_began_is_no_violation() {
        let exit = end(false);
        assert_eq!((exit.how, exit.expected), (TERMINATED, true));
        let exit = end(true);
        assert_eq!((exit.how, exit.expected), (TERMINATED, false), "one that had begun must end by itself");
    }
}

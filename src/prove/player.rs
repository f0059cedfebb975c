//! The processes under test: a worker works; a client submits and logs the responses.

use super::{
    Error, Result,
    chance::Chance,
    disk_full,
    home::Site,
    log::{self, Log, Record},
    role::{Role, WORD},
    schedule,
    trace::{Mine, Trace},
    workload::Work,
};
use crate::{
    definition::{KnownKinds, parse},
    engine::{self, Engine, Submission, Worker, WorkerOptions},
    failpoint::probe,
    model::{GroupId, Kind, Millis, Scope},
    os::{signals::Signals, stderr},
    store,
};
use std::{
    collections::{BTreeMap, VecDeque},
    env,
    time::{Duration, Instant},
};

/// How many steps a worker runs at a time.
const ROOM: usize = 3;
const LOOK: Duration = Duration::from_millis(20);
/// How many of its own groups a client leaves open before it waits for them.
const OPEN: usize = 6;
const PATIENCE: Duration = Duration::from_secs(3);

/// Plays a role if this process was started for one, and returns the exit code to end with.
pub fn run_if_asked() -> Option<i32> {
    let mut words = env::args_os().skip(1);
    if words.next()? != WORD {
        return None;
    }
    let words: Vec<_> = words.collect();
    let text = |at: usize| words.get(at).and_then(|it| it.to_str());
    if text(0) == Some(disk_full::NAME) {
        return Some(exit(disk_full::NAME, 0, disk_full::play(text(1).unwrap_or_default())));
    }
    let role = [Role::Worker, Role::Client].into_iter().find(|it| text(0) == Some(it.name()));
    let number = |at: usize| text(at).and_then(|it| it.parse::<u64>().ok());
    let (Some(role), Some(root), Some(process), Some(seed)) = (role, words.get(1), number(2), number(3)) else {
        return Some(2);
    };
    let player = Player { site: Site::at(root), process: process as u32, seed };
    Some(exit(role.name(), process, player.play(role, text(4).and_then(|it| it.parse().ok()))))
}

fn exit(name: &str, process: u64, done: Result<()>) -> i32 {
    match done {
        Ok(()) => 0,
        Err(error) => {
            stderr::say(format!("{name} {process}: {}", crate::engine::with_causes(&error)));
            1
        }
    }
}

struct Player {
    site: Site,
    process: u32,
    seed: u64,
}

impl Player {
    fn play(&self, role: Role, mine: Option<Mine>) -> Result<()> {
        // The existence of the trace shows that signals are now handled.
        let signals = Signals::install().map_err(Error::io("listen for", "signals"))?;
        let path = self.site.trace(self.process);
        probe::install(Trace::create(&path, mine).map_err(Error::io("create", path))?);
        let log = self.site.log()?;
        loop {
            match self.begin(role, &log, &signals) {
                // If a process can't even start on a full disk, try again, as a service manager would. Once started, it
                // must keep running.
                Err(error) if error.is_full() && !signals.wait(LOOK) => {}
                Err(error) if error.is_full() => return Ok(()),
                done => return done,
            }
        }
    }

    fn begin(&self, role: Role, log: &Log, signals: &Signals) -> Result<()> {
        let engine = self.site.engine(self.process)?;
        let done = match role {
            Role::Worker => self.work(&engine, log, signals),
            Role::Client => self.submit(&engine, log, signals),
        };
        engine.store().close();
        done
    }

    fn write(&self, log: &Log, record: &Record) -> Result<()> {
        log.write(record).map_err(Error::io("write to", self.site.log_path()))
    }

    fn work(&self, engine: &Engine, log: &Log, signals: &Signals) -> Result<()> {
        let pools = BTreeMap::from([("*".to_string(), ROOM)]);
        let worker = Worker::start(engine, WorkerOptions { pools, scope: Scope::Everything })?;
        let mut known = None;
        while !signals.wait(LOOK) {
            // The id changes if other workers considered this one dead.
            if known.replace(worker.id()) != Some(worker.id()) {
                self.write(log, &Record::Worker { process: self.process, worker: worker.id() })?;
            }
            if let Some(what) = worker.fatal() {
                return Err(Error::Engine(engine::Error::refused(what, None)));
            }
        }
        worker.stop(Millis::seconds(10));
        Ok(())
    }

    /// Fires the schedule beside the workers. An error other than of a full disk counts as one of a submission.
    fn fire_again(&self, engine: &Engine, log: &Log) -> Result<()> {
        let Err(error) = schedule::fire_again(engine) else { return Ok(()) };
        // Another process is at the same instant.
        if matches!(error.kind(), Kind::Conflict) || error.passes() {
            return Ok(());
        }
        let error = Error::from(error);
        let (full, name) = (error.is_full(), "the schedule".to_string());
        let process = self.process;
        self.write(log, &Record::Refused { process, name, conflict: false, full, error: error.to_string() })
    }

    fn submit(&self, engine: &Engine, log: &Log, signals: &Signals) -> Result<()> {
        let mut chance = Chance::new(self.seed, 2_000_000 + u64::from(self.process));
        let mut open = VecDeque::new();
        let mut number = first_number(&log::read(&self.site.log_path())?);
        while !signals.stop_requested() {
            let client = Client { role: self, engine, log, signals };
            if let Some(group) = client.submit(number, chance.percent(10))? {
                open.push_back(group);
            }
            if chance.percent(15) {
                self.fire_again(engine, log)?;
            }
            number += 1;
            signals.wait(Duration::from_millis(chance.between(0, 40)));
            let waited = Instant::now();
            while open.len() >= OPEN && waited.elapsed() < PATIENCE && !signals.wait(LOOK) {
                open.retain(|it| matches!(engine.group_end(*it), Ok(None)));
            }
            open.truncate(4 * OPEN);
        }
        Ok(())
    }
}

/// Starts slightly before the position of earlier clients, to repeat submissions with an unknown outcome.
fn first_number(records: &[Record]) -> u64 {
    let newest = records.iter().rev().find_map(|it| match it {
        Record::Invoke { number, .. } => Some(*number),
        _ => None,
    });
    newest.map_or(0, |it| it.saturating_sub(2))
}

struct Client<'a> {
    role: &'a Player,
    engine: &'a Engine,
    log: &'a Log,
    signals: &'a Signals,
}

impl Client<'_> {
    /// Submits work until the outcome is certain. If `wrong_too`, submits once more with other content.
    fn submit(&self, number: u64, wrong_too: bool) -> Result<Option<GroupId>> {
        let work = Work::of(self.role.seed, number);
        let name = match work.keyed {
            true => format!("k{number}"),
            false => format!("c{}-{number}", self.role.process),
        };
        let begun = Instant::now();
        loop {
            let (group, again) = self.ask(number, &name, &work, false)?;
            if group.is_some() && work.keyed && wrong_too {
                self.ask(number, &name, &work, true)?;
            }
            // The client that is building the group is alive or stopped, so the key is neither free nor done.
            if !again || begun.elapsed() > PATIENCE || self.signals.wait(LOOK) {
                return Ok(group);
            }
        }
    }

    fn ask(&self, number: u64, name: &str, work: &Work, wrong: bool) -> Result<(Option<GroupId>, bool)> {
        let (process, name) = (self.role.process, name.to_string());
        let key = work.keyed.then(|| name.clone());
        let known = KnownKinds::new(self.engine.kinds().names());
        let definition = parse(work.workflow.text(), "prove", &known).map_err(engine::Error::from)?;
        let mut items = work.item_texts();
        if wrong {
            items.push(items[0].clone());
        }
        let submission = Submission {
            priority: work.priority,
            key: key.clone(),
            name: Some(name.clone()),
            directory: self.role.site.root().to_path_buf(),
            ..Submission::new(definition, items)
        };
        self.role.write(self.log, &Record::Invoke { process, number, key, name: name.clone(), wrong })?;
        let (record, group, again) = match self.engine.submit(submission) {
            Ok(done) => {
                let (group, new) = (done.group, done.new);
                (Record::Accepted { process, name, group, new }, Some(group), false)
            }
            Err(error) => {
                let busy = matches!(error, engine::Error::Refused { kind: Kind::Conflict, .. });
                let conflict = busy || matches!(error, engine::Error::Store(store::Error::Conflict { .. }));
                let error = Error::from(error);
                let full = error.is_full();
                // Whether the group exists is unknown. The submission can be repeated with its key, but not without
                // one.
                let again = busy || (full && work.keyed);
                (Record::Refused { process, name, conflict, full, error: error.to_string() }, None, again)
            }
        };
        self.role.write(self.log, &record)?;
        Ok((group, again))
    }
}

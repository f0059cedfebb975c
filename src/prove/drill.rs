//! Runs a drill from its first process to its verdict.

use super::{
    Error, Result, checker,
    fillable_disk::FillableDisk,
    gather::{gather, leftovers},
    home::Site,
    nemesis::{Act, Nemesis},
    plan::{Drill, Progress},
    processes::Processes,
    role::Role,
    schedule,
    verdict::Report,
};
use crate::{
    engine::Engine,
    model::Scope,
    os::spawn,
    store::{
        audit,
        event::{self, Cursor},
        idle, worker,
    },
};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(5);
/// How long the wall clock stays shifted.
const SHIFTED: Duration = Duration::from_millis(400);
const HOPELESS: usize = 10;
/// If no event occurs for this long, the drill is stalled.
const STALLED: Duration = Duration::from_secs(30);
const GOODBYE: Duration = Duration::from_secs(30);

/// Runs a drill, on a disk that may be filled or on one that never is.
pub(super) fn hold(
    drill: &Drill,
    site: &Site,
    mut disk: Option<FillableDisk>,
    tell: &mut dyn FnMut(Progress),
) -> Result<Report> {
    let begun = Instant::now();
    // We adopt everything that a killed worker leaves running, and can therefore find it.
    let _ = spawn::adopt_orphans();
    let mut processes = Processes::new(site, drill.seed, drill.program.clone());
    let torment = Torment { site, drill, tell };
    schedule::add(&site.engine(0)?, site.root())?;
    let shifts = torment.run(&mut processes, disk.as_mut(), begun)?;
    let tormented = begun.elapsed();
    tell(Progress::Draining);
    let undrained = drain(site, drill, &mut processes)?;
    tell(Progress::Checking);
    let fills = disk.map_or(0, |it| it.fills);
    let history = gather(site, drill.seed, processes, fills, undrained)?;
    let verdict = checker::check(&history);
    Ok(Report::new(drill, &history, verdict, shifts, tormented, begun.elapsed()))
}

struct Torment<'a> {
    site: &'a Site,
    drill: &'a Drill,
    tell: &'a mut dyn FnMut(Progress),
}

impl Torment<'_> {
    /// Keeps starting and striking processes until enough have been killed. Returns how often the clock was shifted.
    fn run(self, processes: &mut Processes, mut disk: Option<&mut FillableDisk>, begun: Instant) -> Result<usize> {
        let mut nemesis = Nemesis::new(self.drill.seed, disk.is_some());
        let clock = self.site.clock()?;
        let wrong = Error::io("shift", "the clock");
        let mut shifted: Option<(Instant, i64)> = None;
        let mut shifts = 0;
        let (gap, mut act) = nemesis.next();
        let mut due = begun + gap;
        let mut reported = 0;
        let mut last = 0;
        let on = |processes: &Processes, disk: Option<&FillableDisk>| {
            let enough = processes.kills() >= self.drill.kills && disk.is_none_or(|it| it.fills > 0);
            // If processes keep ending by themselves, there is no point in continuing; the verdict will say why.
            !enough && processes.exits.iter().filter(|it| !it.expected).count() < HOPELESS
        };
        while on(processes, disk.as_deref()) && self.drill.at_most.is_none_or(|it| begun.elapsed() < it) {
            processes.tend(false)?;
            for (role, wanted) in [(Role::Worker, self.drill.workers), (Role::Client, self.drill.clients)] {
                while processes.living(role) < wanted {
                    processes.start(role, nemesis.mine(role))?;
                }
            }
            if let Some(disk) = &mut disk {
                disk.tend().map_err(Error::io("fill", "the small disk"))?;
            }
            if let Some((_, after)) = shifted.filter(|it| it.0 <= Instant::now()) {
                shifted = None;
                last = after;
                if let Err(error) = clock.shift(after) {
                    return Err(wrong(error));
                }
            }
            if Instant::now() >= due {
                match act {
                    Act::Kill { role, of } => processes.kill(role, of)?,
                    Act::KillAllWorkers => processes.kill_all(Role::Worker)?,
                    Act::Stop { role, of, time } => processes.stop(role, of, time)?,
                    Act::Fill { time, left } => {
                        if let Some(disk) = &mut disk {
                            disk.fill(time, left).map_err(Error::io("fill", "the small disk"))?;
                        }
                    }
                    Act::Shift { by, after } => {
                        shifts += 1;
                        shifted = Some((Instant::now() + SHIFTED, after));
                        if let Err(error) = clock.shift(by) {
                            return Err(wrong(error));
                        }
                    }
                }
                let (gap, next) = nemesis.next();
                (due, act) = (Instant::now() + gap, next);
            }
            if processes.kills() > reported {
                reported = processes.kills();
                (self.tell)(Progress::Killed { done: reported, of: self.drill.kills });
            }
            std::thread::sleep(TICK);
        }
        if let Some(disk) = &mut disk {
            disk.heal().map_err(Error::io("make room on", "the small disk"))?;
        }
        let after = shifted.map_or(last, |it| it.1);
        clock.shift(after).map_err(wrong)?;
        Ok(shifts)
    }
}

/// Heals everything and lets the work finish: stopped processes continue, clients leave, and all workers run. Then a
/// last worker starts, which cleans up after the dead ones. Returns what did not end.
fn drain(site: &Site, drill: &Drill, processes: &mut Processes) -> Result<Option<String>> {
    let mut wrong = Vec::new();
    if !processes.dismiss(Role::Client, Instant::now() + GOODBYE)? {
        wrong.push("a client did not stop on request".to_string());
    }
    let engine = site.engine(0)?;
    schedule::pause(&engine)?;
    wrong.extend(wait_for_end(&engine, drill.workers, drill.patience, processes, || Ok(true))?);
    if !processes.dismiss(Role::Worker, Instant::now() + GOODBYE)? {
        wrong.push("a worker did not stop on request".to_string());
    }
    processes.tend(true)?;
    // It cleans up after it has registered.
    wrong.extend(wait_for_end(&engine, 1, GOODBYE, processes, || Ok(leftovers(site)?.is_empty()))?);
    processes.dismiss(Role::Worker, Instant::now() + GOODBYE)?;
    // The remaining ones have been killed and only need to be collected.
    while processes.living(Role::Worker) + processes.living(Role::Client) > 0 {
        processes.tend(true)?;
        std::thread::sleep(TICK);
    }
    engine.store().close();
    Ok((!wrong.is_empty()).then(|| wrong.join("; ")))
}

/// Waits, with this many workers, until nothing is left to do and `is_clean` says so. If nothing happens any more, returns what is left.
fn wait_for_end(
    engine: &Engine,
    workers: usize,
    patience: Duration,
    processes: &mut Processes,
    is_clean: impl Fn() -> Result<bool>,
) -> Result<Option<String>> {
    let begun = Instant::now();
    let mut newest = (Cursor::default(), begun);
    loop {
        processes.tend(true)?;
        while processes.living(Role::Worker) < workers {
            processes.start(Role::Worker, None)?;
        }
        let (idle, registered, cursor) = engine.store().read(|tx| {
            let idle = idle::is_idle(tx, Scope::Everything)? && audit::unsealed(tx)?.is_empty();
            Ok((idle, worker::list(tx)?.len(), event::newest(tx)?))
        })?;
        // Dead workers must disappear from the list.
        if idle && registered == workers && is_clean()? {
            return Ok(None);
        }
        if cursor != newest.0 {
            newest = (cursor, Instant::now());
        }
        if begun.elapsed() > patience || newest.1.elapsed() > STALLED {
            let open = engine.store().read(|tx| Ok(audit::groups(tx)?.iter().filter(|it| !it.ended).count()))?;
            let time = begun.elapsed().as_secs();
            return Ok(Some(format!(
                "{open} groups were open, {registered} workers registered where {workers} lived, {time} s after all was well"
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

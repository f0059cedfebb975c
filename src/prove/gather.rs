//! Builds the history of a drill from everything that the drill leaves behind.

use super::{
    Error, Result,
    history::History,
    home::Site,
    log::{self, Record},
    processes::Processes,
};
use crate::{
    engine::Engine,
    os::process_stat,
    store::{ReadTx, audit, check, event},
};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

const BATCHES: usize = 1_000;
/// How long the descendants of a killed worker may take to disappear.
const MOURNING: Duration = Duration::from_secs(5);

/// Reads everything. All processes of the drill have ended.
pub fn gather(
    site: &Site,
    seed: u64,
    processes: Processes,
    fills: usize,
    undrained: Option<String>,
) -> Result<History> {
    let orphans = orphans();
    let engine = site.engine(0)?;
    let records: Vec<Record> = log::read(&site.log_path())?;
    let read = |tx: &ReadTx| -> crate::store::Result<History> {
        let mut findings = check::integrity(tx)?;
        findings.extend(check::check(tx)?);
        let mut events = Vec::new();
        let mut cursor = event::Cursor::default();
        loop {
            let some = event::after(tx, cursor, BATCHES)?;
            let Some((last, _)) = some.last() else { break };
            cursor = *last;
            events.extend(some.into_iter().map(|it| it.1));
        }
        Ok(History {
            groups: audit::groups(tx)?,
            unsealed: audit::unsealed(tx)?,
            steps: audit::steps(tx)?,
            attempts: audit::attempts(tx)?,
            hooks: audit::hooks(tx)?,
            firings: audit::firings(tx)?,
            events,
            findings,
            ..History::default()
        })
    };
    let facts = engine.store().read(read)?;
    let (artifacts, damaged) = verify(&engine)?;
    engine.store().close();
    Ok(History {
        seed,
        records,
        exits: processes.exits,
        stops: processes.stops,
        fills,
        artifacts,
        damaged,
        leftovers: leftovers(site)?,
        orphans,
        undrained,
        ..facts
    })
}

fn verify(engine: &Engine) -> Result<(usize, Vec<String>)> {
    let rows = engine.store().read(audit::artifacts)?;
    let wrong = rows.iter().filter_map(|it| engine.artifacts().verify(it).err().map(|error| error.to_string()));
    Ok((rows.len(), wrong.collect()))
}

/// Temporary files and work directories.
pub(super) fn leftovers(site: &Site) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (dir, all) in [(site.home().join("artifacts"), false), (site.home().join("tmp"), true)] {
        for name in names(&dir)? {
            if all || name.starts_with(".tmp.") {
                found.push(dir.join(name).display().to_string());
            }
        }
    }
    Ok(found)
}

fn names(dir: &Path) -> Result<Vec<String>> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(entries.flatten().map(|it| it.file_name().to_string_lossy().into_owned()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Io { action: "list", path: dir.to_path_buf(), source }),
    }
}

/// The running descendants of this process, which adopts the children of killed processes.
fn orphans() -> Vec<String> {
    let deadline = Instant::now() + MOURNING;
    loop {
        let all = process_stat::descendants(std::process::id());
        let living: Vec<u32> = all.into_iter().filter(|it| !process_stat::is_zombie(*it)).collect();
        if living.is_empty() || Instant::now() >= deadline {
            return living.into_iter().map(|it| format!("process {it}")).collect();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

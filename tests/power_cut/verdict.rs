//! What must hold on the disk after a power cut.

use crate::support::binary::Windlass;
use serde::Deserialize;
use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use windlass::{
    artifact::{ArtifactOptions, ArtifactStore},
    model::{Bytes, Scope, StepState},
    os::SystemClock,
    store::{Options, Store, audit, check, idle, worker},
};

/// Acknowledgements by the processes of the recorded run.
#[derive(Debug, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Said {
    Accepted {
        name: String,
        group: i64,
    },
    /// A step was claimed, so the steps that it needs are completed.
    Start {
        run: i64,
        step: i64,
        token: i64,
    },
    Hook {
        group: i64,
        event: String,
    },
    #[serde(other)]
    Else,
}

pub struct Judged {
    pub acknowledged: usize,
    pub artifacts: usize,
    pub wrong: Vec<String>,
}

fn open(image: &Path) -> Result<(Store, ArtifactStore), String> {
    let home = image.join("home");
    let store = Store::open(&Options::new(home.join("engine.db")), Arc::new(SystemClock));
    let options = ArtifactOptions { reserve: Bytes(0), ..ArtifactOptions::default() };
    let artifacts = ArtifactStore::open(&home.join("artifacts"), options, "image");
    Ok((store.map_err(|it| it.to_string())?, artifacts.map_err(|it| it.to_string())?))
}

/// A: acknowledged work is there. D: every artifact row has its file. G: the database is sound.
pub fn judge(image: &Path, said: &[&Said]) -> Result<Judged, String> {
    let (store, artifacts) = open(image)?;
    let facts = store.read(|tx| {
        let mut wrong = check::integrity(tx)?;
        wrong.extend(check::check(tx)?);
        Ok((wrong, audit::groups(tx)?, audit::steps(tx)?, audit::artifacts(tx)?, audit::newest_token(tx)?))
    });
    store.close();
    let (mut wrong, groups, steps, rows, tokens) = facts.map_err(|it| it.to_string())?;
    let names: HashMap<i64, &str> = groups.iter().map(|it| (it.id.0, it.name.as_str())).collect();
    let ended: HashSet<i64> = groups.iter().filter(|it| it.ended).map(|it| it.id.0).collect();
    let first: HashMap<i64, (i64, StepState)> =
        steps.iter().filter(|it| it.no == 0).map(|it| (it.run.0, (it.id.0, it.state))).collect();
    let mut acknowledged = 0;
    for it in said {
        match it {
            Said::Accepted { name, group } => {
                acknowledged += 1;
                if names.get(group) != Some(&name.as_str()) {
                    wrong.push(format!("g{group} was acknowledged for {name} and is {:?}", names.get(group)));
                }
            }
            Said::Start { run, step, token } => {
                acknowledged += 1;
                if *token > tokens.0 {
                    wrong.push(format!("lease {token} was given out, and the next would be {}", tokens.0 + 1));
                }
                match first.get(run) {
                    Some((one, state)) if one != step && *state != StepState::Completed => {
                        wrong.push(format!("s{step} ran after s{one}, which is {} now", state.words()));
                    }
                    Some(_) => {}
                    None => wrong.push(format!("r{run} ran and is gone")),
                }
            }
            Said::Hook { group, event } if event == "group_end" && !ended.contains(group) => {
                wrong.push(format!("g{group} ended, its hook ran, and it is open"));
            }
            _ => {}
        }
    }
    wrong.extend(rows.iter().filter_map(|it| artifacts.verify(it).err()).map(|it| it.to_string()));
    Ok(Judged { acknowledged, artifacts: rows.len(), wrong })
}

/// Lets a worker continue from the image until no work is left. Returns the problems in words.
pub fn resume(image: &Path) -> Vec<String> {
    for name in ["trace", "out"] {
        fs::create_dir_all(image.join(name)).unwrap();
    }
    let mut command = Windlass::bare();
    command.args(["__prove", "worker"]).arg(image).args(["99", "11"]).stdout(Stdio::null());
    let mut process = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut wrong = Vec::new();
    let (store, artifacts) = open(image).unwrap();
    loop {
        let idle = store.read(|tx| {
            let alone = worker::list(tx)?.len() == 1;
            Ok(alone && idle::is_idle(tx, Scope::Everything)? && audit::unsealed(tx)?.is_empty())
        });
        match idle {
            Ok(true) => break,
            Ok(false) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Ok(false) => wrong.push("the work does not end".into()),
            Err(error) => wrong.push(format!("the work can't be looked at: {error}")),
        }
        if !wrong.is_empty() || process.try_wait().unwrap().is_some() {
            wrong.push("the worker has ended".into());
            break;
        }
    }
    let _ = Command::new("kill").arg(process.id().to_string()).status();
    let _ = process.wait();
    let facts = store.read(|tx| {
        let mut wrong = check::integrity(tx)?;
        wrong.extend(check::check(tx)?);
        Ok((wrong, audit::groups(tx)?, audit::artifacts(tx)?))
    });
    store.close();
    match facts {
        Err(error) => wrong.push(error.to_string()),
        Ok((found, groups, rows)) => {
            wrong.extend(found);
            wrong.extend(groups.iter().filter(|it| !it.ended).map(|it| format!("{} has not ended", it.id)));
            wrong.extend(rows.iter().filter_map(|it| artifacts.verify(it).err()).map(|it| it.to_string()));
        }
    }
    let left = fs::read_dir(image.join("home/artifacts")).into_iter().flatten().flatten();
    let left = left.filter(|it| it.file_name().to_string_lossy().starts_with(".tmp."));
    wrong.extend(left.map(|it| format!("{} is left over", it.path().display())));
    wrong
}

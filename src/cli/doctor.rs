use super::{
    context::Context,
    database,
    failure::{Exit, Failure, Result},
    paint::Paint,
    suggestion,
    wording::{count, plain, quoted, size},
};
use crate::{
    definition::is_as_stored,
    os::{file_system, process_stat},
    store::{artifact, audit, check, definition as stored_definition, lost_commits, worker},
    vector::{OpenOptions, VectorDb},
    view,
};
use serde::Serialize;

/// Check the database, artifacts, vector databases, disk and settings, and suggest repairs
///
/// Reads everything; changes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// One checked item. `problems` is empty if there are none.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    problems: Vec<String>,
    remedy: Option<String>,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let mut findings = vec![home(cx)?, engine_database(cx)?, files(cx)?, disk(cx)?, workers(cx)?];
        for named in database::all(cx)? {
            findings.push(vector_database(&named));
        }
        let sick = findings.iter().filter(|it| !it.problems.is_empty()).count();
        if cx.output.json {
            cx.output.document(&serde_json::json!({"sound": sick == 0, "findings": findings}))?;
        } else {
            findings.iter().try_for_each(|it| tell(cx, it))?;
        }
        match sick {
            0 => Ok(()),
            _ => Err(Failure::new(
                Exit::Error,
                format!("{} of {} found problems", sick, count(findings.len() as u64, "check")),
            )),
        }
    }
}

fn tell(cx: &Context, finding: &Finding) -> Result<()> {
    let out = &cx.output;
    if finding.problems.is_empty() {
        return out.line(format!("{}  {}", out.paint(Paint::Good, "ok  "), finding.what));
    }
    out.line(format!("{}  {}", out.paint(Paint::Bad, "sick"), finding.what))?;
    for problem in &finding.problems {
        out.line(format!("        {}", plain(problem)))?;
    }
    match &finding.remedy {
        Some(remedy) => out.advice(format!("        {}", out.paint(Paint::Bold, &suggestion::command(remedy)))),
        None => Ok(()),
    }
}

fn home(cx: &Context) -> Result<Finding> {
    let settings = cx.settings()?;
    let mut problems = Vec::new();
    for dir in [&settings.home, &settings.artifact_dir()] {
        problems.extend(file_system::refuse_network_file_system(dir).err().map(|it| it.to_string()));
    }
    for (name, meant) in &settings.unknown_variables {
        let meant = meant.as_ref().map(|it| format!("; did you mean {it}?")).unwrap_or_default();
        problems.push(format!("unknown variable {name}{meant}"));
    }
    let what = format!("home {} and its settings", settings.home.display());
    Ok(Finding { what, problems, remedy: Some("windlass settings".to_string()) })
}

fn engine_database(cx: &Context) -> Result<Finding> {
    let store = cx.store()?;
    let mut problems = store.read(check::integrity)?;
    problems.extend(store.read(check::check)?);
    problems.extend(
        lost_commits::reports(store.path()).iter().map(|(dir, lost)| view::lost_commits_words(dir, lost.as_ref())),
    );
    let changed = store.read(stored_definition::all)?.into_iter().filter(|it| !is_as_stored(&it.body, &it.hash));
    problems.extend(
        changed.map(|it| format!("definition {} was changed after it was submitted: its hash differs", it.id.0)),
    );
    let rows: i64 = store.read(check::row_counts)?.iter().map(|it| it.1).sum();
    let bytes = std::fs::metadata(store.path()).map_or(0, |it| it.len());
    let what = format!("engine database: {}, {}", size(bytes), count(rows.max(0) as u64, "row"));
    Ok(Finding { what, problems, remedy: Some("keep a copy of the home directory, then restore a backup".to_string()) })
}

fn files(cx: &Context) -> Result<Finding> {
    let engine = cx.engine()?;
    let (number, plain_bytes, stored) = engine.store().read(artifact::totals)?;
    let mut problems: Vec<String> = engine.artifacts().free().err().map(|it| it.to_string()).into_iter().collect();
    let known = engine.store().read(audit::artifacts)?;
    let gone: Vec<_> = known.iter().filter(|it| !engine.artifacts().contains(&it.hash)).collect();
    if let Some(first) = gone.first() {
        let gone = count(gone.len() as u64, "artifact");
        problems.push(format!("{gone} missing, the first is {}", first.hash));
    }
    let what = format!(
        "{}: {} in {} on disk",
        count(number.max(0) as u64, "artifact"),
        size(plain_bytes.max(0) as u64),
        size(stored.max(0) as u64)
    );
    Ok(Finding { what, problems, remedy: Some("check the disk and the owner of the directory".to_string()) })
}

fn disk(cx: &Context) -> Result<Finding> {
    let room = cx.engine()?.disk();
    let free = room.free;
    let reserve = cx.settings()?.disk_reserve;
    let low = (!room.enough).then(|| format!("{free} free, less than the reserve of {reserve}: no step starts"));
    let what = format!("disk of {}: {free} free, {reserve} reserved", room.dir.display());
    Ok(Finding {
        what,
        problems: low.into_iter().collect(),
        remedy: Some("free some space, or lower `disk_reserve`".to_string()),
    })
}

fn workers(cx: &Context) -> Result<Finding> {
    let rows = cx.store()?.read(worker::list)?;
    let dead = rows.iter().filter(|it| !process_stat::is_alive(&it.identity));
    let problems: Vec<String> = dead
        .map(|it| {
            format!(
                "worker {} (process {}) is dead and holds {}",
                it.id,
                it.identity.pid,
                count(it.running.max(0) as u64, "step")
            )
        })
        .collect();
    let what = count(rows.len() as u64, "registered worker");
    Ok(Finding { what, problems, remedy: Some("windlass worker --until-idle".to_string()) })
}

fn vector_database(named: &crate::view::Named) -> Finding {
    let what = format!("vector database `{}`", named.name);
    let remedy = Some(format!("windlass db check {} --repair", quoted(&named.name)));
    let problems = match VectorDb::open(&named.path, &OpenOptions::default()).and_then(|it| it.check()) {
        Err(error) => vec![error.to_string()],
        Ok(report) => super::db::problems_of(&report),
    };
    Finding { what, problems, remedy }
}

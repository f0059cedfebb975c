use super::{
    context::Context,
    failure::Result,
    name::Name,
    output::Paint,
    show::show_attempt,
    table::status_paint,
    why_reasons::{Reason, Seen, reasons},
    wording::plain,
    work::item_name,
};
use crate::{
    model::{GroupId, RunId, Status, StepId},
    store::{
        attempt,
        overview::{self, RunFilter, Why},
    },
};

/// Tell why a step does not run, or why it failed, and what would change that
///
/// For a group or a run: its steps that hold it up.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Such as s56, r34 or g12
    #[arg(value_name = "ID")]
    id: Name,
}

/// Steps that are told of at most.
const STEPS: usize = 5;

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let steps = match self.id {
            Name::Step(id) => vec![id],
            Name::Run(id) => of_run(cx, id)?,
            Name::Group(id) => of_group(cx, id)?,
            Name::Worker(_) => return Err(self.id.refused("explain", "ask for a step, a run or a group")),
        };
        let store = cx.store()?;
        let mut documents = Vec::new();
        for &id in steps.iter().take(STEPS) {
            let why = store.read(|tx| overview::why(tx, id))?;
            let seen = Seen { now: cx.now(), disk_low: !cx.engine()?.disk().1 };
            let reasons = reasons(&why, &seen);
            match cx.output.json {
                true => documents.push(serde_json::json!({"facts": why, "reasons": reasons})),
                false => tell(cx, &why, &reasons)?,
            }
        }
        if cx.output.json {
            return cx.output.document(&serde_json::json!({"steps": documents, "more": steps.len() > STEPS}));
        }
        if steps.is_empty() {
            cx.output.line(format!("nothing holds {} up: see `windlass show {0}`", self.id))?;
        }
        if steps.len() > STEPS {
            cx.output.note("and more steps like these");
        }
        Ok(())
    }
}

fn of_run(cx: &Context, id: RunId) -> Result<Vec<StepId>> {
    let details = cx.store()?.read(|tx| overview::show_run(tx, id))?;
    // What comes after the first step that is not done only waits for it.
    let failed = details.steps.iter().filter(|it| it.status == Status::Failed).map(|it| it.id);
    let failed: Vec<StepId> = failed.collect();
    if !failed.is_empty() {
        return Ok(failed);
    }
    Ok(details.steps.iter().find(|it| it.status != Status::Completed).map(|it| it.id).into_iter().collect())
}

fn of_group(cx: &Context, id: GroupId) -> Result<Vec<StepId>> {
    let store = cx.store()?;
    let failures = store.read(|tx| {
        crate::store::group::detail(tx, id)?;
        overview::failures(tx, id, None, STEPS + 1)
    })?;
    if !failures.is_empty() {
        return Ok(failures.into_iter().map(|it| it.step).collect());
    }
    let mut found = Vec::new();
    for status in [Status::Running, Status::Error, Status::Pending, Status::Cancelled] {
        let filter = RunFilter { status: Some(status), after: None, limit: STEPS + 1 - found.len() };
        for run in store.read(|tx| overview::runs(tx, id, &filter))? {
            found.extend(of_run(cx, run.id)?);
        }
        if found.len() > STEPS {
            break;
        }
    }
    Ok(found)
}

fn tell(cx: &Context, why: &Why, reasons: &[Reason]) -> Result<()> {
    let (out, step) = (&cx.output, &why.step);
    let status = out.paint(status_paint(step.status), step.status.name());
    out.line(format!("{} {status}  {} of {} of {}", step.id, plain(&step.name), why.run, why.group))?;
    let item = cx.store()?.read(|tx| overview::show_step(tx, step.id))?.item;
    if !item.is_empty() {
        out.line(format!("  item       {}", plain(&item_name(&item))))?;
    }
    for reason in reasons {
        out.line(format!("  {}", plain(&reason.text)))?;
        if let Some(command) = &reason.command {
            out.line(format!("    {}", out.paint(Paint::Bold, command)))?;
        }
    }
    if step.status == Status::Failed || step.status == Status::Error {
        for attempt in cx.store()?.read(|tx| attempt::of_step(tx, step.id))? {
            show_attempt(cx, &attempt)?;
        }
    }
    Ok(())
}

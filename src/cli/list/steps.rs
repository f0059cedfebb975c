use super::{Page, runs::group_or_newest};
use crate::{
    cli::{
        context::Context,
        failure::Result,
        table::{Cell, Table},
        wording::{duration, relative},
        work::item_name,
    },
    model::{GroupId, RunId, Status, Timestamp},
    store::overview::{self, RunFilter, StepRow},
};

/// Steps of a run or of a group
#[derive(Debug, clap::Args)]
pub struct Steps {
    #[command(flatten)]
    page: Page,
    /// Only steps of this run
    #[arg(long, value_name = "RUN", conflicts_with = "group")]
    run: Option<RunId>,
    /// Only steps of this group [default: the newest]
    #[arg(long, value_name = "GROUP")]
    group: Option<GroupId>,
    /// Only steps of this type
    #[arg(long = "type", value_name = "TYPE")]
    step_type: Option<String>,
    /// Only runs behind this one: where the last page ended
    #[arg(long, value_name = "RUN")]
    after: Option<RunId>,
}

/// Runs that are read at once.
const RUNS: usize = 200;

struct Found {
    run: RunId,
    item: String,
    step: StepRow,
}

impl Steps {
    pub fn run(self, cx: &Context) -> Result<()> {
        let (rows, next) = self.find(cx)?;
        if cx.output.json {
            let all: Vec<_> = rows.iter().map(as_json).collect();
            return cx.output.document(&serde_json::json!({"steps": all, "next": next}));
        }
        if rows.is_empty() {
            cx.output.note("no such step; `windlass list groups` shows what there is");
            return Ok(());
        }
        let now = cx.now();
        let mut table = Table::new(&["STEP", "STATUS", "TYPE", ">TRIES", "STARTED", ">TOOK", "~ITEM", "~ERROR"]);
        for Found { run, item, step } in &rows {
            let item = if item.is_empty() { run.to_string() } else { item_name(item) };
            table.row([
                step.id.to_string().into(),
                Cell::status(step.status),
                step.step_type.as_str().into(),
                step.attempts.to_string().into(),
                step.started.map(|it| relative(it, now)).unwrap_or_default().into(),
                took(step, now).into(),
                item.into(),
                step.error.as_deref().unwrap_or("").into(),
            ]);
        }
        cx.output.table(&table)?;
        if let Some(next) = next {
            cx.output.note(format!("more: the same with `--after {next}`"));
        }
        Ok(())
    }

    fn wants(&self, step: &StepRow) -> bool {
        self.page.status.is_none_or(|it| it == step.status)
            && self.step_type.as_ref().is_none_or(|it| *it == step.step_type)
    }

    /// The steps that are wanted, run by run, and the last run that was looked at when there are more.
    fn find(&self, cx: &Context) -> Result<(Vec<Found>, Option<RunId>)> {
        let store = cx.store()?;
        if let Some(run) = self.run {
            let details = store.read(|tx| overview::show_run(tx, run))?;
            let item = details.run.item;
            let steps = details.steps.into_iter().filter(|it| self.wants(it));
            return Ok((steps.map(|step| Found { run, item: item.clone(), step }).collect(), None));
        }
        let group = group_or_newest(cx, self.group)?;
        // A run with a failed step has failed once it has ended, so others need not be looked at.
        let status = self.page.status.filter(|it| matches!(it, Status::Running));
        let mut filter = RunFilter { status, after: self.after, limit: RUNS };
        let mut found = Vec::new();
        let mut last = None;
        loop {
            let runs = store.read(|tx| overview::runs(tx, group, &filter))?;
            for run in &runs {
                let steps = store.read(|tx| overview::show_run(tx, run.id))?.steps;
                let wanted: Vec<StepRow> = steps.into_iter().filter(|it| self.wants(it)).collect();
                // A page ends between runs, so that the next one can begin behind a run.
                if !found.is_empty() && found.len() + wanted.len() > self.page.limit {
                    return Ok((found, last));
                }
                found.extend(wanted.into_iter().map(|step| Found { run: run.id, item: run.item.clone(), step }));
                last = Some(run.id);
            }
            match runs.last().filter(|_| runs.len() == RUNS) {
                Some(last) => filter.after = Some(last.id),
                None => return Ok((found, None)),
            }
        }
    }
}

/// How long the newest attempt took, or takes.
pub fn took(step: &StepRow, now: Timestamp) -> String {
    match (step.started, step.ended) {
        (Some(started), Some(ended)) => duration(ended.since(started)),
        (Some(started), None) if step.status == Status::Running => duration(now.since(started)),
        _ => String::new(),
    }
}

fn as_json(found: &Found) -> serde_json::Value {
    let mut value = serde_json::to_value(&found.step).unwrap_or_default();
    value["run"] = found.run.0.into();
    value["item"] = found.item.as_str().into();
    value
}

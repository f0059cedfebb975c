use super::page::{Page, lower};
use crate::{
    cli::{
        context::Context,
        failure::Result,
        table::{Cell, Table},
        wording::duration,
        work::item_name,
    },
    model::{GroupId, RunId, Status, Timestamp},
    store::read::{self, RunDetails, StepRow},
    view::{self, ListedStep, StepFilter, StepList},
};
use clap_complete::engine::ArgValueCompleter;

/// Steps of a run or of a group
#[derive(Debug, clap::Args)]
pub struct Steps {
    #[command(flatten)]
    page: Page,
    /// Only steps of this run
    #[arg(long, value_name = "RUN", add = ArgValueCompleter::new(crate::cli::complete::runs), conflicts_with = "group")]
    run: Option<RunId>,
    /// Only steps of this group [default: the newest]
    #[arg(long, value_name = "GROUP", add = ArgValueCompleter::new(crate::cli::complete::groups))]
    group: Option<GroupId>,
    /// Only steps of this type
    #[arg(long = "type", value_name = "TYPE", add = ArgValueCompleter::new(crate::cli::complete::step_types))]
    step_type: Option<String>,
    /// Only runs after this one, the last of the previous page
    #[arg(long, value_name = "RUN", add = ArgValueCompleter::new(crate::cli::complete::runs))]
    after: Option<RunId>,
}

impl Steps {
    pub fn run(self, cx: &Context) -> Result<()> {
        let found = self.find(cx)?;
        if cx.output.json {
            return cx.output.document(&found);
        }
        let StepList { steps: rows, next } = found;
        if rows.is_empty() {
            let status = self.page.status.map(lower).unwrap_or_default();
            let place = match self.run {
                Some(run) => run.to_string(),
                None => view::group_or_newest(cx.store()?, self.group)?.to_string(),
            };
            cx.output.note(format!("no {status}steps in {place}"));
            return Ok(());
        }
        let now = cx.now();
        let mut table = Table::new(&["STEP", "STATUS", "~TYPE", "?>TRIES", "?STARTED", "?>TOOK", "~ITEM", "~ERROR"]);
        for ListedStep { run, item, step } in &rows {
            let item = if item.is_empty() { run.to_string() } else { item_name(item) };
            table.row([
                step.id.to_string().into(),
                Cell::status(step.status),
                step.step_type.as_str().into(),
                step.attempts.to_string().into(),
                step.started.map(|it| cx.when(it)).unwrap_or_default().into(),
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

    /// The matching steps, run by run. If there are more, also the last run that was read.
    fn find(&self, cx: &Context) -> Result<StepList> {
        let wanted = StepFilter {
            status: self.page.status,
            step_type: self.step_type.clone(),
            after: self.after,
            limit: self.page.limit,
        };
        let store = cx.store()?;
        let Some(run) = self.run else {
            return Ok(view::steps(store, view::group_or_newest(store, self.group)?, &wanted)?);
        };
        let RunDetails { run: row, steps, .. } = store.read(|tx| read::show_run(tx, run))?;
        let steps = steps.into_iter().filter(|it| wanted.wants(it));
        let steps = steps.map(|step| ListedStep { step, run, item: row.item.clone() }).collect();
        Ok(StepList { steps, next: None })
    }
}

/// The duration of the newest attempt, so far or in total.
pub fn took(step: &StepRow, now: Timestamp) -> String {
    match (step.started, step.ended) {
        (Some(started), Some(ended)) => duration(ended.since(started)),
        (Some(started), None) if step.status == Status::Running => duration(now.since(started)),
        _ => String::new(),
    }
}

use super::page::{Page, lower};
use crate::{
    cli::{
        context::Context,
        failure::Result,
        table::{Cell, Table},
        work::item_name,
    },
    model::{GroupId, RunId},
    store::read::RunFilter,
    view::{self, RunList},
};
use clap_complete::engine::ArgValueCompleter;

/// Runs of a group, in the order of submission
#[derive(Debug, clap::Args)]
pub struct Runs {
    #[command(flatten)]
    page: Page,
    /// The group [default: the newest]
    #[arg(long, value_name = "GROUP", add = ArgValueCompleter::new(crate::cli::complete::groups))]
    group: Option<GroupId>,
    /// Only runs after this one, the last of the previous page
    #[arg(long, value_name = "RUN", add = ArgValueCompleter::new(crate::cli::complete::runs))]
    after: Option<RunId>,
}

impl Runs {
    pub fn run(self, cx: &Context) -> Result<()> {
        let Page { status, limit } = self.page;
        let group = view::group_or_newest(cx.store()?, self.group)?;
        let filter = RunFilter { status, after: self.after, limit };
        let found = view::runs(cx.store()?, group, &filter)?;
        if cx.output.json {
            return cx.output.document(&found);
        }
        let RunList { runs: rows, next, .. } = found;
        if rows.is_empty() {
            let status = status.map(lower).unwrap_or_default();
            cx.output.note(format!("no {status}runs in {group}"));
            return Ok(());
        }
        let mut table = Table::new(&["RUN", "STATUS", "?>STEPS", "?ENDED", "~ITEM", "~WHY"]);
        for it in &rows {
            let ended = it.ended.map(|it| cx.when(it)).unwrap_or_default();
            // `1/3` while it is running.
            let steps = it.steps_done.map_or(it.step_count.to_string(), |done| format!("{done}/{}", it.step_count));
            let why = it.reason.as_deref().or(it.remark.as_deref()).unwrap_or("");
            table.row([
                it.id.to_string().into(),
                Cell::status(it.status),
                steps.into(),
                ended.into(),
                item_name(&it.item).into(),
                why.into(),
            ]);
        }
        cx.output.table(&table)?;
        if let Some(next) = next {
            cx.output.note(format!("more: `windlass list runs --group {group} --after {next}`"));
        }
        Ok(())
    }
}

use super::Page;
use crate::{
    cli::{
        context::Context,
        failure::Result,
        table::{Cell, Table},
        wording::{plain, relative},
        work::item_name,
    },
    model::{GroupId, RunId},
    store::overview::RunFilter,
    view::{self, RunList},
};

/// Runs of a group, in the order of submission
#[derive(Debug, clap::Args)]
pub struct Runs {
    #[command(flatten)]
    page: Page,
    /// The group [default: the newest]
    #[arg(long, value_name = "GROUP")]
    group: Option<GroupId>,
    /// Only runs behind this one: where the last page ended
    #[arg(long, value_name = "RUN")]
    after: Option<RunId>,
}

impl Runs {
    pub fn run(self, cx: &Context) -> Result<()> {
        let Page { status, limit } = self.page;
        let group = group_or_newest(cx, self.group)?;
        let filter = RunFilter { status, after: self.after, limit };
        let found = view::runs(cx.store()?, group, &filter)?;
        if cx.output.json {
            return cx.output.document(&found);
        }
        let RunList { runs: rows, next, .. } = found;
        if rows.is_empty() {
            cx.output.note(format!("no such run in {group}"));
            return Ok(());
        }
        let now = cx.now();
        let mut table = Table::new(&["RUN", "STATUS", "ENDED", "~ITEM", "REMARK"]);
        for it in &rows {
            let ended = it.ended.map(|it| relative(it, now)).unwrap_or_default();
            table.row([
                it.id.to_string().into(),
                Cell::status(it.status),
                ended.into(),
                item_name(&it.item).into(),
                it.remark.as_deref().map(plain).unwrap_or_default().into(),
            ]);
        }
        cx.output.table(&table)?;
        if let Some(next) = next {
            cx.output.note(format!("more: `windlass list runs --group {group} --after {next}`"));
        }
        Ok(())
    }
}

/// The group that was asked for, else the newest.
pub fn group_or_newest(cx: &Context, asked: Option<GroupId>) -> Result<GroupId> {
    match asked {
        Some(group) => Ok(group),
        None => Ok(view::newest_group(cx.store()?)?),
    }
}

use super::Page;
use crate::{
    cli::{
        context::Context,
        failure::Result,
        table::{Cell, Table},
        wording::{duration, number_of, relative},
    },
    model::GroupId,
    store::overview::GroupFilter,
    view::{self, GroupList},
};

/// Groups, newest first
#[derive(Debug, clap::Args)]
pub struct Groups {
    #[command(flatten)]
    page: Page,
    /// Only groups older than this one: where the last page ended
    #[arg(long, value_name = "GROUP")]
    before: Option<GroupId>,
}

impl Groups {
    pub fn run(self, cx: &Context) -> Result<()> {
        let Page { status, limit } = self.page;
        let filter = GroupFilter { status, before: self.before, limit };
        let found = view::groups(cx.store()?, &filter)?;
        if cx.output.json {
            return cx.output.document(&found);
        }
        let GroupList { groups: rows, next } = found;
        if rows.is_empty() {
            cx.output.note("no such group; make one with `windlass ingest PATH` or `windlass run FILE`");
            return Ok(());
        }
        let now = cx.now();
        let mut table = Table::new(&["GROUP", "STATUS", ">RUNS", ">FAILED", "CREATED", ">TOOK", "~NAME"]);
        for it in &rows {
            let took = duration(it.ended.unwrap_or(now).since(it.created));
            let name = match (it.paused, it.cancelling) {
                (true, _) => format!("{} (paused)", it.name),
                (_, true) => format!("{} (being cancelled)", it.name),
                _ => it.name.clone(),
            };
            table.row([
                it.id.to_string().into(),
                Cell::status(it.status),
                runs(it.ended_runs, it.runs).into(),
                if it.failed > 0 { number_of(it.failed as u64) } else { String::new() }.into(),
                relative(it.created, now).into(),
                took.into(),
                name.into(),
            ]);
        }
        cx.output.table(&table)?;
        if let Some(next) = next {
            cx.output.note(format!("more: `windlass list groups --before {next}`"));
        }
        Ok(())
    }
}

fn runs(ended: i64, all: i64) -> String {
    match ended == all {
        true => number_of(all.max(0) as u64),
        false => format!("{}/{}", number_of(ended.max(0) as u64), number_of(all.max(0) as u64)),
    }
}

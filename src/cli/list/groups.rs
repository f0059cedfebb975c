use super::page::Page;
use crate::{
    cli::{
        context::Context,
        failure::Result,
        table::{Cell, Table},
        wording::{duration, number_of},
    },
    model::GroupId,
    store::read::{Below, GroupFilter},
    view::{self, GroupList, ListedGroup, words::status_of_group},
};
use clap_complete::engine::ArgValueCompleter;

/// Groups, newest first
#[derive(Debug, clap::Args)]
pub struct Groups {
    #[command(flatten)]
    page: Page,
    /// Only groups older than this one, the last of the previous page
    #[arg(long, value_name = "GROUP", add = ArgValueCompleter::new(crate::cli::complete::groups))]
    before: Option<GroupId>,
    /// Only groups that steps of this group started
    #[arg(long, value_name = "GROUP", conflicts_with = "all", add = ArgValueCompleter::new(crate::cli::complete::groups))]
    of: Option<GroupId>,
    /// Also groups that steps of other groups started
    #[arg(long)]
    all: bool,
}

impl Groups {
    fn below(&self) -> Below {
        match (self.of, self.all) {
            (Some(group), _) => Below::Of(group),
            (None, true) => Below::All,
            (None, false) => Below::Nothing,
        }
    }

    pub fn run(self, cx: &Context) -> Result<()> {
        let Page { status, limit } = self.page;
        let filter = GroupFilter { status, before: self.before, limit, below: self.below() };
        let found = view::groups(cx.store()?, &filter)?;
        if cx.output.json {
            return cx.output.document(&found);
        }
        let GroupList { groups: rows, next } = found;
        if rows.is_empty() {
            if let Below::Of(group) = filter.below {
                cx.output.note(format!("no step of {group} started such a group"));
                return Ok(());
            }
            let is_all = filter.status.is_none() && filter.before.is_none();
            let found = if is_all { "no groups yet; make one" } else { "no such group; make one" };
            cx.output.note(format!("{found} with `windlass ingest PATH` or `windlass run FILE`"));
            return Ok(());
        }
        let now = cx.now();
        let mut table = Table::new(&["GROUP", "STATUS", ">RUNS", ">FAILED", "?CREATED", "?>TOOK", "~NAME"]);
        for ListedGroup { row: it, waits, .. } in &rows {
            let took = duration(it.ended.unwrap_or(now).since(it.created));
            let name = named(&it.name, waits.as_deref());
            table.row([
                it.id.to_string().into(),
                Cell::status(status_of_group(it, waits.as_deref())),
                runs(it.ended_runs, it.runs).into(),
                if it.failed > 0 { number_of(it.failed as u64) } else { String::new() }.into(),
                cx.when(it.created).into(),
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

/// The name comes first, because a narrow terminal cuts the end.
pub fn named(name: &str, waits: Option<&str>) -> String {
    match waits {
        Some(waits) => format!("{name} ({waits})"),
        None => name.to_string(),
    }
}

fn runs(ended: i64, all: i64) -> String {
    match ended == all {
        true => number_of(all.max(0) as u64),
        false => format!("{}/{}", number_of(ended.max(0) as u64), number_of(all.max(0) as u64)),
    }
}

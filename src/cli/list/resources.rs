use crate::{
    cli::{
        context::Context,
        failure::Result,
        table::{Cell, Table},
        wording::{count, number_of},
    },
    model::{ResourceKind, units_text},
    store::read::ResourceRow,
    view,
};

/// Counted resources and rates: what is in use, by which steps, and how many wait
#[derive(Debug, clap::Args)]
pub struct Resources {
    /// Maximum number to list
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

impl Resources {
    pub fn run(&self, cx: &Context) -> Result<()> {
        let list = view::resources(cx.store()?, None, self.limit)?;
        if cx.output.json {
            return cx.output.document(&list);
        }
        if list.resources.is_empty() {
            cx.output.note("no step takes resources; see `resources:` in docs/workflows.md");
            return Ok(());
        }
        cx.output.table(&resource_table(cx, &list.resources))?;
        if list.more {
            cx.output.note("there are more: `--limit` shows them");
        }
        Ok(())
    }
}

/// A line for each resource and rate.
pub fn resource_table(cx: &Context, rows: &[ResourceRow]) -> Table {
    let mut table = Table::new(&["RESOURCE", "IN USE", ">WAITING", "?FIRST", "~HELD BY"]);
    for row in rows {
        table.row([
            Cell::from(row.name.clone()),
            in_use(cx, row).into(),
            number_of(row.waiting.unsigned_abs()).into(),
            row.first.map(|it| it.to_string()).unwrap_or_default().into(),
            holders(row).into(),
        ]);
    }
    table
}

fn in_use(cx: &Context, row: &ResourceRow) -> String {
    match (row.kind, row.next) {
        (ResourceKind::Counted, _) => {
            format!("{} of {}", units_text(&row.name, row.held), units_text(&row.name, row.capacity))
        }
        (ResourceKind::Rate, Some(next)) => format!("rate, next start {}", cx.when(next)),
        (ResourceKind::Rate, None) => "rate".to_string(),
    }
}

fn holders(row: &ResourceRow) -> String {
    let shown: Vec<String> = row.holders.iter().take(5).map(|it| it.step.to_string()).collect();
    match row.holders.len().saturating_sub(5) {
        0 => shown.join(" "),
        more => format!("{} and {}", shown.join(" "), count(more as u64, "other")),
    }
}

use crate::{
    cli::{
        context::Context,
        failure::Result,
        paint::Paint,
        table::{Cell, Table},
        wording::size,
    },
    store::worker::WorkerRow,
    view::{self, WorkerView},
};

pub fn list(cx: &Context) -> Result<()> {
    let all = view::workers(cx.store()?)?;
    if cx.output.json {
        return cx.output.document(&all);
    }
    let rows = all.workers;
    if rows.is_empty() {
        cx.output.note("no worker is running; start one with `windlass worker`");
        return Ok(());
    }
    cx.output.table(&table(cx, &rows))?;
    match processes(&rows) {
        Some(table) => cx.output.table(&table),
        None => Ok(()),
    }
}

/// The long-lived processes of all workers, as last reported; None if there are none.
fn processes(rows: &[WorkerView]) -> Option<Table> {
    let mut table =
        Table::new(&["WORKER", "PROCESS", "?>PID", "STATE", "?>AGE", ">MEMORY", "?>FILES", "?>UNITS", "~REPLACED"]);
    let all = rows
        .iter()
        .flat_map(|WorkerView { row, .. }| row.processes.as_array().into_iter().flatten().map(move |it| (row.id, it)));
    let mut any = false;
    for (worker, it) in all {
        let text = |key: &str| match &it[key] {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => "-".to_string(),
            other => other.to_string(),
        };
        let state = if it["busy"] == true { "busy" } else { "idle" };
        let memory = it["rss_bytes"].as_u64().map_or("-".to_string(), size);
        let columns =
            [text("pool"), text("pid"), state.to_string(), text("age"), memory, text("open_fds"), text("units")];
        let cells = std::iter::once(worker.to_string()).chain(columns).chain([text("last_recycle")]);
        table.row(cells.map(Cell::from).collect::<Vec<_>>());
        any = true;
    }
    any.then_some(table)
}

pub fn table(cx: &Context, rows: &[WorkerView]) -> Table {
    let mut table = Table::new(&["WORKER", "STATE", "?>PID", ">RUNNING", "?SINCE", "~POOLS"]);
    for WorkerView { row: it, alive } in rows {
        let state = match alive {
            true => Cell::painted("alive", Paint::Good),
            false => Cell::painted("dead", Paint::Bad),
        };
        table.row([
            it.id.to_string().into(),
            state,
            it.identity.pid.to_string().into(),
            it.running.to_string().into(),
            cx.when(it.registered).into(),
            pools(it).into(),
        ]);
    }
    table
}

fn pools(row: &WorkerRow) -> String {
    let pools = row.pools.as_object().into_iter().flatten();
    pools.map(|(name, size)| format!("{name}={size}")).collect::<Vec<_>>().join(" ")
}

use crate::{
    cli::{
        context::Context,
        failure::Result,
        output::Paint,
        table::{Cell, Table},
        wording::relative,
    },
    os::process_stat,
    store::worker::{self, WorkerRow},
};

pub fn list(cx: &Context) -> Result<()> {
    let rows = cx.store()?.read(worker::list)?;
    if cx.output.json {
        let all: Vec<_> = rows.iter().map(as_json).collect();
        return cx.output.document(&serde_json::json!({"workers": all}));
    }
    if rows.is_empty() {
        cx.output.note("no worker is running; start one with `windlass worker`");
        return Ok(());
    }
    cx.output.table(&table(cx, &rows))
}

pub fn table(cx: &Context, rows: &[WorkerRow]) -> Table {
    let now = cx.now();
    let mut table = Table::new(&["WORKER", "STATE", ">PID", ">RUNNING", "SINCE", "~POOLS"]);
    for it in rows {
        let state = match process_stat::is_alive(&it.identity) {
            true => Cell::painted("alive", Paint::Good),
            false => Cell::painted("dead", Paint::Bad),
        };
        table.row([
            it.id.to_string().into(),
            state,
            it.identity.pid.to_string().into(),
            it.running.to_string().into(),
            relative(it.registered, now).into(),
            pools(it).into(),
        ]);
    }
    table
}

fn pools(row: &WorkerRow) -> String {
    let pools = row.pools.as_object().into_iter().flatten();
    pools.map(|(name, size)| format!("{name}={size}")).collect::<Vec<_>>().join(" ")
}

/// A worker as a document; `alive` says whether its process lives.
pub fn as_json(row: &WorkerRow) -> serde_json::Value {
    let mut value = serde_json::to_value(row).unwrap_or_default();
    value["alive"] = process_stat::is_alive(&row.identity).into();
    value
}

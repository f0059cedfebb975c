use crate::{
    cli::{context::Context, failure::Result, table::Table, wording::size},
    view,
};

pub fn list(cx: &Context) -> Result<()> {
    let all = view::types(cx.store()?)?;
    if cx.output.json {
        return cx.output.document(&all);
    }
    if all.types.is_empty() {
        cx.output.note("no workflow was submitted yet");
        return Ok(());
    }
    let mut table = Table::new(&["TYPE", "STATE", "POOL", ">MEASURED", ">RESERVES"]);
    for it in &all.types {
        let reserves = it.reserves.and_then(|it| u64::try_from(it).ok()).map_or("-".to_string(), size);
        table.row([
            it.step_type.clone().into(),
            if it.paused { "paused" } else { "active" }.to_string().into(),
            if it.own_pool { "its own" } else { "*" }.to_string().into(),
            it.measured.to_string().into(),
            reserves.into(),
        ]);
    }
    cx.output.table(&table)
}

use crate::{
    cli::{context::Context, failure::Result, parameters, table::Table},
    store::definition,
};

pub fn definitions(cx: &Context) -> Result<()> {
    let rows = cx.store()?.read(definition::list)?;
    if cx.output.json {
        return cx.output.document(&serde_json::json!({"definitions": rows}));
    }
    if rows.is_empty() {
        cx.output.note("no definitions yet; the first submission stores one: `windlass run FILE`");
        return Ok(());
    }
    let mut table = Table::new(&["ID", "?>VERSIONS", "?NEWEST", "?VERSION", "~NAME"]);
    for it in &rows {
        table.row([
            it.id.as_str().into(),
            it.versions.to_string().into(),
            cx.when(it.newest).into(),
            it.hash.get(..12).unwrap_or(&it.hash).into(),
            it.title.as_str().into(),
        ]);
    }
    cx.output.table(&table)
}

pub fn parameter_sets(cx: &Context) -> Result<()> {
    let sets = parameters::all(cx)?;
    if cx.output.json {
        return cx.output.document(&serde_json::json!({"params": sets}));
    }
    let mut table = Table::new(&["ID", "~NAME", "?VERSION"]);
    for it in &sets {
        let version = hex::encode(&it.hash()[..6]);
        table.row([it.id.as_str().into(), it.name.as_str().into(), version.into()]);
    }
    cx.output.table(&table)?;
    let dir = cx.settings()?.home.join(parameters::DIRECTORY);
    cx.output.note(format!("more: put ID.yaml into {}", dir.display()));
    Ok(())
}

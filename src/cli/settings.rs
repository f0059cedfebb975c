use super::{
    context::Context,
    failure::{Failure, Result},
    paint::Paint,
    table::{Cell, Table},
};
use crate::{
    model::nearest,
    settings::{Listed, Origin},
};
use clap_complete::engine::ArgValueCompleter;

/// Show every setting, its value, and the source of the value
///
/// Settings come from `windlass.toml` in the home directory, then WINDLASS_* variables, then flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this setting, with its description
    #[arg(add = ArgValueCompleter::new(super::complete::settings))]
    name: Option<String>,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let listed = cx.settings()?.list();
        let home = cx.home()?.path;
        if let Some(name) = &self.name {
            let Some(setting) = listed.iter().find(|it| it.name == name) else {
                let failure = Failure::not_found(format!("no setting is called `{name}`"));
                return Err(match nearest(name, listed.iter().map(|it| it.name)) {
                    Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
                    None => failure.hint("`windlass settings` lists all of them"),
                });
            };
            return show(cx, setting);
        }
        if cx.output.json {
            let all: Vec<_> = listed.iter().map(as_json).collect();
            return cx.output.document(&serde_json::json!({"home": home, "settings": all}));
        }
        cx.output.line(format!("home  {}", home.display()))?;
        cx.output.line("")?;
        let mut table = Table::new(&["SETTING", "~VALUE", "~FROM"]);
        for it in &listed {
            let changed = it.origin != Origin::Default;
            let paint = if changed { Paint::Bold } else { Paint::Dim };
            table.row([it.name.into(), it.value.as_str().into(), Cell::painted(it.origin.to_string(), paint)]);
        }
        cx.output.table(&table)?;
        cx.output.note("\n`windlass settings NAME` describes one.");
        Ok(())
    }
}

fn show(cx: &Context, it: &Listed) -> Result<()> {
    if cx.output.json {
        return cx.output.document(&as_json(it));
    }
    cx.output.line(format!("{} = {}", cx.output.paint(Paint::Bold, it.name), it.value))?;
    cx.output.line(format!("  {}", it.doc))?;
    cx.output.line(format!("  from      {}", it.origin))?;
    cx.output.line(format!("  default   {}", it.default))?;
    cx.output.line(format!("  may be    {}", it.kind))?;
    cx.output.line(format!("  variable  {}", it.variable))
}

fn as_json(it: &Listed) -> serde_json::Value {
    serde_json::json!({
        "name": it.name, "value": it.value, "default": it.default, "kind": it.kind, "about": it.doc,
        "variable": it.variable, "origin": it.origin.to_string(),
    })
}

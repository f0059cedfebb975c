use crate::{
    cli::{
        context::Context,
        failure::Result,
        table::{Cell, Table},
        wording::plain,
        work::item_name,
    },
    model::{GroupId, StepId, WaitKind},
    store::read::WaitingFilter,
    view::{self, wording::wait_of},
};
use clap_complete::engine::ArgValueCompleter;

/// Steps that wait for a person, a time, a signal or their children
#[derive(Debug, clap::Args)]
pub struct WaitingSteps {
    /// Only those that wait for this: approval, time, signal or children
    #[arg(long = "for", value_name = "KIND", value_parser = kind)]
    kind: Option<WaitKind>,
    /// Only steps of this group
    #[arg(long, value_name = "GROUP", add = ArgValueCompleter::new(crate::cli::complete::groups))]
    group: Option<GroupId>,
    /// Only steps after this one, the last of the previous page
    #[arg(long, value_name = "STEP")]
    after: Option<StepId>,
    /// Maximum number to list
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

fn kind(text: &str) -> std::result::Result<WaitKind, String> {
    let found = WaitKind::ALL.iter().copied().find(|it| it.name() == text.to_lowercase());
    found.ok_or_else(|| format!("`{text}` is not what a step waits for; use approval, time, signal or children"))
}

impl WaitingSteps {
    pub fn run(self, cx: &Context) -> Result<()> {
        let filter = WaitingFilter { kind: self.kind, group: self.group, after: self.after, limit: self.limit };
        let found = view::waiting(cx.store()?, &filter)?;
        if cx.output.json {
            return cx.output.document(&found);
        }
        let Some(first) = found.waiting.first() else {
            cx.output.note("no step waits");
            return Ok(());
        };
        let mut table = Table::new(&["STEP", "SINCE", "?UNTIL", "~ITEM", "~WAITS FOR"]);
        for it in &found.waiting {
            let item = if it.item.is_empty() { it.wait.run.to_string() } else { item_name(&it.item) };
            table.row([
                it.wait.step.to_string().into(),
                cx.when(it.wait.since).into(),
                it.wait.due.map(|due| cx.when(due)).unwrap_or_default().into(),
                item.into(),
                Cell::from(plain(&wait_of(&it.wait))),
            ]);
        }
        cx.output.table(&table)?;
        if let Some(next) = found.next {
            cx.output.note(format!("more: the same with `--after {next}`"));
        }
        if first.wait.kind == WaitKind::Approval {
            let step = first.wait.step;
            cx.output.note(format!("answer with `windlass approve {step}` or `windlass reject {step} --reason TEXT`"));
        }
        Ok(())
    }
}

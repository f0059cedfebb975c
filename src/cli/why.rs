use super::{
    context::Context,
    failure::Result,
    name::Name,
    paint::{Paint, status_paint},
    show::show_attempt,
    suggestion,
    wording::{count, number_of, plain},
    work::item_name,
};
use crate::{
    model::{GroupId, Status},
    store::{
        attempt,
        read::{self, GroupFilter},
    },
    view::{self, Explained, Subject},
};
use clap_complete::engine::ArgValueCompleter;
use std::collections::BTreeSet;

/// Explain why a step does not run or why it failed, and what to do
///
/// For a group or a run: the steps that block it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Such as s56, r34 or g12
    #[arg(value_name = "ID", add = ArgValueCompleter::new(super::complete::work))]
    id: Name,
}

/// Codes of reasons that do not concern one single step.
const OF_MANY: [&str; 7] =
    ["group_paused", "concurrency", "type_paused", "cancelling", "opening", "disk_low", "no_worker"];

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let subject = match self.id {
            Name::Step(id) => Subject::Step(id),
            Name::Run(id) => Subject::Run(id),
            Name::Group(id) => Subject::Group(id),
            Name::Worker(_) => return Err(self.id.refused("explain", "name a step, a run or a group")),
        };
        let why = view::why(cx.engine()?, subject)?;
        if cx.output.json {
            return cx.output.document(&why);
        }
        let mut said = BTreeSet::new();
        let mut same = 0;
        for it in &why.steps {
            match it.reasons.iter().all(|it| said.contains(&it.text)) {
                true => same += 1 + it.alike.max(0) as u64,
                false => tell(cx, it, &mut said)?,
            }
        }
        if same > 0 {
            let steps = if same == 1 { "step is" } else { "steps are" };
            cx.output.line(format!("{} more {steps} blocked for the same reason", number_of(same)))?;
        }
        if why.steps.is_empty() {
            let how = if has_completed(cx, self.id)? { "has completed" } else { "isn't blocked" };
            cx.output.advice(format!("{} {how}; see `windlass show {0}`", self.id))?;
        }
        if why.more {
            cx.output.note("and more steps like these");
        }
        Ok(())
    }
}

fn has_completed(cx: &Context, id: Name) -> Result<bool> {
    let store = cx.store()?;
    Ok(match id {
        Name::Group(id) => {
            let filter = GroupFilter { before: Some(GroupId(id.0 + 1)), limit: 1, ..GroupFilter::default() };
            store.read(|tx| read::groups(tx, &filter))?.iter().any(|it| it.id == id && it.status == Status::Completed)
        }
        Name::Run(id) => store.read(|tx| read::show_run(tx, id))?.run.status == Status::Completed,
        Name::Step(_) | Name::Worker(_) => false,
    })
}

/// `said` has the reasons shared by several steps that were already printed.
fn tell(cx: &Context, explained: &Explained, said: &mut BTreeSet<String>) -> Result<()> {
    let Explained { facts: why, reasons, alike } = explained;
    let (out, step) = (&cx.output, &why.step);
    let status = out.paint(status_paint(step.status), step.status.name());
    out.line(format!("{} {status}  {} of {} of {}", step.id, plain(&step.name), why.run, why.group))?;
    let item = cx.store()?.read(|tx| read::show_step(tx, step.id))?.item;
    if !item.is_empty() {
        out.line(format!("  item       {}", plain(&item_name(&item))))?;
    }
    if *alike > 0 {
        out.line(format!("  and {} like it", count(*alike as u64, "step")))?;
    }
    for reason in reasons {
        if OF_MANY.contains(&reason.code) && !said.insert(reason.text.clone()) {
            continue;
        }
        out.advice(format!("  {}", plain(&reason.text)))?;
        // One command covers all of them.
        let of_all = reason.command.as_ref().filter(|it| *alike == 0 || !it.starts_with("windlass retry r"));
        let command =
            of_all.cloned().or_else(|| reason.command.as_ref().map(|_| format!("windlass retry {}", why.group)));
        if let Some(command) = &command {
            out.line(format!("    {}", out.paint(Paint::Bold, &suggestion::command(command))))?;
        }
    }
    if step.status == Status::Failed || (step.status == Status::Error && why.group_waits_for.is_none()) {
        let all = cx.store()?.read(|tx| attempt::of_step(tx, step.id))?;
        // After a manual retry, attempts count from 1 again.
        let earlier = all.len().saturating_sub(step.attempts.max(0) as usize);
        if earlier > 0 {
            let before = count(earlier as u64, "attempt");
            out.line(format!(
                "  {}",
                suggestion::sentence(&format!("{before} before the retry: `windlass show {}`", step.id))
            ))?;
        }
        for attempt in &all[earlier..] {
            show_attempt(cx, attempt)?;
        }
    }
    Ok(())
}

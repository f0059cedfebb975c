//! Output files of steps, including pruned steps.

use super::{
    context::Context,
    failure::{Failure, Result},
    wording::{count, plain, plain_lines, quoted, size},
    work::item_name,
};
use crate::{
    decide::links,
    model::{StepId, nearest},
    store::{
        self, kept_output,
        output::{self, Output},
        read,
    },
};
use std::io::{self, Read};

/// How many files are listed.
const LISTED: usize = 20;

/// Writes a file of a step to stdout after verifying it.
pub fn to_stdout(cx: &Context, id: StepId, name: &str) -> Result<()> {
    let Output { files, links: found, .. } = output_of(cx, id)?;
    // Follow a link to its file.
    let place = links::resolve(&found.into_iter().collect(), name).unwrap_or_else(|_| name.to_string());
    let Some((_, file)) = files.iter().find(|it| it.0 == place) else {
        let failure = Failure::not_found(format!("{id} left no file `{}`", plain(name)));
        let names: Vec<&str> = files.iter().take(LISTED).map(|it| it.0.as_str()).collect();
        return Err(match (nearest(name, names.iter().copied()), names.is_empty()) {
            (Some(meant), _) => failure.hint(format!("did you mean `--file {}`?", plain(meant))),
            (None, true) => failure.hint(format!("it left none; see `windlass show {id}`")),
            (None, false) => failure.hint(format!("available: {}", plain(&names.join(", ")))),
        });
    };
    let artifacts = cx.engine()?.artifacts();
    // A damaged file is never output, not even in part.
    artifacts.verify(file)?;
    let mut reader = artifacts.get(file)?;
    if cx.output.width.is_none() {
        io::copy(&mut reader, &mut io::stdout().lock())?;
        return Ok(());
    }
    // The contents of a file must not be able to control the terminal.
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    cx.output.bytes(plain_lines(&String::from_utf8_lossy(&bytes)).as_bytes())
}

fn output_of(cx: &Context, id: StepId) -> Result<Output> {
    let found = cx.store()?.read(|tx| {
        if let Some(kept) = kept_output::of_step(tx, id)? {
            return Ok(kept.output);
        }
        read::status_of_step(tx, id)?;
        Ok(output::of_step(tx, id)?.unwrap_or_default())
    });
    Ok(found?)
}

/// Shows what is left of a pruned step.
pub fn pruned(cx: &Context, id: StepId) -> Result<()> {
    let Some(kept) = cx.store()?.read(|tx| kept_output::of_step(tx, id))? else {
        return Err(store::Error::not_found(id).into());
    };
    if cx.output.json {
        let files: Vec<_> = kept.output.files.iter().map(|(name, file)| (name, file.hash.to_string())).collect();
        let mut value = serde_json::to_value(&kept).unwrap_or_default();
        value["pruned"] = true.into();
        value["output"] = kept.output.value.clone().unwrap_or_default();
        value["files"] = serde_json::json!(files);
        value["links"] = serde_json::json!(kept.output.links);
        return cx.output.document(&value);
    }
    let out = &cx.output;
    out.line(format!("{id} was pruned: {} of {} of {}", plain(&kept.name), kept.run, kept.group))?;
    if !kept.item.is_empty() {
        out.line(format!("  item       {}", plain(&item_name(&kept.item))))?;
    }
    out.line(format!("  ended      {}", cx.when(kept.ended)))?;
    for (name, file) in kept.output.files.iter().take(LISTED) {
        out.line(format!("  {}  {}", plain(name), size(file.size)))?;
    }
    for (name, target) in kept.output.links.iter().take(LISTED) {
        out.line(format!("  {} -> {}", plain(name), plain(target)))?;
    }
    let all = count(kept.output.files.len() as u64, "file");
    let first = kept.output.files.first().map(|it| quoted(&it.0)).unwrap_or_else(|| "NAME".to_string());
    out.note(format!("{all} kept; fetch one with `windlass show {id} --file {}`", plain(&first)));
    Ok(())
}

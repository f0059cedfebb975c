//! The value that a command or worker passes to later steps: its size limit, and the file for a large one.

use crate::{
    definition::ValueForm,
    engine::{
        error::{Error, Result},
        step_kind::{StepContext, StepResult},
    },
    model::{Bytes, Outcome, number::keep_digits},
    process::Captured,
};
use serde_json::Value;
use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The directory of an attempt whose files become artifacts.
pub(super) const OUT: &str = "out";
/// The largest value stored in the database.
const MOST: Bytes = Bytes(64 << 10);
/// The output file with the value of a step with `value: file`.
const FILE: &str = "value";

/// Creates the value file in a directory of output files that has none yet.
pub(super) fn create_file(out: &Path) -> Result<File> {
    let path = out.join(FILE);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    opened.map_err(|source| Error::Io { action: "create", path, source })
}

/// Turns the output of a step's command into its value. Too large a value fails the step if another step needs it.
pub(super) fn keep_printed(cx: &StepContext, result: &mut StepResult, stdout: &Captured) {
    if stdout.total <= MOST.0 {
        result.report.value = printed(stdout);
    } else if cx.definition.is_needed(&cx.step.name) && result.report.outcome == Outcome::Succeeded {
        result.report.outcome = too_large(cx, Bytes(stdout.total), "print less");
    } else {
        let size = Bytes(stdout.total);
        let remark =
            format!("its output of {size} is not kept as a value, which has at most {MOST}; the log has its end");
        result.report.certificate.remarks.push(remark);
    }
}

/// Stores the value that a worker returned, in the form that its step declares.
pub(super) fn keep_returned(cx: &StepContext, result: &mut StepResult, value: Option<Value>) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    let text = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if cx.step.value == ValueForm::File {
        let out = cx.work.create(OUT)?;
        let written = create_file(&out)?.write_all(text.as_bytes());
        return written.map_err(|source| Error::Io { action: "write", path: out.join(FILE), source });
    }
    match text.len() as u64 > MOST.0 {
        true => result.report.outcome = too_large(cx, Bytes(text.len() as u64), "return less"),
        false => result.report.value = Some(value),
    }
    Ok(())
}

fn too_large(cx: &StepContext, size: Bytes, instead: &str) -> Outcome {
    let name = &cx.step.name;
    Outcome::permanent(
        "value_too_large",
        format!(
            "its value has {size}, and the limit is {MOST}: {instead}, or give the step `value: file` and read the file \
             {{{{ inputs.{name}.dir }}}}/{FILE} in the next one"
        ),
    )
}

/// The output of a command as a value: JSON if it is valid JSON, otherwise the text without its last newline. A bare
/// number counts as a number only if it prints unchanged: `1.10` and the hash `6063e25` are texts. None if nothing, or
/// no text, was printed.
fn printed(stdout: &Captured) -> Option<Value> {
    if stdout.total == 0 {
        return None;
    }
    let text = String::from_utf8(stdout.newest.clone()).ok()?;
    match serde_json::from_slice(&keep_digits(text.as_bytes())) {
        Ok(Value::Number(number)) if number.to_string() != text.trim() => Some(text.trim().into()),
        Ok(value) => Some(value),
        Err(_) => Some(Value::String(text.trim_end_matches('\n').to_string())),
    }
}

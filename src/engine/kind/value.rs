//! The value that a command or a worker leaves for later steps: its size, and the file that a large one goes into.

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
/// The largest value that the database keeps.
const MOST: Bytes = Bytes(64 << 10);
/// The output file that has the value of a step with `value: file`.
const FILE: &str = "value";

/// The file for a value in a directory of output files, which has none yet.
pub(super) fn create_file(out: &Path) -> Result<File> {
    let path = out.join(FILE);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    opened.map_err(|source| Error::Io { action: "create", path, source })
}

/// Makes the value of a step of what its command printed. Too much of it fails the step if another step needs this one.
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

/// Keeps what a worker returned, in the form that its step wants.
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

/// What a command printed, as a value for its successors: JSON if it is JSON, otherwise the text without its last newline. A
/// number on its own is one only if it comes back as it was printed: `1.10` and the hash `6063e25` are texts. None: nothing was
/// printed, or no text.
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

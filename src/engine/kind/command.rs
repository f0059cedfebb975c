//! `run:` steps and hooks: a command in a child of its own.

use crate::{
    definition::{Background, Command, Env, Input, Values},
    engine::{
        error::{Error, Result},
        outputs::Until,
        step_kind::{Printed, StepContext, StepInput, StepResult},
    },
    model::{KillIntent, Millis, Outcome, number::keep_digits},
    process::{self, Captured, ChildEnd, ChildSpec},
};
use serde_json::{Value, json};
use std::{borrow::Cow, collections::BTreeMap, env, ffi::OsString, os::fd::OwnedFd};

/// The directory of an attempt whose files become artifacts.
pub(super) const OUT: &str = "out";
/// Output that becomes the value of the step; more than that is only in the log.
const MOST_VALUE: u64 = 64 << 10;
/// Our variables that a command gets; its definition names all others.
const PASSED_ON: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];
/// A variable larger than this can't be passed to a program.
const MOST_VARIABLE: usize = 120 << 10;

/// Runs a step's command.
pub fn run(cx: &StepContext, command: &Command, env: &Env) -> StepResult {
    attempt(cx, command, env, None).unwrap_or_else(|error| StepResult::not_run(&error, false))
}

/// Runs a hook's command, which may ask for the event's name.
pub fn run_for_event(cx: &StepContext, command: &Command, env: &Env, event: &str) -> StepResult {
    attempt(cx, command, env, Some(event)).unwrap_or_else(|error| StepResult::not_run(&error, false))
}

fn attempt(cx: &StepContext, command: &Command, env: &Env, event: Option<&str>) -> Result<StepResult> {
    let out = cx.work.create(OUT)?;
    let inputs = inputs(cx)?;
    let mut values = values(cx.input, &out, &inputs, event);
    let extra = render_env(env, &values)?;
    values.env = extra.clone();
    let argv = command.argv(&values)?;
    let mut spec = ChildSpec::new(argv.into_iter().map(OsString::from).collect(), cx.input.directory.clone());
    spec.env = environment(cx.input, &out, &inputs, &extra)?;
    spec.live = Some(cx.work.root().to_path_buf());
    spec.limits.memory = cx.step.limits.memory;
    spec.limits.open_files = cx.step.limits.open_files;
    spec.limits.cpu = cx.step.limits.cpu;
    spec.limits.wall = cx.step.timeout;
    spec.background = cx.step.background == Background::Allow;
    if let Some(lock) = cx.lock {
        let lock = lock.try_clone().map_err(|source| Error::Io {
            action: "share the lock with",
            path: out.clone(),
            source,
        })?;
        spec.kept_fds.push(OwnedFd::from(lock));
    }
    let end = process::run(&spec, cx.cancel);
    finish(cx, end)
}

/// The declared variables with their values.
pub(super) fn render_env(env: &Env, values: &Values<'_>) -> Result<BTreeMap<String, String>> {
    let inherited = |name: &str| env::var(name).ok();
    let mut found = BTreeMap::new();
    for (name, template) in env {
        let value = match template {
            Some(template) => Some(template.render(values)?),
            None => inherited(name),
        };
        found.extend(value.map(|it| (name.clone(), it)));
    }
    Ok(found)
}

/// What earlier steps left: their values, and their files where there are any.
fn inputs(cx: &StepContext) -> Result<BTreeMap<String, Input>> {
    let mut found = BTreeMap::new();
    for (name, output) in &cx.input.inputs {
        let dir = cx.work.materialise(name, output, cx.artifacts, Until::of(cx.cancel, None, Millis(0)))?;
        let dir = Some(dir.to_string_lossy().into_owned());
        found.insert(name.clone(), Input { dir, value: output.value.clone() });
    }
    Ok(found)
}

/// What templates of the step can ask for.
pub(super) fn values<'a>(
    input: &'a StepInput,
    out: &'a std::path::Path,
    inputs: &BTreeMap<String, Input>,
    event: Option<&'a str>,
) -> Values<'a> {
    Values {
        item: Some(Cow::Borrowed(&input.item)),
        params: Some(Cow::Borrowed(&input.params)),
        out: Some(out.to_string_lossy()),
        inputs: inputs.clone(),
        group: Some(input.group),
        run: Some(input.run),
        step: Some(input.step),
        attempt: Some(input.attempt),
        token: Some(input.token),
        event: event.map(Cow::Borrowed),
        env: BTreeMap::new(),
    }
}

/// What every child gets of our own environment.
pub(super) fn environment_passed_on() -> Vec<(OsString, OsString)> {
    PASSED_ON.iter().filter_map(|name| Some((OsString::from(name), env::var_os(name)?))).collect()
}

/// The complete environment of the command.
fn environment(
    input: &StepInput,
    out: &std::path::Path,
    inputs: &BTreeMap<String, Input>,
    extra: &BTreeMap<String, String>,
) -> Result<Vec<(OsString, OsString)>> {
    let item = match &input.item {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let inputs: Value = inputs
        .iter()
        .map(|(name, it)| (name.clone(), json!({"dir": it.dir, "value": it.value})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let own = [
        ("WINDLASS_GROUP", input.group.to_string()),
        ("WINDLASS_RUN", input.run.to_string()),
        ("WINDLASS_STEP", input.step.to_string()),
        ("WINDLASS_ATTEMPT", input.attempt.to_string()),
        ("WINDLASS_TOKEN", input.token.0.to_string()),
        ("WINDLASS_ITEM", item),
        ("WINDLASS_PARAMS", input.params.to_string()),
        ("WINDLASS_OUT", out.to_string_lossy().into_owned()),
        ("WINDLASS_INPUTS", inputs.to_string()),
    ];
    let mut all = environment_passed_on();
    for (name, value) in own.into_iter().chain(extra.iter().map(|(name, value)| (name.as_str(), value.clone()))) {
        if value.contains('\0') {
            let what = format!("variable {name} contains NUL, which programs can't receive");
            return Err(Error::refused(what, None));
        }
        if value.len() > MOST_VARIABLE {
            let what =
                format!("variable {name} would have {} bytes; a program can receive {MOST_VARIABLE}", value.len());
            return Err(Error::refused(what, Some("pass large values as files of an earlier step")));
        }
        all.retain(|it| it.0 != name);
        all.push((name.into(), value.into()));
    }
    Ok(all)
}

fn finish(cx: &StepContext, end: ChildEnd) -> Result<StepResult> {
    let outcome = process::outcome(&end, &cx.step.permanent_exits);
    let certificate = process::attempt_stats(&end);
    let mut result = StepResult::ended(outcome).with_stats(certificate);
    result.logs = vec![printed(1, &end.stdout), printed(2, &end.stderr)];
    if result.report.outcome == Outcome::Succeeded {
        result.report.value = value(&end.stdout);
        let until = Until::of(cx.cancel, cx.step.timeout, end.wall);
        result.keep(cx.work.collect(OUT, cx.artifacts, until), until);
    }
    if result.report.outcome == (Outcome::TimedOut { after: Millis(0) }) {
        result.report.outcome = Outcome::TimedOut { after: end.wall };
    }
    debug_assert!(end.intent != Some(KillIntent::Cancel) || result.report.outcome == Outcome::Cancelled);
    Ok(result)
}

pub(in crate::engine) fn printed(stream: i64, captured: &Captured) -> Printed {
    Printed { stream, total: captured.total, newest: captured.newest.clone() }
}

/// What a command printed, as a value for its successors: JSON if it is JSON, else the text without its last newline. A
/// number on its own is one only if it comes back as it was printed: `1.10` and the hash `6063e25` are texts.
fn value(stdout: &Captured) -> Option<Value> {
    if stdout.total == 0 || stdout.total > MOST_VALUE {
        return None;
    }
    let text = String::from_utf8(stdout.newest.clone()).ok()?;
    match serde_json::from_slice(&keep_digits(text.as_bytes())) {
        Ok(Value::Number(number)) if number.to_string() != text.trim() => Some(text.trim().into()),
        Ok(value) => Some(value),
        Err(_) => Some(Value::String(text.trim_end_matches('\n').to_string())),
    }
}

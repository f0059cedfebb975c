//! `run:` steps and hooks: a command in a child process.

use super::value::{self, OUT};
use crate::{
    definition::{Background, Command, Env, Input, ValueForm, Values},
    engine::{
        error::{Error, Result},
        outputs::Until,
        step_kind::{Printed, StepContext, StepInput, StepResult},
    },
    model::{KillIntent, Millis, Outcome},
    process::{self, Captured, ChildEnd, ChildSpec},
    store::output::Output,
};
use serde_json::{Value, json};
use std::{borrow::Cow, collections::BTreeMap, env, ffi::OsString, os::fd::OwnedFd};

/// The variables of our environment that a command inherits. The definition names all others.
const PASSED_ON: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];
/// A line of a secret is masked on its own if it has at least this many bytes.
const LINE: usize = 8;
/// A variable larger than this can't be passed to a program.
const MOST_VARIABLE: usize = 120 << 10;

/// Runs the command of a step or a hook.
pub fn run(cx: &StepContext, command: &Command, env: &Env) -> StepResult {
    attempt(cx, command, env).unwrap_or_else(|error| StepResult::not_run(&error, false))
}

fn attempt(cx: &StepContext, command: &Command, env: &Env) -> Result<StepResult> {
    let out = cx.work.create(OUT)?;
    let inputs = inputs(cx, true)?;
    let mut values = values(cx.input, &out, &inputs);
    let extra = render_env(env, &values)?;
    values.env = extra.clone();
    let argv = command.argv(&values)?;
    let mut spec = ChildSpec::new(argv.into_iter().map(OsString::from).collect(), cx.input.directory.clone());
    spec.env = environment(cx.input, &out, &inputs, &extra)?;
    for (variable, name) in &cx.step.secrets {
        let secret = cx.input.secret(name)?;
        spec.env.retain(|it| it.0 != variable.as_str());
        spec.env.push((variable.into(), secret.reveal().into()));
        spec.secrets.push(secret.reveal().to_string());
        // A program may print such a secret line by line.
        let lines = secret.reveal().lines().map(str::trim).filter(|it| it.len() >= LINE && *it != secret.reveal());
        spec.secrets.extend(lines.map(str::to_string));
    }
    spec.live = Some(cx.work.root().to_path_buf());
    spec.limits.memory = cx.step.limits.memory;
    spec.limits.open_files = cx.step.limits.open_files;
    spec.limits.cpu = cx.step.limits.cpu;
    spec.limits.wall = cx.step.timeout;
    if cx.step.value == ValueForm::File {
        spec.stdout_file = Some(value::create_file(&out)?);
    }
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

/// The results of earlier steps. Steps that left files get a directory; others get one if the step uses it, or if
/// `always`.
pub(super) fn inputs(cx: &StepContext, always: bool) -> Result<BTreeMap<String, Input>> {
    let mut found = BTreeMap::new();
    let until = Until::of(cx.cancel, None, Millis(0));
    for (name, output) in &cx.input.inputs {
        let has_files = !output.files.is_empty() || !output.links.is_empty();
        let dir = match always || has_files || cx.step.asks_for_dir(name)? {
            true => Some(cx.work.materialise(name, output, cx.artifacts, until)?.to_string_lossy().into_owned()),
            false => None,
        };
        let children = children_of(cx, name);
        let (value, status) = (output.value.clone(), cx.input.status_of(name));
        found.insert(name.clone(), Input { dir, value, status, children });
    }
    // A needed step has completed, even if it produced nothing.
    for need in cx.step.needs.iter().filter_map(|it| cx.definition.steps.get(*it)) {
        if !found.contains_key(&need.name) {
            let dir = match cx.step.asks_for_dir(&need.name)? {
                true => Some(cx.work.materialise(&need.name, &Output::default(), cx.artifacts, until)?),
                false => None,
            };
            let dir = dir.map(|it| it.to_string_lossy().into_owned());
            let children = children_of(cx, &need.name);
            found.insert(need.name.clone(), Input { dir, children, ..Input::default() });
        }
    }
    Ok(found)
}

/// The file with the child runs of an earlier step.
fn children_of(cx: &StepContext, step: &str) -> Option<String> {
    cx.input.children.get(step).map(|it| it.to_string_lossy().into_owned())
}

/// The values that templates of the step can use.
pub(super) fn values<'a>(
    input: &'a StepInput,
    out: &'a std::path::Path,
    inputs: &BTreeMap<String, Input>,
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
        hook: input.hook.as_ref().map(Cow::Borrowed),
        env: BTreeMap::new(),
    }
}

/// The variables of our own environment that every child inherits.
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
        .map(|(name, it)| {
            let mut input = json!({"dir": it.dir, "value": it.value});
            if let Some(status) = it.status {
                input["status"] = status.into();
            }
            if let Some(children) = &it.children {
                input["children"] = children.as_str().into();
            }
            (name.clone(), input)
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    let own = [
        ("WINDLASS_HOME", input.home.to_string_lossy().into_owned()),
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
    let url = input.daemon().map(|it| ("WINDLASS_URL", format!("http://{it}")));
    let hook = input.hook.as_ref().map(|it| {
        [
            ("WINDLASS_EVENT", it.event.clone()),
            ("WINDLASS_GROUP_NAME", it.name.clone()),
            ("WINDLASS_GROUP_STATUS", it.status.clone()),
            ("WINDLASS_GROUP_FAILED", it.failed.to_string()),
            ("WINDLASS_GROUP_TOTAL", it.total.to_string()),
            ("WINDLASS_GROUP_REASONS", it.reasons.clone()),
        ]
    });
    let own = own.into_iter().chain(url).chain(hook.into_iter().flatten());
    let mut all = environment_passed_on();
    for (name, value) in own.into_iter().chain(extra.iter().map(|(name, value)| (name.as_str(), value.clone()))) {
        if value.contains('\0') {
            let what = format!("variable {name} contains NUL, which programs can't receive");
            return Err(Error::refused(what, None));
        }
        if value.len() > MOST_VARIABLE {
            let what =
                format!("variable {name} would have {} bytes; a program can receive {MOST_VARIABLE}", value.len());
            return Err(Error::refused(
                what,
                Some("pass large values as files of an earlier step, for example with its `value: file`"),
            ));
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
    // A hook has no result.
    if result.report.outcome == Outcome::Succeeded && cx.input.hook.is_none() {
        let until = Until::of(cx.cancel, cx.step.timeout, end.wall);
        result.keep(cx.work.collect(OUT, cx.artifacts, until), until);
        value::keep_printed(cx, &mut result, &end.stdout);
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

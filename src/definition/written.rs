//! Writes a definition in the form of a workflow file, for people and for parsing it back to the same definition.

use super::{
    expression::{Expression, Values},
    quote::quote,
    resources::written_capacity,
    secret::{MASK, is_secret_variable, masked, masked_text},
    template::{Part, Template},
    workflow::{
        Action, Background, Command, Definition, Env, HookDefinition, StepDefinition, StepLimits, Unit, ValueForm,
    },
    written_worker::written_worker,
};
use crate::decide::retry::Backoff;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The default for a hook; steps default to none.
const HOOK_RETRIES: u32 = 3;

impl Definition {
    /// The definition as in a workflow file, without defaults. In `env` only `{{ }}` is shown, because its texts may be
    /// secrets.
    pub fn written(&self) -> Value {
        let mut all = Map::new();
        all.insert("id".into(), json!(self.id));
        if self.name != self.id {
            all.insert("name".into(), json!(self.name));
        }
        if let Some(it) = &self.concurrency {
            all.insert("concurrency".into(), json!({"group": it.group.source(), "policy": it.policy}));
        }
        if !self.alerts {
            all.insert("alerts".into(), json!(false));
        }
        if !self.capacity.is_empty() {
            all.insert("capacity".into(), written_capacity(&self.capacity));
        }
        all.insert("steps".into(), (0..self.steps.len()).map(|no| self.written_step(no)).collect());
        if let Some(collect) = &self.collect {
            all.insert("collect".into(), (0..collect.steps.len()).map(|no| collect.written_step(no)).collect());
        }
        if !self.hooks.is_empty() {
            let hooks = self.hooks.iter().map(|(event, hooks)| {
                (event.name().to_string(), hooks.iter().map(|it| Value::Object(written_hook(it))).collect())
            });
            all.insert("hooks".into(), Value::Object(hooks.collect()));
        }
        if !self.workers.is_empty() {
            let workers = self.workers.iter().map(|(name, it)| (name.clone(), Value::Object(written_worker(it))));
            all.insert("workers".into(), Value::Object(workers.collect()));
        }
        Value::Object(all)
    }

    /// One step of `written`; null if the number does not exist.
    pub fn written_step(&self, no: usize) -> Value {
        let Some(step) = self.steps.get(no) else { return Value::Null };
        let mut all = Map::from_iter([("name".to_string(), json!(step.name))]);
        write_action(&mut all, &step.action, &step.name);
        let usual: Vec<usize> = no.checked_sub(1).into_iter().collect();
        if step.needs != usual {
            let names = step.needs.iter().filter_map(|it| self.steps.get(*it)).map(|it| json!(it.name));
            all.insert("needs".into(), names.collect());
        }
        write_rest(&mut all, step);
        Value::Object(all)
    }
}

fn write_rest(all: &mut Map<String, Value>, step: &StepDefinition) {
    let usual = StepDefinition::new(&step.name, Action::Uses(String::new()));
    let mut put = |name: &str, value: Value| {
        all.insert(name.to_string(), value);
    };
    if step.step_type != usual.step_type {
        put("type", json!(step.step_type));
    }
    if let Some(key) = &step.resource_key {
        put("resource_key", json!(key.source()));
    }
    step.takes.written().into_iter().for_each(|(name, value)| put(name, value));
    if step.max_crashes != usual.max_crashes {
        put("max_crashes", json!(step.max_crashes));
    }
    if !step.permanent_exits.is_empty() {
        put("permanent_exits", json!(step.permanent_exits));
    }
    if let Some(cache) = step.cache {
        put("cache", json!(cache));
    }
    if let Some(files) = &step.cache_files {
        put("cache_files", files.iter().map(|it| json!(it.source())).collect());
    }
    if step.limits != usual.limits {
        put("limits", limits(&step.limits));
    }
    if step.unit == Unit::Run {
        put("unit", json!("run"));
    }
    if step.background == Background::Allow {
        put("background", json!("allow"));
    }
    if step.value == ValueForm::File {
        put("value", json!("file"));
    }
    if let Some(when) = &step.when {
        put("when", json!(when.source()));
    }
    if !step.after.is_usual() {
        put("after", json!(step.after));
    }
    if step.allow_failure {
        put("allow_failure", json!(true));
    }
    if step.on_cancel_run {
        put("on_cancel", json!("run"));
    }
    write_patience(all, (step.retries, usual.retries), &step.backoff, step.timeout);
    write_with(all, &step.with, &step.env);
    write_secrets(all, &step.secrets);
}

/// Written among the other variables.
fn write_secrets(all: &mut Map<String, Value>, secrets: &BTreeMap<String, String>) {
    for (name, secret) in secrets {
        all.entry("env").or_insert_with(|| json!({}))[name] = json!({"secret": secret});
    }
}

pub(super) fn written_hook(hook: &HookDefinition) -> Map<String, Value> {
    let mut all = Map::from_iter([("name".to_string(), json!(hook.name))]);
    write_action(&mut all, &hook.action, &hook.name);
    if let Some(key) = &hook.resource_key {
        all.insert("resource_key".into(), json!(key));
    }
    if let Some(most) = hook.max_crashes {
        all.insert("max_crashes".into(), json!(most));
    }
    write_patience(&mut all, (hook.retries, HOOK_RETRIES), &hook.backoff, hook.timeout);
    write_with(&mut all, &hook.with, &hook.env);
    write_secrets(&mut all, &hook.secrets);
    all
}

fn write_action(all: &mut Map<String, Value>, action: &Action, owner: &str) {
    match action {
        Action::Run(Command::Shell(template)) => all.insert("run".into(), json!(masked_text(template.source()))),
        Action::Run(Command::Argv(words)) => {
            all.insert("run".into(), masked(&words.iter().map(|it| json!(it.source())).collect()))
        }
        Action::Uses(kind) => all.insert("uses".into(), json!(kind)),
        Action::Worker { worker, handler } => {
            if handler != owner {
                all.insert("handler".into(), json!(handler));
            }
            all.insert("worker".into(), json!(worker))
        }
        Action::Wait(wait) => all.insert(wait.key().into(), wait.written()),
        Action::Children(children) => {
            children.write(all);
            None
        }
    };
}

fn write_patience(
    all: &mut Map<String, Value>,
    (retries, usual): (u32, u32),
    backoff: &Backoff,
    timeout: Option<crate::model::Millis>,
) {
    if retries != usual {
        all.insert("retries".into(), json!(retries));
    }
    if *backoff != Backoff::default() {
        all.insert("backoff".into(), json!(backoff));
    }
    if let Some(timeout) = timeout {
        all.insert("timeout".into(), json!(timeout));
    }
}

fn write_with(all: &mut Map<String, Value>, with: &Value, env: &Env) {
    if !with.is_null() {
        all.insert("with".into(), masked(with));
    }
    if !env.is_empty() {
        let masked = env
            .iter()
            .map(|(name, it)| (name.clone(), it.as_ref().map_or(Value::Null, |it| json!(shown_variable(name, it)))));
        all.insert("env".into(), Value::Object(masked.collect()));
    }
}

fn limits(limits: &StepLimits) -> Value {
    let present = [
        ("memory", limits.memory.map(|it| json!(it))),
        ("open_files", limits.open_files.map(|it| json!(it))),
        ("cpu", limits.cpu.map(|it| json!(it))),
    ];
    let present = present.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?)));
    Value::Object(present.collect())
}

impl Command {
    /// The command for people. Known values are filled in, unknown ones stay as `{{ }}`, and values from `env` are
    /// masked. `word` quotes an argument of a program as a shell would need it.
    pub fn shown(&self, values: &Values<'_>, word: impl Fn(&str) -> String) -> String {
        match self {
            Command::Shell(template) => template.shown(values, quote),
            Command::Argv(words) => {
                let words: Vec<String> = words.iter().map(|it| word(&it.shown(values, str::to_string))).collect();
                words.join(" ")
            }
        }
    }
}

impl Template {
    pub(super) fn shown(&self, values: &Values<'_>, quote: impl Fn(&str) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Expression(Expression::Env(_)) => MASK.to_string(),
            Part::Expression(it) => it.text(values).map_or_else(|_| format!("{{{{ {it} }}}}"), |text| quote(&text)),
        };
        self.parts().iter().map(part).collect()
    }
}

/// Like `render_json`, but for people: see `Command::shown`.
pub fn shown_json(value: &Value, values: &Values<'_>) -> Value {
    match value {
        Value::String(text) => match Template::parse(text) {
            Ok(template) => match template.parts() {
                [Part::Expression(it)] if !matches!(it, Expression::Env(_)) => {
                    it.value(values).map_or_else(|_| value.clone(), |it| it.into_owned())
                }
                _ => json!(template.shown(values, str::to_string)),
            },
            Err(_) => value.clone(),
        },
        Value::Array(list) => list.iter().map(|it| shown_json(it, values)).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, it)| (key.clone(), shown_json(it, values))).collect())
        }
        other => other.clone(),
    }
}

/// The names of the variables of a step, sorted.
pub fn variables(env: &Env) -> Vec<String> {
    env.keys().cloned().collect()
}

/// The text of a variable as written in the workflow, masked if it looks like a secret.
fn shown_variable<'a>(name: &str, text: &'a Template) -> &'a str {
    let has_text = text.parts().iter().any(|it| matches!(it, Part::Text(_)));
    if has_text && is_secret_variable(name, text.source()) { MASK } else { text.source() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{KnownKinds, parse, yaml_text};

    const WHOLE: &str = r#"id: nightly
name: Nightly reports, all
concurrency: { group: "reports:{{ params.store.path }}", policy: skip }
steps:
  - name: fetch
    run: [curl, -sSf, -o, "{{ out }}/data.csv", "https://host/{{ item }}.csv", "a, b"]
    retries: 3
    backoff: { initial: 1s, factor: 2, max: 5m, jitter: 0.2 }
    timeout: 10m
  - name: clean
    run: |
      set -e
      sort -u < {{ inputs.fetch.dir }}/data.csv > {{ out }}/clean.csv

      echo 'it is' "clean"
    cache: true
    cache_files: ["{{ item }}"]
    limits: { memory: 1GiB, open_files: 64, cpu: 30s }
    permanent_exits: [3, 4]
    background: allow
  - name: model
    worker: py
    handler: main
    needs: [fetch, clean]
    type: heavy
    resource_key: "db:{{ params.store.path }}"
    with: { depth: 3, names: ["{{ item }}", "yes"], deep: [{ a: 1 }, []] }
    env: { DATA_PATH: "{{ item }}", HOST: }
    unit: run
    max_crashes: 5
  - name: publish
    needs: []
    uses: windlass/noop
    backoff: { initial: 2s }
    allow_failure: true
  - name: ask
    needs: [model]
    approve: { ask: "Publish {{ item }}?", within: 7d, otherwise: approve }
  - name: later
    needs: [ask]
    wait: 2h
  - name: morning
    needs: [ask]
    wait_until: inputs.ask.value.at
  - name: uploaded
    needs: [ask]
    signal: { name: uploaded, within: 1d, otherwise: continue }
  - name: told
    needs: [ask]
    signal: told
  - name: sweep
    needs: [model, publish]
    run: [rm, -rf, work]
    when: inputs.publish.status != "failed" && params.sweep
    after: always
    on_cancel: run
  - name: page
    needs: [fetch]
    for_each: inputs.fetch.files["pages.txt"]
    run: "echo {{ item }} {{ inputs.fetch.dir }}"
    type: heavy
    at_most: 3
    tolerate: 5%
  - name: inner
    workflow: { id: inner, steps: [{ name: one, uses: windlass/noop }], collect: [{ name: all, uses: windlass/noop }] }
    with: { depth: 3 }
collect:
  - { name: count, run: "wc -l < {{ inputs.runs }}" }
hooks:
  group_end: [{ name: tell, run: "notify-send 'done' {{ group }}", retries: 1, timeout: 3s }]
workers:
  py: { command: [python3, worker.py], size: 2, limits: { rss: 1GiB, fds: 200, age: ~ }, start_timeout: 2m }
"#;

    #[test]
    fn what_is_written_reads_back_as_the_same_definition() {
        let kinds = KnownKinds::new(["windlass/noop"]);
        let first = parse(WHOLE, "first", &kinds).unwrap();
        let text = yaml_text(&first.written());
        let again = parse(&text, "again", &kinds).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(again, first, "{text}");
        assert!(text.contains("- name: fetch\n"), "{text}");
    }

    #[test]
    fn variables_that_look_like_secrets_are_masked() {
        let flow = "id: a\nsteps: [{ name: b, run: x, env: { MODE: fast, A_TOKEN: text, B_TOKEN: 'x{{ item }}', C_TOKEN: '{{ item }}', D: } }]";
        let written = parse(flow, "f", &KnownKinds::new(["k"; 0])).unwrap().written();
        assert_eq!(
            written["steps"][0]["env"],
            json!({"MODE": "fast", "A_TOKEN": "***", "B_TOKEN": "***", "C_TOKEN": "{{ item }}", "D": null})
        );
    }

    #[test]
    fn any_text_survives_yaml() {
        let texts = [
            "",
            " ",
            "yes",
            "No",
            "1",
            "-",
            "a: b",
            "#",
            "it's",
            "\"",
            "it's \"x\"",
            "a\nb",
            "a\n",
            "a\n\nb\n",
            "\n",
            " a\nb\n",
            "a \nb",
            "tab\there",
            "x\u{7f}",
            "é ü",
            "{{ item }}",
            "- x",
            "*a",
            "&b",
            "!c",
            "%d",
            "@e",
            "`f`",
            "a\n\tb'\"",
            "~",
            "null",
            "2026-01-01",
            "0x1f",
            "a,b",
            "[x]",
        ];
        for text in texts {
            for shape in [json!({"k": text}), json!({"k": [text, "z"]}), json!({"k": [{"a": text, "b": 1}]})] {
                let yaml = yaml_text(&shape);
                let back: Value =
                    serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{text:?}: {error}: {yaml}"));
                assert_eq!(back, shape, "{yaml}");
            }
        }
    }
}

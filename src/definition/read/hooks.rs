//! Worker processes and hooks.

use super::{
    Reader,
    scope::{Place, Scope},
    text::foreign,
};
use crate::{
    definition::{
        error::Result,
        webhook::{self, Webhook},
        workflow::{Action, HookDefinition, WorkerDefinition},
        yaml::{Fields, Node, Value},
    },
    model::{EventKind, Millis, WorkerLimits},
};
use std::collections::BTreeMap;

const HOOK: &[&str] = &[
    "name",
    "run",
    "uses",
    "worker",
    "handler",
    "resource_key",
    "retries",
    "backoff",
    "timeout",
    "max_crashes",
    "with",
    "env",
];

type Workers = BTreeMap<String, WorkerDefinition>;

impl Reader<'_> {
    pub(super) fn workers(&self, fields: &Fields<'_>) -> Result<BTreeMap<String, WorkerDefinition>> {
        let mut workers = BTreeMap::new();
        let Some(node) = fields.get("workers") else { return Ok(workers) };
        for (key, node) in self.source.map(node, "workers")? {
            workers.insert(key.name.clone(), self.worker(node)?);
        }
        Ok(workers)
    }

    pub(super) fn worker(&self, node: &Node) -> Result<WorkerDefinition> {
        let fields = self.source.fields(node, "a worker", &["command", "size", "limits", "env", "start_timeout"])?;
        let command = match fields.get("command") {
            Some(node) => {
                let words = self.source.list(node, "command")?.iter();
                words.map(|it| self.source.text(it, "command")).collect::<Result<Vec<_>>>()?
            }
            None => Vec::new(),
        };
        if command.is_empty() {
            let hint = "write `command: [python3, worker.py]`";
            return Err(self.source.refuse(node.line, "the worker has no `command`", Some(hint)));
        }
        let size = fields.get("size").map(|it| self.source.count(it, "size", 1_024)).transpose()?.unwrap_or(1);
        if size == 0 {
            return Err(self.source.refuse(node.line, "a worker with `size` 0 would never run", None));
        }
        let limits = fields.get("limits").map(|it| self.worker_limits(it)).transpose()?;
        let limits = limits.unwrap_or(self.known.worker_limits);
        let start_timeout = fields.get("start_timeout").map(|it| self.source.unit(it, "start_timeout")).transpose()?;
        if start_timeout == Some(Millis(0)) {
            return Err(self.source.refuse(node.line, "with a `start_timeout` of 0 no worker could start", None));
        }
        let mut env = BTreeMap::new();
        if let Some(node) = fields.get("env") {
            for (key, value) in self.source.map(node, "env")? {
                self.variable_name(key)?;
                let plain = value.value != Value::Null;
                env.insert(key.name.clone(), plain.then(|| self.source.text(value, &key.name)).transpose()?);
            }
        }
        Ok(WorkerDefinition { command, size: size as u32, limits, start_timeout, env })
    }

    /// A missing limit keeps its default; an explicit null (`~`) removes the limit.
    pub(super) fn worker_limits(&self, node: &Node) -> Result<WorkerLimits> {
        let fields = self.source.fields(node, "`limits` of a worker", &["rss", "fds", "age"])?;
        let mut limits = self.known.worker_limits;
        let written = |name| fields.get_or_null(name).map(|it| (it, it.value != Value::Null));
        if let Some((node, set)) = written("rss") {
            limits.rss = set.then(|| self.source.unit(node, "rss")).transpose()?;
        }
        if let Some((node, set)) = written("fds") {
            limits.fds = set.then(|| self.source.count(node, "fds", 1 << 20)).transpose()?;
        }
        if let Some((node, set)) = written("age") {
            limits.age = set.then(|| self.source.unit(node, "age")).transpose()?;
        }
        Ok(limits)
    }

    pub(super) fn hooks(
        &self,
        fields: &Fields<'_>,
        workers: &Workers,
    ) -> Result<BTreeMap<EventKind, Vec<HookDefinition>>> {
        let mut hooks = BTreeMap::new();
        let Some(node) = fields.get("hooks") else { return Ok(hooks) };
        let known: Vec<&str> = EventKind::hookable().map(EventKind::name).collect();
        self.source.fields(node, "`hooks`", &known)?;
        for (key, node) in self.source.map(node, "hooks")? {
            let Some(event) = EventKind::from_name(&key.name) else { continue };
            let listed = self.source.list(node, &key.name)?;
            hooks.insert(event, listed.iter().map(|it| self.hook(it, workers)).collect::<Result<_>>()?);
        }
        Ok(hooks)
    }

    fn hook(&self, node: &Node, workers: &Workers) -> Result<HookDefinition> {
        let fields = self.source.fields(node, "a hook", HOOK)?;
        let named = fields.get("name");
        let named = named.ok_or_else(|| self.source.refuse(node.line, "the hook has no `name`", None))?;
        let name = self.source.name(named, "hook name")?;
        let (env, declared) = self.env(&fields)?;
        let foreign = foreign(&env);
        let scope = Scope { env: &declared, foreign: &foreign, ..Scope::of(Place::Hook) };
        self.check_env(&fields, &env, scope)?;
        let action = self.action(&name, &fields, node.line, scope, workers)?;
        let (retries, backoff, timeout) = self.patience(&fields, 3)?;
        let max_crashes = fields.get("max_crashes").map(|it| self.max_crashes(it)).transpose()?;
        let resource_key = fields.get("resource_key").map(|it| self.hook_key(it)).transpose()?;
        let with = self.with(&fields, scope)?;
        self.check_webhook(&fields, &action, &with)?;
        let secrets = self.secrets(&fields, &action)?;
        Ok(HookDefinition { action, retries, backoff, timeout, with, env, secrets, name, resource_key, max_crashes })
    }

    pub(super) fn check_webhook(&self, fields: &Fields<'_>, action: &Action, with: &serde_json::Value) -> Result<()> {
        if !matches!(action, Action::Uses(kind) if kind == webhook::KIND) {
            return Ok(());
        }
        let line = fields.get("with").or(fields.get("uses")).map_or(1, |it| it.line);
        Webhook::of(with)
            .map(drop)
            .map_err(|message| self.source.refuse(line, format!("`{}`: {message}", webhook::KIND), Some(webhook::HINT)))
    }

    /// A hook becomes due in its event's transaction, where no template is rendered.
    fn hook_key(&self, node: &Node) -> Result<String> {
        let key = self.source.text(node, "resource_key")?;
        if key.contains("{{") {
            let hint = "write a key without `{{ }}`; a key with values can be that of a step";
            return Err(self.source.refuse(node.line, "the `resource_key` of a hook can't have values", Some(hint)));
        }
        Ok(key)
    }
}

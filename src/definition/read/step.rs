//! Reads one step: its action, retries and limits.

use super::{
    Draft, Reader,
    scope::{Place, Scope},
    text::foreign,
};
use crate::{
    decide::retry::Backoff,
    definition::{
        error::Result,
        shell,
        template::Template,
        workflow::{Action, Background, Command, StepDefinition, StepLimits, Unit, ValueForm, WorkerDefinition},
        yaml::{Fields, Node, Value, did_you_mean},
    },
    model::{HOOK_TYPE, Millis},
};
use std::collections::BTreeMap;

impl Reader<'_> {
    pub(super) fn step(
        &self,
        drafts: &[Draft<'_>],
        at: usize,
        place: &[usize],
        workers: &BTreeMap<String, WorkerDefinition>,
    ) -> Result<StepDefinition> {
        let Draft { name, fields, line, needs } = &drafts[at];
        let needed = needs.iter().map(|it| drafts[*it].name.as_str());
        let needed: Vec<&str> = needed.chain(self.runs()).collect();
        let (env, declared) = self.env(fields)?;
        let foreign = foreign(&env);
        let in_files = named(drafts, needs, |it| it.has_its_value_in_a_file());
        let mut with_children = named(drafts, needs, |it| it.has_children());
        with_children.extend(self.runs());
        let scope = Scope {
            place: if self.collects { Place::Collect } else { Place::Step },
            needs: &needed,
            in_files: &in_files,
            with_children: &with_children,
            env: &declared,
            foreign: &foreign,
        };
        self.check_env(fields, &env, scope)?;
        let action = match fields.get("workflow") {
            Some(node) => self.sub_workflow(name, fields, node)?,
            None => self.action(name, fields, *line, scope, workers)?,
        };
        let mut step = StepDefinition::new(name, action);
        step.with = self.with(fields, scope)?;
        self.check_webhook(fields, &step.action, &step.with)?;
        step.needs = sorted(needs.iter().map(|it| place[*it]));
        if let Some(node) = fields.get("type") {
            step.step_type = self.source.name(node, "type")?;
        }
        self.check_type(&step, *line)?;
        self.check_collect(fields)?;
        if let Some(node) = fields.get("resource_key") {
            step.resource_key = Some(self.template(node, "resource_key", Scope::of(Place::Submit))?);
        }
        step.takes = self.takes(fields)?;
        (step.retries, step.backoff, step.timeout) = self.patience(fields, step.retries)?;
        if let Some(node) = fields.get("max_crashes") {
            step.max_crashes = self.max_crashes(node)?;
        }
        if let Some(node) = fields.get("permanent_exits") {
            step.permanent_exits = self.permanent_exits(node)?;
        }
        step.cache = fields.get("cache").map(|it| self.source.bool(it, "cache")).transpose()?;
        if let Some(node) = fields.get("cache_files") {
            step.cache_files = Some(self.cache_files(node, &step)?);
        }
        if let Some(node) = fields.get("limits") {
            step.limits = self.step_limits(node)?;
        }
        if let Some(node) = fields.get("unit") {
            step.unit = self.unit(node)?;
        }
        if let Some(node) = fields.get("background") {
            step.background = self.background(node, &step)?;
        }
        if let Some(node) = fields.get("value") {
            step.value = self.value_form(node, &step)?;
        }
        self.flow(fields, &mut step, &needed)?;
        step.env = env;
        step.secrets = self.secrets(fields, &step.action)?;
        self.check_masked(fields, &step)?;
        self.for_each(fields, step, &needed, workers)
    }

    /// Refuses the pool of hooks as the type of a step.
    fn check_type(&self, step: &StepDefinition, line: u64) -> Result<()> {
        if step.step_type != HOOK_TYPE {
            return Ok(());
        }
        let hint = "the pool of this name runs hooks: give the step another `type:`";
        Err(self.source.refuse(line, format!("step `{}` has the type `{HOOK_TYPE}`", step.name), Some(hint)))
    }

    /// Refuses to store the value of a step with a secret in a file, because the file could not be masked.
    fn check_masked(&self, fields: &Fields<'_>, step: &StepDefinition) -> Result<()> {
        if let (false, ValueForm::File, Some(node)) = (step.secrets.is_empty(), step.value, fields.get("value")) {
            let message = "a step with a secret can't have `value: file`: what it prints could not be masked";
            return Err(self.source.refuse(node.line, message, Some("remove `value: file`")));
        }
        Ok(())
    }

    /// The resources of a step must be known at submit; those of steps in `collect` are not.
    fn check_collect(&self, fields: &Fields<'_>) -> Result<()> {
        for key in ["resource_key", "resources", "rate"] {
            if let (Some(node), true) = (fields.get(key), self.collects) {
                let message = format!("a step in `collect` has no `{key}`");
                return Err(self.source.refuse(node.line, message, None));
            }
        }
        Ok(())
    }

    /// The name under which a step in `collect` refers to the runs of the group.
    fn runs(&self) -> Option<&'static str> {
        self.collects.then_some("runs")
    }

    fn permanent_exits(&self, node: &Node) -> Result<Vec<i32>> {
        let codes = self.source.list(node, "permanent_exits")?.iter();
        codes.map(|it| Ok(self.source.count(it, "permanent_exits", 255)? as i32)).collect()
    }

    pub(super) fn max_crashes(&self, node: &Node) -> Result<u32> {
        Ok(self.source.count(node, "max_crashes", 1_000)?.max(1) as u32)
    }

    /// `retries`, `backoff` and `timeout`, which steps and hooks share.
    pub(super) fn patience(&self, fields: &Fields<'_>, retries: u32) -> Result<(u32, Backoff, Option<Millis>)> {
        let retries = match fields.get("retries") {
            Some(node) => self.source.count(node, "retries", 10_000)? as u32,
            None => retries,
        };
        let backoff = fields.get("backoff").map(|it| self.backoff(it)).transpose()?.unwrap_or_default();
        let timeout = fields.get("timeout").map(|it| self.source.unit::<Millis>(it, "timeout")).transpose()?;
        if let (Some(Millis(0)), Some(node)) = (timeout, fields.get("timeout")) {
            let hint = "remove `timeout` for no limit";
            return Err(self.source.refuse(node.line, "a `timeout` of 0 ends every attempt at once", Some(hint)));
        }
        Ok((retries, backoff, timeout))
    }

    pub(super) fn backoff(&self, node: &Node) -> Result<Backoff> {
        let fields = self.source.fields(node, "`backoff`", &["initial", "factor", "max", "jitter"])?;
        let mut backoff = Backoff::default();
        if let Some(node) = fields.get("initial") {
            backoff.initial = self.source.unit(node, "initial")?;
        }
        if let Some(node) = fields.get("factor") {
            backoff.factor = self.source.number(node, "factor")?;
            if !(1.0..=1_000.0).contains(&backoff.factor) {
                return Err(self.source.refuse(node.line, "`factor` must be 1 to 1000", None));
            }
        }
        if let Some(node) = fields.get("max") {
            backoff.max = self.source.unit(node, "max")?;
        }
        if let Some(node) = fields.get("jitter") {
            backoff.jitter = self.source.number(node, "jitter")?;
            if !(0.0..=1.0).contains(&backoff.jitter) {
                return Err(self.source.refuse(node.line, "`jitter` must be 0 to 1", None));
            }
        }
        backoff.max = backoff.max.max(backoff.initial);
        Ok(backoff)
    }

    pub(super) fn action(
        &self,
        name: &str,
        fields: &Fields<'_>,
        line: u64,
        scope: Scope<'_>,
        workers: &BTreeMap<String, WorkerDefinition>,
    ) -> Result<Action> {
        let (run, uses, worker) = (fields.get("run"), fields.get("uses"), fields.get("worker"));
        let what = if scope.place == Place::Hook { "hook" } else { "step" };
        if let Some(wait) = self.wait(fields, scope)? {
            return Ok(Action::Wait(wait));
        }
        let handler = fields.get("handler").map(|it| self.source.name(it, "handler")).transpose()?;
        if let (Some(node), None) = (fields.get("handler"), worker) {
            return Err(self.source.refuse(node.line, "`handler` works only with `worker`", None));
        }
        match (run, uses, worker) {
            (Some(node), None, None) => Ok(Action::Run(self.command(node, scope)?)),
            (None, Some(node), None) => self.uses(node),
            (None, None, Some(node)) => {
                let worker = self.source.text(node, "worker")?;
                if !workers.contains_key(&worker) {
                    let hint =
                        format!("add it to `workers:`; {}", did_you_mean(&worker, workers.keys().map(|it| &**it)));
                    let message = format!("{what} `{name}` uses the worker `{worker}`, which is not defined");
                    return Err(self.source.refuse(node.line, message, Some(&hint)));
                }
                Ok(Action::Worker { worker, handler: handler.unwrap_or_else(|| name.to_string()) })
            }
            (None, None, None) => {
                let message = format!("{what} `{name}` has nothing to do");
                Err(self.source.refuse(
                    line,
                    message,
                    Some("give it `run:`, `uses:`, `worker:` or, for a step, `workflow:`, `approve:`, `wait:` or `signal:`"),
                ))
            }
            _ => {
                let message = format!("{what} `{name}` has more than one of `run`, `uses` and `worker`");
                Err(self.source.refuse(line, message, Some("keep one of them")))
            }
        }
    }

    pub(super) fn uses(&self, node: &Node) -> Result<Action> {
        let kind = self.source.text(node, "uses")?;
        if !self.known.contains(&kind) {
            let hint = did_you_mean(&kind, self.known.names());
            return Err(self.source.refuse(node.line, format!("unknown step kind `{kind}`"), Some(&hint)));
        }
        Ok(Action::Uses(kind))
    }

    pub(super) fn command(&self, node: &Node, scope: Scope<'_>) -> Result<Command> {
        if let Value::List(words) = &node.value {
            if words.is_empty() {
                return Err(self.source.refuse(
                    node.line,
                    "`run` is an empty list",
                    Some("its first word is the program"),
                ));
            }
            let words = words.iter().map(|it| self.template(it, "run", scope)).collect::<Result<Vec<_>>>()?;
            shell::check_list(&words, scope.foreign)
                .map_err(|(message, hint)| self.source.refuse(node.line, message, Some(hint)))?;
            return Ok(Command::Argv(words));
        }
        let template = self.template(node, "run", scope)?;
        if template.source().trim().is_empty() {
            return Err(self.source.refuse(node.line, "`run` is empty", None));
        }
        shell::check(&template, scope.foreign)
            .map_err(|(message, hint)| self.source.refuse(node.line, message, Some(hint)))?;
        Ok(Command::Shell(template))
    }

    pub(super) fn step_limits(&self, node: &Node) -> Result<StepLimits> {
        let fields = self.source.fields(node, "`limits` of a step", &["memory", "open_files", "cpu"])?;
        Ok(StepLimits {
            memory: fields.get("memory").map(|it| self.source.unit(it, "memory")).transpose()?,
            open_files: fields.get("open_files").map(|it| self.source.count(it, "open_files", 1 << 20)).transpose()?,
            cpu: fields.get("cpu").map(|it| self.source.unit(it, "cpu")).transpose()?,
        })
    }

    fn cache_files(&self, node: &Node, step: &StepDefinition) -> Result<Vec<Template>> {
        if let Action::Uses(_) = step.action {
            let hint = "a built-in kind knows its own dependencies";
            return Err(self.source.refuse(node.line, "`cache_files` works only with `run` and `worker`", Some(hint)));
        }
        if step.cache != Some(true) {
            return Err(self.source.refuse(node.line, "`cache_files` needs `cache: true`", None));
        }
        let scope = Scope::of(Place::Submit);
        let files = self.source.list(node, "cache_files")?.iter();
        files.map(|it| self.template(it, "cache_files", scope)).collect()
    }

    fn background(&self, node: &Node, step: &StepDefinition) -> Result<Background> {
        let (message, hint) = match self.source.text(node, "background")?.as_str() {
            "end" => return Ok(Background::End),
            "allow" if !matches!(step.action, Action::Run(_)) => {
                ("`background` works only with `run`".to_string(), "remove it")
            }
            "allow" if step.resource_key.is_some() => {
                let message =
                    "a step with a `resource_key` can't leave processes behind: they would still hold the key";
                (message.to_string(), "start them in another step, without a key")
            }
            "allow" => return Ok(Background::Allow),
            other => (format!("unknown value `{other}` of `background`"), "write `allow` or `end`"),
        };
        Err(self.source.refuse(node.line, message, Some(hint)))
    }

    fn value_form(&self, node: &Node, step: &StepDefinition) -> Result<ValueForm> {
        let (message, hint) = match self.source.text(node, "value")?.as_str() {
            "inline" => return Ok(ValueForm::Inline),
            "file" if matches!(step.action, Action::Uses(_)) => {
                ("`value: file` works only with `run` and `worker`".to_string(), "remove it")
            }
            "file" => return Ok(ValueForm::File),
            other => (format!("unknown value `{other}` of `value`"), "write `file` or `inline`"),
        };
        Err(self.source.refuse(node.line, message, Some(hint)))
    }

    pub(super) fn unit(&self, node: &Node) -> Result<Unit> {
        match self.source.text(node, "unit")?.as_str() {
            "step" => Ok(Unit::Step),
            "run" => Ok(Unit::Run),
            other => {
                Err(self.source.refuse(node.line, format!("unknown unit `{other}`"), Some("write `step` or `run`")))
            }
        }
    }
}

fn sorted(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

/// The names of the needed steps that match.
fn named<'d>(drafts: &'d [Draft<'_>], needs: &[usize], wanted: impl Fn(&Draft<'_>) -> bool) -> Vec<&'d str> {
    needs.iter().map(|it| &drafts[*it]).filter(|it| wanted(it)).map(|it| it.name.as_str()).collect()
}

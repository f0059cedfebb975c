//! Submits work: an unsealed group, its runs in slices, the seal.

use super::{
    Engine, cache_files,
    error::{Error, Result},
    item::item_value,
    reserve::Reserve,
    step_kind::NO_SECRET,
};
use crate::{
    decide::fairness::MAX_WEIGHT,
    definition::{Action, Definition, StepDefinition, Values, digest},
    embed,
    failpoint::probe::{self, Window},
    model::{ArtifactHash, Concurrency, DefinitionId, GroupId, Kind, RunId, Shape, ShapeHook, ShapeStep, Status},
    os::{Unpoisoned, process_stat},
    settings,
    store::{
        self, Store, WriteTx,
        batch_group::OfBatch,
        cancel,
        child_group::{self, NewChild},
        concurrency::{self, Turn},
        definition::NewDefinition,
        document::RunDocuments,
        group::{self, Created, NewGroup, NewRun},
        group_end,
    },
};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::MutexGuard,
};

/// The longest name and key of a group in bytes. Lists show the name, and an index contains the key.
const NAME_BYTES: usize = 1 << 10;
/// The most rows that one transaction writes.
const SLICE_ROWS: usize = 1_000;

/// Work to submit.
#[derive(Debug, Clone)]
pub struct Submission {
    pub definition: Definition,
    /// One run each. A JSON object is an item with fields; anything else is plain text.
    pub items: Vec<String>,
    pub params: Value,
    /// The directory in which commands start.
    pub directory: PathBuf,
    /// The workflow file, to detect later whether it has changed.
    pub file: Option<PathBuf>,
    pub name: Option<String>,
    /// Higher priorities run first.
    pub priority: i64,
    /// Its share relative to other groups of its priority, from 1 to 1000.
    pub weight: i64,
    /// A key that makes the submission idempotent: submitting it again creates no second group.
    pub key: Option<String>,
    /// Runs steps even if their results are cached.
    pub force: bool,
    /// Only its own worker takes its steps at first.
    pub scoped: bool,
    /// The batch of documents that it processes. Each item names its content as `sha256`.
    pub of_batch: Option<OfBatch>,
    /// The documents of each item, in order. Empty if none are known by name.
    pub documents: Vec<RunDocuments>,
    /// Its parent step.
    pub child: Option<NewChild>,
}

impl Submission {
    pub fn new(definition: Definition, items: Vec<String>) -> Submission {
        Submission {
            definition,
            items,
            params: Value::Object(Default::default()),
            directory: PathBuf::from("."),
            file: None,
            name: None,
            priority: 0,
            weight: 1,
            key: None,
            force: false,
            scoped: false,
            of_batch: None,
            documents: Vec::new(),
            child: None,
        }
    }
}

/// The result of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    pub group: GroupId,
    /// False: the key was in use with the same content, and this is its group; or `skipped`.
    pub new: bool,
    /// The run of the first item; the others follow in order. None for a group that already existed or has no runs.
    pub first_run: Option<RunId>,
    /// The group of the key had this status when it was pruned; nothing of it is left.
    pub gone: Option<Status>,
    /// Nothing was submitted: this group of the same concurrency group has not ended, and the policy is to skip.
    pub skipped: bool,
}

impl Submitted {
    fn existing(group: GroupId) -> Submitted {
        Submitted { group, new: false, first_run: None, gone: None, skipped: false }
    }
}

impl Engine {
    /// Writes a group with all its runs. When this returns, the group is on disk, sealed, and claimable.
    pub fn submit(&self, submission: Submission) -> Result<Submitted> {
        let _inside = probe::inside(Window::Submit);
        submission.definition.check_parameters(&submission.params)?;
        check_texts(&submission)?;
        let Submission { definition, items, params, directory, .. } = &submission;
        cache_files::check(definition, items, params, directory)?;
        check_length("name", submission.name.as_deref().unwrap_or(&definition.name))?;
        // The submitter decides where texts may be sent, and with which key.
        if let Some(url) = submission.params["embed"]["url"].as_str() {
            embed::pair(url, submission.params["embed"]["key"].as_str())?;
        }
        check_directory(&submission)?;
        self.check_secrets(definition)?;
        check_weight(submission.weight)?;
        check_length("key", submission.key.as_deref().unwrap_or_default())?;
        // The disk may still be full.
        self.abandoned().clone().into_iter().for_each(|group| drop(self.sweep_unsealed(group)));
        let runs = self.render_runs(&submission)?;
        let new = NewGroup {
            definition: self.intern(&submission.definition)?,
            name: submission.name.clone().unwrap_or_else(|| submission.definition.name.clone()),
            params: submission.params.to_string(),
            directory: submission.directory.to_string_lossy().into_owned(),
            file: submission.file.as_ref().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default(),
            concurrency: turn(&submission)?,
            priority: submission.priority,
            weight: submission.weight,
            force: submission.force,
            scoped: submission.scoped,
            key: submission.key.clone().map(|key| (key, content(&submission))),
            builder: (*self.identity).clone(),
            of_batch: submission.of_batch.clone(),
            alerts: if submission.definition.alerts { self.alerts()? } else { None },
            child: submission.child.clone(),
            collect: submission.definition.collect.as_ref().map(|it| self.intern(it)).transpose()?,
        };
        let rows_per_run = 4 + submission.definition.steps.len();
        let slice = (SLICE_ROWS / rows_per_run).max(1);
        let mut runs = runs.into_iter();
        let first: Vec<NewRun> = runs.by_ref().take(slice).collect();
        let small = runs.len() == 0;
        loop {
            match begin(&self.store, new.clone(), first.clone(), small)? {
                (Created::Existing(group), _) => return Ok(Submitted::existing(group)),
                (Created::Skipped(group), _) => return Ok(Submitted { skipped: true, ..Submitted::existing(group) }),
                (Created::Gone(group, status), _) => {
                    return Ok(Submitted { gone: Some(status), ..Submitted::existing(group) });
                }
                (Created::Unfinished(group, builder), _)
                    if process_stat::is_alive(&builder) && !self.is_abandoned(group) =>
                {
                    let key = submission.key.unwrap_or_default();
                    let what = format!("{group} with key `{key}` is being submitted by process {}", builder.pid);
                    let hint = Some("wait until it is done, then submit again");
                    return Err(Error::Refused { kind: Kind::Conflict, what, hint });
                }
                (Created::Unfinished(group, _), _) => self.sweep_unsealed(group)?,
                (Created::New(group), first_run) => {
                    self.add_rest(group, runs, slice).inspect_err(|_| {
                        // It was never acknowledged. If this fails too, a worker removes it later.
                        self.abandoned().insert(group);
                        let _ = self.sweep_unsealed(group);
                    })?;
                    self.finish_replaced(&new, group)?;
                    return Ok(Submitted { new: true, first_run, ..Submitted::existing(group) });
                }
            }
        }
    }

    fn add_rest(&self, group: GroupId, mut runs: std::vec::IntoIter<NewRun>, slice: usize) -> Result<()> {
        if runs.len() > 0 {
            loop {
                let next: Vec<NewRun> = runs.by_ref().take(slice).collect();
                if next.is_empty() {
                    break;
                }
                self.store.write(move |tx| group::add_runs(tx, group, &next))?;
            }
            self.store.write(move |tx| seal(tx, group))?;
        }
        self.open_group(group)
    }

    /// Cancels the steps of groups that a new one replaces; the groups have been marked since the new one was written.
    /// After a crash, the next worker continues.
    fn finish_replaced(&self, new: &NewGroup, group: GroupId) -> Result<()> {
        if new.concurrency.as_ref().is_none_or(|it| it.policy != Concurrency::Replace) {
            return Ok(());
        }
        for id in self.store.read(|tx| concurrency::before(tx, group))? {
            match self.cancel_group(id) {
                // It is still being submitted, and is cancelled afterwards.
                Err(error) if error.kind() == Kind::Conflict => {}
                done => drop(done?),
            }
        }
        Ok(())
    }

    /// Places the first steps of a sealed group. Safe to repeat.
    pub(super) fn open_group(&self, group: GroupId) -> Result<()> {
        while self.store.write(move |tx| group::open_slice(tx, group, SLICE_ROWS / 2))? {}
        Ok(())
    }

    /// Removes a group that was never acknowledged and whose builder is dead.
    pub(super) fn sweep_unsealed(&self, group: GroupId) -> Result<()> {
        while self.store.write(move |tx| group_end::sweep_unsealed(tx, group, 100))? {}
        self.abandoned().remove(&group);
        Ok(())
    }

    /// Whether this process began to build the group and gave up.
    pub(super) fn is_abandoned(&self, group: GroupId) -> bool {
        self.abandoned().contains(&group)
    }

    fn abandoned(&self) -> MutexGuard<'_, BTreeSet<GroupId>> {
        self.abandoned.lock().unpoisoned()
    }

    /// Renders the resource key of each step of each run, and the resources that it takes. They never change after
    /// this.
    fn render_runs(&self, submission: &Submission) -> Result<Vec<NewRun>> {
        let keyed = submission.definition.steps.iter().any(|it| it.resource_key.is_some());
        let mut reserve = Reserve::new(self, &submission.definition);
        let mut runs = Vec::with_capacity(submission.items.len());
        for (no, item) in submission.items.iter().enumerate() {
            let keys = match keyed {
                true => keys_of(&submission.definition, item, &submission.params)?,
                false => Vec::new(),
            };
            let demands = reserve.demands(item, &submission.params)?;
            let content = submission.of_batch.as_ref().and_then(|_| content_of(item));
            let documents = submission.documents.get(no).cloned();
            runs.push(NewRun { item: item.clone(), keys, demands, content, documents });
        }
        Ok(runs)
    }

    /// Refuses a workflow that uses a secret that this machine does not have.
    pub(super) fn check_secrets(&self, definition: &Definition) -> Result<()> {
        let alerts = self.options.alerts.iter().filter(|_| definition.alerts).flat_map(|it| it.secrets());
        check_secrets(&self.options.secrets, definition.secrets().into_iter().chain(alerts))
    }

    /// The definition with the alerts of the settings as its hooks.
    pub(super) fn alerts(&self) -> Result<Option<DefinitionId>> {
        let Some(definition) = &self.options.alerts else { return Ok(None) };
        if let Some(known) = self.catalog.alerts.get() {
            return Ok(Some(*known));
        }
        let id = self.intern(definition)?;
        Ok(Some(*self.catalog.alerts.get_or_init(|| id)))
    }

    pub(super) fn intern(&self, definition: &Definition) -> Result<DefinitionId> {
        let new = NewDefinition {
            hash: definition.hash(),
            name: definition.id.clone(),
            title: definition.name.clone(),
            body: definition.to_json(),
            shape: shape(definition),
        };
        Ok(self.store.write(move |tx| crate::store::definition::intern(tx, &new))?)
    }
}

/// Refuses a secret that this machine does not have, with the step or hook that needs it. `directory`: where the secrets are.
///
/// # Errors
/// Also for a file that other users can read.
pub fn check_secrets(directory: &Path, needed: impl IntoIterator<Item = (String, String)>) -> Result<()> {
    for (owner, name) in needed {
        if settings::secret_of_step(directory, &name)?.is_none() {
            return Err(Error::refused(format!("the secret `{name}` of {owner} is not set"), Some(NO_SECRET)));
        }
    }
    Ok(())
}

/// The first transaction; the only one for a small submission.
fn begin(store: &Store, new: NewGroup, runs: Vec<NewRun>, small: bool) -> Result<(Created, Option<RunId>)> {
    Ok(store.write(move |tx| {
        let created = group::create(tx, &new)?;
        let Created::New(id) = created else { return Ok((created, None)) };
        if new.concurrency.as_ref().is_some_and(|it| it.policy == Concurrency::Replace) {
            for other in concurrency::before(tx, id)? {
                match cancel::group(tx, other) {
                    Err(error) if error.kind() == Kind::Conflict => {}
                    done => drop(done?),
                }
            }
        }
        let first = group::add_runs(tx, id, &runs)?;
        if small {
            seal(tx, id)?;
            group::open_slice(tx, id, SLICE_ROWS / 2)?;
        }
        Ok((created, first))
    })?)
}

/// Acknowledges a group. Cancels it if another group replaced it in the meantime, or its parent step has ended.
fn seal(tx: &WriteTx, group: GroupId) -> store::Result<()> {
    group::seal(tx, group)?;
    if concurrency::is_replaced(tx, group)? || child_group::is_unwanted(tx, group)? {
        cancel::group(tx, group)?;
    }
    Ok(())
}

/// The concurrency group of a submission.
fn turn(submission: &Submission) -> Result<Option<Turn>> {
    let Some(it) = &submission.definition.concurrency else { return Ok(None) };
    let values = Values { params: Some(Cow::Borrowed(&submission.params)), ..Values::default() };
    let name = it.group.render(&values)?;
    if name.is_empty() {
        let what = format!("the concurrency group `{}` has an empty name", it.group.source());
        return Err(Error::refused(what, Some("set the parameter that it is made of with `--param`")));
    }
    check_length("concurrency name", &name)?;
    Ok(Some(Turn { name, policy: it.policy }))
}

fn check_directory(submission: &Submission) -> Result<()> {
    if submission.directory.to_str().is_some() {
        return Ok(());
    }
    let what = format!("the name of the directory {} is not UTF-8", submission.directory.display());
    Err(Error::refused(what, Some("start from another directory")))
}

/// Refuses a NUL that would reach a command, because no argument or variable can contain one. In a JSON item it is
/// written as `\u0000`.
fn check_texts(submission: &Submission) -> Result<()> {
    fn has(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(values) => values.iter().any(has),
            Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    let runs = submission.definition.steps.iter().any(|it| matches!(it.action, Action::Run(_)));
    let refuse = |what: String| {
        Err(Error::refused(format!("{what} contains NUL, which no argument and no variable can have"), None))
    };
    let suspect = |it: &&String| it.contains('\0') || (runs && it.contains("\\u0000"));
    for (at, item) in submission.items.iter().enumerate().filter(|it| suspect(&it.1)) {
        if item.contains('\0') || has(&item_value(item)) {
            return refuse(format!("item {}", at + 1));
        }
    }
    if runs && has(&submission.params) {
        return refuse("a parameter".to_string());
    }
    Ok(())
}

fn check_length(what: &str, text: &str) -> Result<()> {
    if text.len() <= NAME_BYTES {
        return Ok(());
    }
    let what = format!("the {what} of a group may have {NAME_BYTES} bytes, but this one has {}", text.len());
    Err(Error::refused(what, Some("give a shorter one; put long strings in items or params")))
}

/// The shape of a definition, for the store.
pub(super) fn shape(definition: &Definition) -> Shape {
    let step = |it: &StepDefinition| ShapeStep {
        step_type: it.step_type.clone(),
        needs: it.needs.clone(),
        after: it.after,
        allow_failure: it.allow_failure,
        on_cancel_run: it.on_cancel_run,
    };
    let steps = definition.steps.iter().map(step);
    let hooks = definition.hooks.iter().flat_map(|(event, hooks)| hooks.iter().map(move |it| (*event, it)));
    let hooks = hooks.map(|(event, it)| ShapeHook { event, name: it.name.clone(), key: it.resource_key.clone() });
    Shape { steps: steps.collect(), hooks: hooks.collect() }
}

/// The resource key of each step for one item.
pub(super) fn keys_of(definition: &Definition, item: &str, params: &Value) -> Result<Vec<Option<String>>> {
    let value = item_value(item);
    let values = Values { item: Some(Cow::Borrowed(&value)), params: Some(Cow::Borrowed(params)), ..Values::default() };
    let key = |step: &StepDefinition| {
        let key = step.resource_key.as_ref().map(|it| it.render(&values)).transpose()?;
        check_key(key.as_deref())?;
        Ok(key)
    };
    definition.steps.iter().map(key).collect()
}

/// The content that an item of a batch refers to.
fn content_of(item: &str) -> Option<ArtifactHash> {
    item_value(item).get("sha256")?.as_str()?.parse().ok()
}

fn check_weight(weight: i64) -> Result<()> {
    match (1..=MAX_WEIGHT).contains(&weight) {
        true => Ok(()),
        false => Err(Error::refused(
            format!("the weight {weight} is not between 1 and {MAX_WEIGHT}"),
            Some("a group of weight 3 gets three times the share of one of weight 1"),
        )),
    }
}

/// The key of a vector database must name its file by an absolute path, so that all its writers use the same lock.
fn check_key(key: Option<&str>) -> Result<()> {
    match key.and_then(|it| it.strip_prefix("vec:")) {
        Some(path) if !Path::new(path).is_absolute() => Err(Error::refused(
            format!("resource key `vec:{path}` is not the absolute path of a vector database"),
            Some("give the parameter `store.path` as an absolute path, or run it with `--params default`"),
        )),
        _ => Ok(()),
    }
}

/// The hashed content of a submission with a key: the definition, the parameters and the items.
fn content(submission: &Submission) -> [u8; 32] {
    let mut what = serde_json::json!({
        "definition": hex::encode(submission.definition.hash()),
        "params": submission.params,
        "items": submission.items,
        "priority": submission.priority,
    });
    if submission.weight != 1 {
        what["weight"] = submission.weight.into();
    }
    digest("windlass submission 1", &what)
}

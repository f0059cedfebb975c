//! Retries: what FAILED or was CANCELLED becomes PENDING again, under its own definition or a repaired one; or a run
//! restarts at one of its steps.

use super::{
    Engine,
    error::{Error, Result},
    reserve::Reserve,
    submit::keys_of,
};
use crate::{
    definition::Definition,
    model::{DefinitionId, GroupId, RunId, StepId},
    store::{
        self, definition, group,
        retry::{self, Again, Keys, Takes},
        run, step,
    },
};
use std::path::{Path, PathBuf};

/// The most rows that one transaction writes.
const SLICE: usize = 500;

/// How work is retried.
#[derive(Debug, Clone, Default)]
pub struct Retry {
    /// The definition to continue under. Names, needs and types of its steps must be the same.
    pub definition: Option<Definition>,
    /// The step from which finished runs rerun, with its dependents. None: what failed or was cancelled.
    pub from: Option<String>,
}

/// What is retried.
#[derive(Clone, Copy)]
enum Subject {
    Group(GroupId),
    Run(RunId),
}

impl Engine {
    /// Reopens an ended group. False: nothing in it failed or was cancelled.
    pub fn retry_group(&self, id: GroupId) -> Result<bool> {
        self.retry_group_as(id, &Retry::default())
    }

    pub fn retry_group_as(&self, id: GroupId, how: &Retry) -> Result<bool> {
        let again = self.again(id, Subject::Group(id), how)?;
        if let (Some(new), Some(_)) = (&how.definition, again.definition) {
            self.check_keys(id, new, again.from.is_some())?;
        }
        let reopened = self.store.write(move |tx| retry::group_again(tx, id, again))?;
        self.finish_retry(id)?;
        Ok(reopened)
    }

    /// Reopens one step and the steps that were cancelled with it. Returns how many are PENDING again. `from` is
    /// ignored for a single step.
    pub fn retry_step_as(&self, id: StepId, how: &Retry) -> Result<usize> {
        let owners = self.store.read(|tx| step::owners(tx, id))?;
        let (group, run) = owners.ok_or_else(|| store::Error::not_found(id))?;
        let again = self.again(group, Subject::Run(run), how)?;
        let keys = self.keys_of_run(group, run, how)?;
        let opened = self.store.write(move |tx| retry::step_again(tx, id, again.definition, keys.as_ref()))?;
        self.open_group(group)?;
        Ok(opened)
    }

    /// Reopens one run. Returns how many of its steps are PENDING again.
    pub fn retry_run(&self, id: RunId) -> Result<usize> {
        self.retry_run_as(id, &Retry::default())
    }

    pub fn retry_run_as(&self, id: RunId, how: &Retry) -> Result<usize> {
        let group = self.store.read(|tx| run::group_of(tx, id))?.ok_or_else(|| store::Error::not_found(id))?;
        let again = self.again(group, Subject::Run(id), how)?;
        let keys = self.keys_of_run(group, id, how)?;
        let opened = self.store.write(move |tx| retry::run_again(tx, id, again, keys.as_ref()))?;
        self.open_group(group)?;
        Ok(opened)
    }

    /// Continues a group's retry: reopens its runs, and opens the group. Safe to repeat.
    pub(super) fn finish_retry(&self, id: GroupId) -> Result<()> {
        loop {
            let keys = self.next_keys(id)?;
            if !self.store.write(move |tx| retry::group_slice(tx, id, SLICE, keys.as_ref()))? {
                return self.open_group(id);
            }
        }
    }

    /// Translates the options for the store: the id of the new definition, and the number of the step.
    fn again(&self, group: GroupId, subject: Subject, how: &Retry) -> Result<Again> {
        if how.definition.is_none() && how.from.is_none() {
            return Ok(Again::default());
        }
        let used = self.store.read(|tx| match subject {
            Subject::Group(id) => definition::of_group(tx, id),
            Subject::Run(id) => definition::of_run(tx, id),
        })?;
        let mut from = None;
        for id in used {
            let known = self.catalog.definition(&self.store, id)?;
            if let Some(difference) = how.definition.as_ref().and_then(|new| known.definition.difference(new)) {
                let what = format!("a run of {group} can't go on under this workflow: {difference}");
                let hint = "only what the steps do may change; submit it as a new group otherwise";
                return Err(Error::refused(what, Some(hint)));
            }
            if let Some(name) = &how.from {
                from = Some(number_of(&known.definition, name)?);
            }
        }
        let collect = how.definition.as_ref().and_then(|it| it.collect.as_ref());
        let collect = match subject {
            Subject::Group(_) => collect.map(|it| self.intern(it)).transpose()?,
            Subject::Run(_) => None,
        };
        let definition = match &how.definition {
            Some(new) => {
                let detail = self.store.read(|tx| group::detail(tx, group))?;
                new.check_parameters(&detail.params)?;
                Some(self.intern(new)?)
            }
            None => None,
        };
        Ok(Again { definition, from, collect })
    }

    /// Before anything is written: refuses a new definition if its resource keys can't be rendered for a run of the
    /// group.
    fn check_keys(&self, id: GroupId, new: &Definition, all: bool) -> Result<()> {
        let params = self.store.read(|tx| group::detail(tx, id))?.params;
        let mut after = RunId(0);
        let mut reserve = Reserve::new(self, new);
        while reserve.is_needed() || new.steps.iter().any(|it| it.resource_key.is_some()) {
            let items = self.store.read(|tx| retry::items(tx, id, after, all, SLICE))?;
            for (_, item) in &items {
                keys_of(new, item, &params)?;
                reserve.demands(item, &params)?;
            }
            match items.last() {
                Some((last, _)) => after = *last,
                None => break,
            }
        }
        Ok(())
    }

    /// The resource keys of the next runs that a retry under a new definition reopens. None: each run keeps its own.
    fn next_keys(&self, id: GroupId) -> Result<Option<Keys>> {
        let Some((definition, items)) = self.store.read(|tx| retry::to_open(tx, id, SLICE))? else { return Ok(None) };
        let params = self.store.read(|tx| group::detail(tx, id))?.params;
        let new = self.catalog.definition(&self.store, definition)?;
        let mut reserve = Reserve::new(self, &new.definition);
        let mut keys = Keys::new();
        for (run, item) in &items {
            let takes =
                Takes { keys: keys_of(&new.definition, item, &params)?, demands: reserve.demands(item, &params)? };
            keys.insert(*run, takes);
        }
        Ok(Some(keys))
    }

    fn keys_of_run(&self, group: GroupId, id: RunId, how: &Retry) -> Result<Option<Takes>> {
        let Some(new) = &how.definition else { return Ok(None) };
        let (detail, item) = self.store.read(|tx| Ok((group::detail(tx, group)?, run::item(tx, id)?)))?;
        let item = item.unwrap_or_default();
        let demands = Reserve::new(self, new).demands(&item, &detail.params)?;
        Ok(Some(Takes { keys: keys_of(new, &item, &detail.params)?, demands }))
    }

    /// The workflow file of a group, if it now differs both from the submitted version and from the definition in use,
    /// `used`. `read` reads such a file.
    pub fn changed_file(
        &self,
        group: GroupId,
        used: DefinitionId,
        read: impl FnOnce(&Path) -> Option<Definition>,
    ) -> Result<Option<PathBuf>> {
        let Some((file, submitted)) = self.store.read(|tx| group::file(tx, group))? else { return Ok(None) };
        let file = PathBuf::from(file);
        let Some(now) = read(&file) else { return Ok(None) };
        for known in [submitted, used] {
            if self.catalog.definition(&self.store, known)?.definition.says_the_same(&now) {
                return Ok(None);
            }
        }
        Ok(Some(file))
    }
}

fn number_of(definition: &Definition, name: &str) -> Result<usize> {
    let found = definition.steps.iter().position(|it| it.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = definition.steps.iter().map(|it| it.name.as_str()).collect();
        let what = format!("the workflow `{}` has no step `{name}`: it has {}", definition.id, names.join(", "));
        Error::refused(what, Some("`--from` takes the name of a step"))
    })
}

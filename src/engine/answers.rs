//! Answers to steps that wait: approvals, rejections and signals.

use super::{
    Engine,
    error::{Error, Result},
};
use crate::{
    definition::{Action, Wait},
    model::{Answer, Bytes, GroupId, RunId, StepId, nearest},
    store::{
        answer::{self, Answered, Sent},
        group,
        waiting::Signal,
    },
};
use serde_json::Value;

/// The most waits that one transaction ends.
const SLICE: usize = 250;
/// The largest value of an answer or a signal.
const MOST: Bytes = Bytes(64 << 10);
/// The longest name or reason.
const MOST_WORDS: Bytes = Bytes(4 << 10);

impl Engine {
    /// Approves or rejects a step that waits for an approval. Repeating the same answer changes nothing.
    ///
    /// Refused if the step does not wait for an approval, or already has a different answer.
    pub fn answer(&self, id: StepId, mut answer: Answer) -> Result<Answered> {
        answer.at = None;
        (answer.by, answer.reason) = (answer.by.trim().to_string(), answer.reason.trim().to_string());
        if answer.by.is_empty() {
            return Err(Error::refused("the answer has no name", Some("say who answers: `--by NAME`")));
        }
        if !answer.approved && answer.reason.is_empty() {
            return Err(Error::refused("a rejection needs a reason", Some("say why: `--reason TEXT`")));
        }
        if !answer.approved && answer.value.is_some() {
            return Err(Error::refused("a rejection has no value", Some("say why in its reason")));
        }
        check(answer.value.as_ref(), &[&answer.by, &answer.reason])?;
        Ok(self.store.write(move |tx| answer::approval(tx, id, &answer))?)
    }

    /// Sends a signal to a group, or to one of its runs. It is kept for steps that begin to wait for it later.
    /// Repeating it changes nothing; with another value, it replaces the first value for the steps that have not
    /// received it yet.
    pub fn signal(&self, mut signal: Signal) -> Result<Sent> {
        signal.by = signal.by.trim().to_string();
        if signal.by.is_empty() {
            return Err(Error::refused("the signal has no name of its sender", Some("say who sends it: `--by NAME`")));
        }
        check(signal.value.as_ref(), &[&signal.by])?;
        self.check_signal(&signal)?;
        let (group, name) = (signal.group, signal.name.clone());
        let mut sent = self.store.write(move |tx| answer::signal(tx, &signal))?;
        loop {
            let name = name.clone();
            let count = self.store.write(move |tx| answer::release(tx, group, Some(&name), SLICE))?;
            sent.released += count as i64;
            if count < SLICE {
                return Ok(sent);
            }
        }
    }

    /// Refuses a name for which no step of the group waits.
    fn check_signal(&self, signal: &Signal) -> Result<()> {
        let definition = self.store.read(|tx| group::detail(tx, signal.group))?.definition;
        let known = self.catalog.definition(&self.store, definition)?;
        let names: Vec<&str> = known.definition.steps.iter().filter_map(|it| signal_of(&it.action)).collect();
        if names.contains(&signal.name.as_str()) {
            return Ok(());
        }
        let what = match (nearest(&signal.name, names.iter().copied()), names.is_empty()) {
            (_, true) => format!("no step of {} waits for a signal", signal.group),
            (Some(meant), _) => {
                format!("no step of {} waits for `{}`; did you mean `{meant}`?", signal.group, signal.name)
            }
            (None, _) => {
                format!("no step of {} waits for `{}`, only for {}", signal.group, signal.name, names.join(", "))
            }
        };
        Err(Error::refused(what, Some("a step waits for a signal with `signal: NAME` in its workflow")))
    }

    /// The group of a run.
    pub fn group_of_run(&self, run: RunId) -> Result<GroupId> {
        let found = self.store.read(|tx| crate::store::run::group_of(tx, run))?;
        found.ok_or_else(|| crate::store::Error::not_found(run).into())
    }
}

fn signal_of(action: &Action) -> Option<&str> {
    match action {
        Action::Wait(Wait::Signal { name, .. }) => Some(name),
        _ => None,
    }
}

fn check(value: Option<&Value>, words: &[&str]) -> Result<()> {
    let size = value.map_or(0, |it| it.to_string().len() as u64);
    if size > MOST.0 {
        let what = format!("the value has {}, and the limit is {MOST}", Bytes(size));
        return Err(Error::refused(what, Some("put it into a file, and send its path")));
    }
    match words.iter().find(|it| it.len() as u64 > MOST_WORDS.0) {
        Some(long) => Err(Error::refused(
            format!("a text of {} is too long for a name or a reason", Bytes(long.len() as u64)),
            None,
        )),
        None => Ok(()),
    }
}

//! Steps that start runs of their own (`for_each`, `workflow`): the list, the group, and the results that later steps
//! read.
//!
//! The group is submitted under a key derived from the step, and the step waits for it without holding a worker. If an
//! attempt dies after submitting the group, the next attempt finds it. `store::child_end` ends the step with its group.

use super::{
    Engine, Submission,
    error::{Error, Result},
    item::item_value,
    task::{Runs, Task},
};
use crate::{
    artifact::ArtifactStore,
    definition::{Children, Each, digest, with_parameters},
    failpoint::{Failpoint, is_active},
    model::{GroupId, GroupPhase, Kind, Otherwise, RunId, Status, bounded, number::keep_digits},
    observe::Counter,
    os::process_stat,
    store::{
        self, Claimed, Settlement,
        child_group::{self, Child, NewChild},
        read, retry,
        waiting::{NewWait, WaitDetail, WaitsFor},
    },
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// The most elements in a list, and the largest list file in bytes.
const MOST_ELEMENTS: usize = 1_000_000;
const MOST_BYTES: u64 = 256 << 20;
/// How many runs are read and written at once.
const PAGE: usize = 500;
/// The longest part of a group's name, in bytes.
const NAME_PART: usize = 400;

/// Starts the group of a step, or finds it. The step then waits for it.
///
/// # Errors
///
/// A conflict is temporary: another process is building the group.
pub(super) fn start(
    engine: &Engine,
    claimed: &Claimed,
    task: &Task,
    children: &Children,
    artifacts: &ArtifactStore,
) -> Result<Settlement> {
    let items = list(task, children, artifacts)?;
    let new = NewChild {
        step: claimed.lease.step,
        list: digest("windlass list 1", &json!(items)),
        tolerate: children.tolerate,
        at_most: children.at_most,
    };
    let group = engine.child_group(task, children, items, new)?;
    let on = WaitsFor::Children(group);
    Ok(Settlement::Wait { wait: NewWait { on, due: None, otherwise: Otherwise::Fail, detail: WaitDetail::default() } })
}

impl Engine {
    fn child_group(&self, task: &Task, children: &Children, items: Vec<String>, new: NewChild) -> Result<GroupId> {
        let step = new.step;
        match self.store.read(|tx| child_group::of_step(tx, step))? {
            Some(child) if child.list != new.list || is_active(Failpoint::LostChildGroup) => {
                self.store.write(move |tx| child_group::put_aside(tx, step))?;
                self.cancel_slices(child.group)?;
            }
            Some(child) if child.phase == GroupPhase::Building => self.give_up_building(&child)?,
            Some(child) => {
                if child.again && child.ended {
                    self.retry_child(&child, children, new)?;
                }
                return Ok(child.group);
            }
            None => {}
        }
        let key = self.store.read(|tx| child_group::key_of(tx, step))?;
        let params = match children.inline {
            true => task.group.params.clone(),
            false => with_parameters(&task.group.params, &task.input.with),
        };
        let name = format!(
            "{} / {}",
            bounded(task.group.name.clone(), NAME_PART),
            task.known.definition.steps[task.row.no].name
        );
        let submission = Submission {
            params,
            directory: task.input.directory.clone(),
            name: Some(name),
            priority: task.group.priority,
            weight: task.group.weight,
            key: Some(key),
            force: task.group.force,
            child: Some(new),
            ..Submission::new(children.workflow.clone(), items)
        };
        match self.submit(submission) {
            Ok(submitted) => {
                if submitted.new {
                    self.metrics.count(Counter::ChildGroups);
                }
                Ok(submitted.group)
            }
            Err(error) if error.kind() == Kind::Conflict => {
                match self.store.read(|tx| child_group::of_step(tx, step))? {
                    // Another process, which was thought to be dead, is building it.
                    Some(_) => Err(error),
                    None => Err(Error::refused(
                        error.to_string(),
                        Some("submission keys that begin with `step:` are for steps"),
                    )),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the remains of a group that no process is building any more. The next submission takes over one that is
    /// being built.
    fn give_up_building(&self, child: &Child) -> Result<()> {
        let lives = child.builder.as_ref().is_some_and(process_stat::is_alive) && !self.is_abandoned(child.group);
        if lives { Ok(()) } else { self.sweep_unsealed(child.group) }
    }

    /// Reopens the failed runs in the group of a retried step.
    fn retry_child(&self, child: &Child, children: &Children, new: NewChild) -> Result<()> {
        let group = child.group;
        let known = self.catalog.definition(&self.store, child.definition)?;
        let mut again = retry::Again::default();
        if known.definition.hash() != children.workflow.hash() {
            if let Some(difference) = known.definition.difference(&children.workflow) {
                let what = format!("the runs of {group} can't go on under this workflow: {difference}");
                return Err(Error::refused(what, None));
            }
            again.definition = Some(self.intern(&children.workflow)?);
            again.collect = children.workflow.collect.as_ref().map(|it| self.intern(it)).transpose()?;
        }
        self.store.write(move |tx| retry::child_again(tx, group, again, &new))?;
        self.finish_retry(group)
    }
}

/// The items of the group's runs, in order.
fn list(task: &Task, children: &Children, artifacts: &ArtifactStore) -> Result<Vec<String>> {
    let items = match &children.each {
        None => return Ok(vec![task.row.item.clone()]),
        Some(Each::List(list)) => {
            let step = &task.known.definition.steps[task.row.no];
            let facts = super::condition::facts(task, step);
            let judged = list.judge(&facts).map_err(|error| {
                let saw = Value::Object(list.seen(&facts));
                refused(format!("its list `{}` can't be made: {error}; it saw {saw}", list.source()))
            })?;
            judged.iter().map(text).collect()
        }
        Some(Each::File { step, name }) => {
            let file = task.input.inputs.get(step).and_then(|it| it.files.iter().find(|(own, _)| own == name));
            let Some((_, file)) = file else {
                // A step that was skipped, or had an allowed failure, produced no list.
                if task.input.unfinished.contains_key(step) {
                    return Ok(Vec::new());
                }
                return Err(refused(format!("step `{step}` left no file `{name}`; write it to {{{{ out }}}}/{name}")));
            };
            if file.size > MOST_BYTES {
                return Err(refused(format!(
                    "the list `{name}` of step `{step}` has {} bytes, more than 256 MiB",
                    file.size
                )));
            }
            lines(&artifacts.get_bytes(file)?, name).map_err(refused)?
        }
    };
    match items.len() > MOST_ELEMENTS {
        true => Err(refused(format!("its list has {} elements, more than {MOST_ELEMENTS}", items.len()))),
        false => Ok(items),
    }
}

fn refused(what: String) -> Error {
    Error::refused(what, None)
}

/// An element as an item.
fn text(element: &Value) -> String {
    match element {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The elements in a file. In a JSON Lines file each line is any JSON value; in other files lines are read as in
/// `--items-from`.
fn lines(bytes: &[u8], name: &str) -> std::result::Result<Vec<String>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let content = std::str::from_utf8(bytes).map_err(|_| format!("the list `{name}` is not UTF-8"))?;
    let is_json = name.ends_with(".jsonl") || name.ends_with(".ndjson");
    let mut items = Vec::new();
    for (no, line) in content.lines().enumerate().filter(|it| !it.1.trim().is_empty()) {
        if !is_json && !line.trim_start().starts_with('{') {
            items.push(line.to_string());
            continue;
        }
        let read = serde_json::from_slice::<Value>(&keep_digits(line.as_bytes()));
        let element = read.map_err(|error| format!("line {} of the list `{name}` is not JSON: {error}", no + 1))?;
        items.push(text(&element));
    }
    Ok(items)
}

/// Writes one line of JSON for each run, in the order of the list. Nothing if the step started none.
fn write_lines(engine: &Engine, runs: Runs, out: &mut impl Write) -> Result<()> {
    match runs {
        Runs::All(group) => write_runs(engine, group, out),
        Runs::Of(step) => match engine.store.read(|tx| child_group::of_step(tx, step))? {
            Some(child) => write_runs(engine, child.group, out),
            None => Ok(()),
        },
    }
}

fn write_runs(engine: &Engine, group: GroupId, out: &mut impl Write) -> Result<()> {
    let mut after: Option<RunId> = None;
    loop {
        let page = engine.store.read(|tx| read::results(tx, group, after, PAGE))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.run.id);
        for result in page {
            let done = result.steps.into_iter().rev().find(|it| it.0 == Status::Completed);
            let status = match (result.run.status, &done) {
                (Status::Completed, None) => Status::Skipped,
                (status, _) => status,
            };
            let value = done.filter(|_| status == Status::Completed).and_then(|it| it.1);
            let line = json!({
                "item": item_value(&result.run.item), "run": result.run.id.to_string(), "status": status.name().to_lowercase(),
                "value": value, "reason": result.run.reason,
            });
            writeln!(out, "{line}").map_err(|source| Error::Io { action: "write", path: "children".into(), source })?;
        }
    }
}

/// A hash of what a step reads from these runs.
pub(super) fn hash(engine: &Engine, all: impl Iterator<Item = Runs>) -> Result<String> {
    let mut hasher = Hasher(Sha256::new());
    for runs in all {
        write_lines(engine, runs, &mut hasher)?;
        hasher.0.update([0]);
    }
    Ok(hex::encode(hasher.0.finalize()))
}

struct Hasher(Sha256);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the files with the results of child runs that the step reads.
pub(super) fn write_files(engine: &Engine, task: &Task) -> Result<()> {
    for (name, runs) in &task.children {
        let Some(path) = task.input.children.get(name) else { continue };
        let failed = |source| Error::Io { action: "write", path: path.clone(), source };
        if let Some(dir) = path.parent() {
            crate::os::private::create_dir_all(dir).map_err(failed)?;
        }
        let file = std::fs::File::create(path).map_err(failed)?;
        let mut out = io::BufWriter::new(file);
        write_lines(engine, *runs, &mut out)?;
        out.flush().map_err(failed)?;
    }
    Ok(())
}

/// Whether an error is temporary because another process is at work.
pub(super) fn passes(error: &Error) -> bool {
    matches!(error, Error::Refused { kind: Kind::Conflict, .. } | Error::Store(store::Error::Conflict { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_file_are_elements() {
        for (name, content, items) in [
            ("list.txt", "a b\r\n\n{\"n\": 1}\n\"q\"\n7\n", Ok(vec!["a b", "{\"n\":1}", "\"q\"", "7"])),
            (
                "list.jsonl",
                "\"a b\"\n{\"n\": 1}\n\n7\n[1, 2]\nnull\n",
                Ok(vec!["a b", "{\"n\":1}", "7", "[1,2]", "null"]),
            ),
            ("list.txt", "\u{feff}a\n", Ok(vec!["a"])),
            ("list.txt", "", Ok(vec![])),
            ("list.jsonl", "7\na b\n", Err("line 2 of the list `list.jsonl` is not JSON")),
            ("list.txt", "a\n{\"n\": \n", Err("line 2 of the list `list.txt` is not JSON")),
        ] {
            match (lines(content.as_bytes(), name), items) {
                (Ok(read), Ok(items)) => assert_eq!(read, items, "{content}"),
                (Err(error), Err(said)) => assert!(error.starts_with(said), "{error}"),
                (read, _) => panic!("{content}: {read:?}"),
            }
        }
        assert!(lines(b"a\xff", "list.txt").is_err());
    }
}

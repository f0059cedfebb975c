//! The files that a cached result depends on: declared in the workflow, hashed into the key, and checked at submit.

use super::item::item_value;
use crate::{
    definition::{Action, Definition, Error, Expression, Named, StepDefinition, Values},
    os::CancelToken,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    borrow::Cow,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::Path,
};

/// How many items are checked on disk at submit. Checking more would hardly find anything new.
const LOOKED_AT: usize = 10_000;
/// The deepest directory nesting that is read.
const DEEPEST: usize = 64;

/// System directories: programs, libraries and devices.
const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib64", "/dev", "/proc", "/sys"];

/// Refuses a step with `cache: true` that reads undeclared files, because its result would be reused after they change.
pub(super) fn check(definition: &Definition, items: &[String], params: &Value, directory: &Path) -> Result<(), Error> {
    let remembered = |it: &&StepDefinition| {
        it.cache == Some(true) && it.cache_files.is_none() && !matches!(it.action, Action::Uses(_))
    };
    for step in definition.steps.iter().filter(remembered) {
        let mut found: Vec<(String, String)> = Vec::new();
        for word in step.words() {
            let read = read_by(&word, items, params, directory);
            found.extend(read.filter(|(word, _)| found.iter().all(|it| it.0 != *word)));
        }
        if let Some((_, file)) = found.first() {
            let message =
                format!("has `cache: true` and reads `{file}`: it would not run again after the file changes");
            let words: Vec<String> = found.iter().map(|it| format!("{:?}", it.0)).collect();
            let hint = format!("add `cache_files: [{}]`, or `cache_files: []` if it reads no file", words.join(", "));
            return Err(Error::Cache { step: step.name.clone(), message, hint: Some(hint) });
        }
    }
    Ok(())
}

/// The word and the file that it names, if it names a file.
fn read_by(named: &Named, items: &[String], params: &Value, directory: &Path) -> Option<(String, String)> {
    let word = &named.word;
    let of_item = word.expressions().any(|it| matches!(it, Expression::Item(_)));
    let literal = word.expressions().next().is_none();
    let items = items.iter().take(if of_item { LOOKED_AT } else { 1 });
    let params = Cow::Borrowed(params);
    items.map(|item| item_value(item)).find_map(|item| {
        let values = Values { item: Some(Cow::Owned(item.clone())), params: Some(params.clone()), ..Values::default() };
        let name = word.render(&values).ok()?;
        let path = Path::new(&name);
        // A program given by its absolute path is not an input, and a literal directory is a destination.
        let is_program = path.is_absolute() && (named.is_program || SYSTEM.iter().any(|it| path.starts_with(it)));
        let is_read = match literal {
            true => !is_program && directory.join(path).is_file(),
            false => !name.is_empty() && directory.join(path).exists(),
        };
        match item {
            _ if is_read => Some((word.source().to_string(), name)),
            // A worker receives the whole item.
            Value::Object(fields) if word.source() == "{{ item }}" => fields.iter().find_map(|(key, value)| {
                let name = value.as_str().filter(|it| !it.is_empty() && directory.join(it).exists())?;
                Some((format!("{{{{ item.{key} }}}}"), name.to_string()))
            }),
            _ => None,
        }
    })
}

/// Names and contents of the files in `cache_files`. None if one is missing, so that nothing is cached.
pub(super) fn content(
    step: &StepDefinition,
    item: &Value,
    params: &Value,
    directory: &Path,
    cancel: &CancelToken,
) -> Option<Vec<Value>> {
    let values = Values { item: Some(Cow::Borrowed(item)), params: Some(Cow::Borrowed(params)), ..Values::default() };
    let hashed = step.cache_files.iter().flatten().map(|it| {
        let name = it.render(&values).ok()?;
        let mut hasher = Sha256::new();
        add(&mut hasher, &directory.join(&name), DEEPEST, cancel).ok()?;
        Some(json!([name, hex::encode(hasher.finalize())]))
    });
    hashed.collect()
}

/// Adds the contents of a file, or the sorted names and files of a directory.
fn add(hasher: &mut Sha256, path: &Path, depth: usize, cancel: &CancelToken) -> io::Result<()> {
    // Opening a pipe would wait for its writer.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return add_file(hasher, &mut file, cancel);
    }
    if !kind.is_dir() || depth == 0 {
        return Err(io::Error::other("neither a file nor a directory"));
    }
    let mut names = fs::read_dir(path)?.map(|it| it.map(|it| it.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    hasher.update(b"directory\0");
    for name in names {
        hasher.update(name.as_bytes());
        hasher.update([0]);
        let path = path.join(&name);
        match fs::symlink_metadata(&path)?.file_type().is_symlink() {
            true => hasher.update(fs::read_link(&path)?.as_os_str().as_bytes()),
            false => add(hasher, &path, depth - 1, cancel)?,
        }
    }
    hasher.update(b"end\0");
    Ok(())
}

fn add_file(hasher: &mut Sha256, file: &mut File, cancel: &CancelToken) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0u64;
    hasher.update(b"file\0");
    loop {
        if cancel.intent().is_some() {
            return Err(io::Error::other("the step was cancelled"));
        }
        let count = match file.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if count == 0 {
            hasher.update(size.to_le_bytes());
            return Ok(());
        }
        size += count as u64;
        hasher.update(&buffer[..count]);
    }
}

//! The workflows directory of a home. Each `.yaml` or `.yml` file in it is a workflow that can be started by its id.

use super::{Definition, KnownKinds, parse};
use crate::os::ownership;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The directory inside a home that has its workflows.
pub const DIRECTORY: &str = "workflows";

/// A workflow and its source text.
#[derive(Debug, Clone)]
pub struct Entry {
    pub definition: Definition,
    pub text: String,
}

/// The workflows of a home by file name, and the reason for each file that can't be read.
///
/// # Errors
///
/// Fails if the directory can't be listed. A home without the directory has no workflows.
pub fn workflows(home: &Path, kinds: &KnownKinds) -> io::Result<(Vec<Entry>, Vec<String>)> {
    let (mut entries, mut refused) = (Vec::new(), Vec::new());
    for path in files(&home.join(DIRECTORY))? {
        match read(&path, kinds) {
            Ok(entry) => entries.push(entry),
            Err(reason) => refused.push(reason),
        }
    }
    Ok((entries, refused))
}

fn read(path: &Path, kinds: &KnownKinds) -> Result<Entry, String> {
    let text = ownership::read_through_link(path).map_err(|error| error.to_string())?;
    let place = fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let definition =
        parse(&text, &path.to_string_lossy(), &kinds.clone().of_file(&place)).map_err(|error| error.to_string())?;
    Ok(Entry { definition, text })
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_yaml).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_directory_are_workflows_and_broken_ones_say_why() {
        let home = tempfile::tempdir().unwrap();
        let kinds = KnownKinds::new(["echo"]);
        assert!(workflows(home.path(), &kinds).unwrap().0.is_empty(), "a home without the directory");
        let dir = home.path().join(DIRECTORY);
        fs::create_dir(&dir).unwrap();
        for (name, text) in [
            ("b.yml", "id: second\nsteps: [{ name: a, run: 'true' }]\n"),
            ("a.yaml", "id: first\nsteps: [{ name: a, run: 'true' }]\n"),
            ("c.yaml", "id: broken\nsteps: 7\n"),
            ("notes.txt", "no workflow"),
        ] {
            fs::write(dir.join(name), text).unwrap();
        }
        let (entries, refused) = workflows(home.path(), &kinds).unwrap();
        let ids: Vec<&str> = entries.iter().map(|entry| entry.definition.id.as_str()).collect();
        assert_eq!(ids, ["first", "second"]);
        assert!(entries[0].text.starts_with("id: first"));
        assert!(refused.len() == 1 && refused[0].contains("c.yaml:2"), "{refused:?}");
    }
}

//! Finds issued numbers in the files of a home: in their names, and in a note of the last ones.

use super::{handle::Engine, liveness_lock};
use crate::{
    model::{StepId, WorkerId},
    os::{ownership, private},
    store::elsewhere::{self, FoundNumber, Issued, Numbered},
};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Notes the last numbers that the database has issued, so that an old copy in its place is noticed even if nothing else
/// carries a number. Workers do so when they start and when they stop. The note is a hint and needs no fsync.
pub(super) fn note(engine: &Engine) {
    let home = &engine.options.home;
    let written = engine.store.read(elsewhere::issued).map(|issued| write(home, &issued));
    if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error))) {
        tracing::debug!(%error, "the numbers issued last could not be noted");
    }
}

fn place_of_note(home: &Path) -> PathBuf {
    home.join("workers/issued")
}

fn write(home: &Path, issued: &Issued) -> io::Result<()> {
    let path = place_of_note(home);
    if let Some(dir) = path.parent() {
        private::create_dir_all(dir)?;
    }
    let numbers = issued.numbers.iter().map(|(of, number)| format!("{number} {}\n", of.name()));
    let text = format!("{}\n{}", issued.engine, numbers.collect::<String>());
    // Several processes may do so at once.
    let fresh = path.with_extension(std::process::id().to_string());
    ownership::open_empty(&fresh)?.write_all(text.as_bytes())?;
    fs::rename(&fresh, &path)
}

/// The numbers in the note, if it is of this engine.
fn noted(home: &Path, engine: &str) -> Vec<FoundNumber> {
    let path = place_of_note(home);
    let text = ownership::read_to_string(&path).unwrap_or_default();
    let mut lines = text.lines();
    if lines.next() != Some(engine) {
        return Vec::new();
    }
    let place = path.display().to_string();
    let number = |line: &str| {
        let (number, name) = line.split_once(' ')?;
        let of = Numbered::ALL.into_iter().find(|it| it.name() == name)?;
        Some(FoundNumber { of, number: number.parse().ok()?, place: place.clone() })
    };
    lines.filter_map(number).collect()
}

/// Attempts by their work directories, workers by their liveness locks, and the numbers in the note of this engine.
pub fn numbers_in(home: &Path, engine: &str) -> Vec<FoundNumber> {
    let mut found = noted(home, engine);
    for (name, place) in names(&home.join("tmp")) {
        // The format of `WorkDir`: w1-s56-7.
        let mut parts = name.split('-');
        let (Some(worker), Some(step), Some(token), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let (Ok(worker), Ok(step), Ok(token)) = (worker.parse::<WorkerId>(), step.parse::<StepId>(), token.parse())
        else {
            continue;
        };
        let numbers = [(Numbered::Worker, worker.0), (Numbered::Step, step.0), (Numbered::Token, token)];
        found.extend(numbers.map(|(of, number)| FoundNumber { of, number, place: place.clone() }));
    }
    for (name, place) in names(&home.join("workers")) {
        found.extend(liveness_lock::worker_of(&name).map(|it| FoundNumber {
            of: Numbered::Worker,
            number: it.0,
            place,
        }));
    }
    found
}

/// The names in a directory, with their printable paths.
fn names(dir: &Path) -> impl Iterator<Item = (String, String)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|it| Some((it.file_name().into_string().ok()?, it.path().display().to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_work_directories_and_liveness_locks_alone() {
        let home = tempfile::tempdir().unwrap();
        for name in [
            "tmp/w3-s56-7",
            "tmp/w3-s56",
            "tmp/x3-s56-7",
            "tmp/w3-s56-7-8",
            "tmp/notes",
            "workers/w9.lock",
            "workers/w8.life",
            "workers/w10",
        ] {
            fs::create_dir_all(home.path().join(name)).unwrap();
        }
        let mut found: Vec<_> =
            numbers_in(home.path(), "e").into_iter().map(|it| (it.of.to_owned(), it.number)).collect();
        found.sort_by_key(|it| it.1);
        let workers = [8, 9].map(|id| (Numbered::Worker, id));
        let attempt = [(Numbered::Worker, 3), (Numbered::Token, 7), (Numbered::Step, 56)];
        assert_eq!(found, [attempt[0], attempt[1], workers[0], workers[1], attempt[2]]);
        assert!(numbers_in(&home.path().join("none"), "e").is_empty());
    }

    #[test]
    fn the_note_is_believed_if_it_is_of_this_engine_and_whole() {
        let home = tempfile::tempdir().unwrap();
        let issued = Issued { engine: "e".into(), numbers: vec![(Numbered::Run, 7), (Numbered::Token, 9)] };
        write(home.path(), &issued).unwrap();
        write(home.path(), &issued).unwrap();
        let found =
            |engine: &str| numbers_in(home.path(), engine).into_iter().map(|it| (it.of, it.number)).collect::<Vec<_>>();
        assert_eq!(found("e"), issued.numbers);
        assert_eq!(found("another"), []);
        assert_eq!(fs::read_dir(home.path().join("workers")).unwrap().count(), 1, "no temporary file is left");
        for (text, expected) in [("", &[][..]), ("e", &[]), ("e\n7 r", &[]), ("e\n7 run\nx step", &issued.numbers[..1])]
        {
            fs::write(place_of_note(home.path()), text).unwrap();
            assert_eq!(found("e"), expected, "{text:?}");
        }
    }
}

//! Finds issued numbers in the names of files in a home.

use super::liveness_lock;
use crate::{
    model::{StepId, WorkerId},
    store::elsewhere::{FoundNumber, Numbered},
};
use std::{fs, path::Path};

/// Attempts by their work directories, and workers by their liveness locks.
pub fn numbers_in(home: &Path) -> Vec<FoundNumber> {
    let mut found = Vec::new();
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
        let mut found: Vec<_> = numbers_in(home.path()).into_iter().map(|it| (it.of.to_owned(), it.number)).collect();
        found.sort_by_key(|it| it.1);
        let workers = [8, 9].map(|id| (Numbered::Worker, id));
        let attempt = [(Numbered::Worker, 3), (Numbered::Token, 7), (Numbered::Step, 56)];
        assert_eq!(found, [attempt[0], attempt[1], workers[0], workers[1], attempt[2]]);
        assert!(numbers_in(&home.path().join("none")).is_empty());
    }
}

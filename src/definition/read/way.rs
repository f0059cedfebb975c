//! From the outermost workflow to the one that is being read: which files contain it, and how deep it is.

use std::{cell::Cell, path::Path};

/// A workflow that contains the one that is being read, or that one.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    /// Its file, as it is on disk; None: it is in the file of the workflow around it, or in none.
    pub(super) file: Option<&'a Path>,
    /// How people named it.
    name: &'a str,
    around: Option<&'a Way<'a>>,
    pub(super) depth: usize,
    /// Steps read so far.
    pub(super) steps: &'a Cell<usize>,
}

impl<'a> Way<'a> {
    pub(super) fn begin(file: Option<&'a Path>, name: &'a str, steps: &'a Cell<usize>) -> Way<'a> {
        Way { file, name, around: None, depth: 0, steps }
    }

    /// The way to a workflow inside this one.
    pub(super) fn inside<'b>(&'b self, file: Option<&'b Path>, name: &'b str) -> Way<'b> {
        Way { file, name, around: Some(self), depth: self.depth + 1, steps: self.steps }
    }

    pub(super) fn name(&self) -> &'a str {
        self.name
    }

    pub(super) fn all(&self) -> Vec<&Way<'a>> {
        let mut all = vec![self];
        while let Some(around) = all.last().and_then(|it| it.around) {
            all.push(around);
        }
        all.reverse();
        all
    }

    /// The directory against which the paths of files are meant.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.all().into_iter().rev().find_map(|it| it.file).and_then(Path::parent)
    }

    pub(super) fn names(&self) -> String {
        self.all().into_iter().map(|it| it.name).collect::<Vec<_>>().join(" -> ")
    }
}

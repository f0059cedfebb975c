//! The chain from the outermost workflow to the one that is being read: the files that contain it, and its depth.

use std::{cell::Cell, path::Path};

/// One workflow in this chain.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    /// Its canonical path. None if it is inline in the enclosing workflow's file, or has no file.
    pub(super) file: Option<&'a Path>,
    /// Its name for people.
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

    /// The chain extended by a nested workflow.
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

    /// The directory that relative paths start from.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.all().into_iter().rev().find_map(|it| it.file).and_then(Path::parent)
    }

    pub(super) fn names(&self) -> String {
        self.all().into_iter().map(|it| it.name).collect::<Vec<_>>().join(" -> ")
    }
}

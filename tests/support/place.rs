//! A home directory and a working directory, removed after the test.
#![allow(dead_code)] // Each test program uses its own part of it.

use super::binary::{Ended, Running, Windlass, eventually};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use windlass::{
    os::SystemClock,
    store::{Options, Store, check},
};

/// Commands run in this directory, on the home `home` in it.
#[derive(Debug)]
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Default for Place {
    fn default() -> Place {
        Place::new()
    }
}

impl Place {
    pub fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    pub fn database(&self) -> PathBuf {
        self.home().join("engine.db")
    }

    /// Writes a file with this name, creating its directories.
    pub fn write(&self, name: &str, content: &(impl AsRef<[u8]> + ?Sized)) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn wait_for_file(&self, name: &str) {
        eventually(name, || self.path().join(name).exists());
    }

    pub fn command(&self, arguments: &[&str]) -> Windlass {
        self.under(&[], arguments)
    }

    /// Like `windlass`, started by another program.
    pub fn under(&self, before: &[&str], arguments: &[&str]) -> Windlass {
        let mut command = Windlass::under(before);
        command.args(arguments).current_dir(self.path()).env("WINDLASS_HOME", self.home());
        command
    }

    pub fn store(&self) -> Store {
        Store::open(&Options::new(self.database()), Arc::new(SystemClock)).unwrap()
    }

    /// Panics if SQLite or the store's check finds a problem.
    #[track_caller]
    pub fn assert_sound(&self) {
        let store = self.store();
        let found = store.read(|tx| Ok((check::integrity(tx)?, check::check(tx)?))).unwrap();
        store.close();
        assert_eq!(found, (vec![], vec![]));
    }

    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).run()
    }

    /// Runs a command that must succeed, and returns its stdout.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.command(arguments).ok()
    }

    /// The document that a command prints with `--json`.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.command(arguments).json()
    }

    pub fn start(&self, arguments: &[&str]) -> Running {
        self.command(arguments).piped().spawn().unwrap()
    }
}

//! Folders that are kept up to date: `windlass ingest --watch`, and `[[watch]]` in the settings of the daemon.

mod support {
    pub mod binary;
    pub mod plant;
    pub mod web;
}

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use support::{
    binary::{Windlass, eventually},
    plant,
    web::Web,
};

/// A home, and folders beside it.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(desk.home()).unwrap();
        desk
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, path: &str, words: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("# Notes\n\nSome words on {words}.\n")).unwrap();
    }

    fn windlass(&self, words: &[&str]) -> Windlass {
        let mut command = Windlass::on(self.home());
        command.args(words);
        command
    }

    /// Whether a document with this word is found.
    fn finds(&self, db: &str, word: &str) -> bool {
        let ended = self.windlass(&["search", "--mode", "text", "--db", db, word]).run();
        ended.code == 0 && ended.out.contains(word)
    }

    fn problems(&self) -> String {
        self.windlass(&["status"]).json()["problems"].to_string()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn ingest_stays_and_follows_a_folder_until_it_is_interrupted() {
    let desk = Desk::new();
    desk.write("notes/a.md", "anchors");
    let notes = desk.folder("notes");
    let words = ["ingest", text(&notes), "--db", "notes", "--watch", "--prune"];
    let running = desk.windlass(&words).piped().spawn().unwrap();
    eventually("the first sync", || desk.finds("notes", "anchors"));
    desk.write("notes/below/b.md", "bollards");
    eventually("a file that came is found", || desk.finds("notes", "bollards"));
    desk.write("notes/below/b.md", "capstans");
    eventually("a file that changed is found", || desk.finds("notes", "capstans") && !desk.finds("notes", "bollards"));
    fs::remove_file(notes.join("a.md")).unwrap();
    eventually("a file that is gone is not found", || !desk.finds("notes", "anchors"));
    fs::rename(&notes, desk.folder("away")).unwrap();
    fs::create_dir(&notes).unwrap();
    // When it is back, another document shows whether the folder was examined in between. In either case nothing is
    // gone.
    fs::remove_dir(&notes).unwrap();
    fs::rename(desk.folder("away"), &notes).unwrap();
    desk.write("notes/c.md", "davits");
    eventually("it is followed again", || desk.finds("notes", "davits"));
    assert!(desk.finds("notes", "capstans"));
    running.signal("INT");
    let ended = running.end(Duration::from_secs(60));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("watching for changes; Ctrl-C ends it"), "{ended:?}");
    // It did its work completely.
    let again = desk.windlass(&["ingest", text(&notes), "--db", "notes"]).ends(0);
    assert!(again.said().contains("nothing to do"), "{again:?}");
}

#[test]
fn a_sync_that_finds_nothing_writes_nothing() {
    let desk = Desk::new();
    desk.write("notes/a.md", "anchors");
    let notes = desk.folder("notes");
    let mut ingest = desk.windlass(&["ingest", text(&notes), "--db", "notes"]);
    ingest.ends(0);
    // The time of a file that was just written is not trusted yet.
    fs::File::options().write(true).open(notes.join("a.md")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    ingest.ends(0);
    let engine = plant::open(&desk.home());
    let commits = engine.store().watch().unwrap();
    let before = commits.version().unwrap();
    ingest.ends(0);
    assert_eq!(commits.version().unwrap(), before);
}

#[test]
fn what_watch_cannot_follow_is_refused() {
    let desk = Desk::new();
    for words in [["ingest", "-", "--watch"], ["ingest", "http://127.0.0.1:1/x", "--watch"]] {
        let refused = desk.windlass(&words).ends(2);
        assert!(refused.err.contains("follows files and directories"), "{refused:?}");
    }
    let missing = desk.windlass(&["ingest", "/does/not/exist", "--watch"]).run();
    assert!(missing.code != 0 && missing.err.contains("does not exist"), "{missing:?}");
}

#[test]
fn the_daemon_keeps_its_folders_searchable_and_one_that_fails_stops_no_other() {
    let desk = Desk::new();
    desk.write("notes/a.md", "anchors");
    let (notes, lost) = (desk.folder("notes"), desk.folder("lost"));
    let settings = format!(
        "listen = \"127.0.0.1:0\"\n[[watch]]\npath = \"{}\"\ndb = \"lost\"\n[[watch]]\npath = \"{}\"\ndb = \"notes\"\nprune = true\n",
        lost.display(),
        notes.display()
    );
    fs::write(desk.home().join("windlass.toml"), settings).unwrap();
    let web = Web::on(&desk.home(), &[]);
    eventually("the first sync", || desk.finds("notes", "anchors"));
    let missing = || desk.problems().contains("does not exist");
    eventually("status says what is wrong", missing);
    let health = || web.get("/health").json();
    eventually("health is degraded", || health()["status"] == "degraded");
    assert_eq!(health()["diagnostics"]["folder_problems"], 1);
    desk.write("notes/b.md", "bollards");
    eventually("a file that came is found", || desk.finds("notes", "bollards"));
    fs::remove_file(notes.join("a.md")).unwrap();
    eventually("a file that is gone is not found", || !desk.finds("notes", "anchors"));
    desk.write("lost/c.md", "capstans");
    eventually("the other folder has come", || desk.finds("lost", "capstans") && !missing());
    // All documents are gone at once, as if a disk were not mounted.
    fs::rename(notes.join("b.md"), desk.folder("b.md")).unwrap();
    eventually("it keeps them and says so", || desk.problems().contains("no documents are left here"));
    assert!(desk.finds("notes", "bollards"));
    fs::rename(desk.folder("b.md"), notes.join("b.md")).unwrap();
    eventually("all is well again", || !desk.problems().contains("no documents are left here"));
    assert!(desk.finds("notes", "bollards"));
}

#[test]
fn a_folder_in_the_settings_is_checked_when_they_are_read() {
    let desk = Desk::new();
    let table = [
        ("[[watch]]\npath = \"/x\"\n", "needs `path` and `db`"),
        ("[[watch]]\npath = \"x\"\ndb = \"y\"\n", "must be an absolute path"),
        ("[[watch]]\npath = \"/x\"\ndb = \"y\"\nprun = true\n", "did you mean `prune`"),
        ("[[watch]]\npath = \"/x\"\ndb = \"y\"\nprune = \"maybe\"\n", "must be `true` or `false`"),
        ("watch = \"/x\"\n", "below `[[watch]]`"),
        ("[[watch]]\npath = \"/x\"\ndb = \"y\"\n[[watch]]\npath = \"/x\"\ndb = \"y\"\n", "is there twice"),
    ];
    for (settings, what) in table {
        fs::write(desk.home().join("windlass.toml"), settings).unwrap();
        let refused = desk.windlass(&["status"]).run();
        assert!(refused.code != 0 && refused.err.contains(what), "{settings}: {refused:?}");
    }
    fs::write(desk.home().join("windlass.toml"), "[[watch]]\npath = \"~/n\"\ndb = \"n\"\nprune = true\n").unwrap();
    assert!(desk.windlass(&["settings", "watch"]).ok().contains("~/n = n (prune)"));
}

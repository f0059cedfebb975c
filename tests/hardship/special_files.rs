//! Fifos, directories and hard links in place of files; archives with more contents than they declare; directories
//! without permissions.

use crate::{Place, eventually, support::needs::needs_working};
use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{ChildStdin, Command, Stdio},
    time::Duration,
};
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

const SOON: Duration = Duration::from_secs(30);

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[track_caller]
fn refused(place: &Place, arguments: &[&str], name: &str) {
    let ended = place.start(arguments).end(SOON);
    assert!(
        ended.code != 0 && ended.err.contains(&format!("{name} is not a regular file")),
        "{arguments:?}: {ended:?}"
    );
    assert!(!ended.err.contains("os error"), "{arguments:?}: {ended:?}");
}

#[test]
fn a_fifo_in_place_of_a_file_is_refused_and_never_waited_for() {
    let place = Place::new();
    place.write("doc.md", "# Winches\n\nA winch pulls.\n");
    place.ok(&["ingest", "doc.md"]);
    make_fifo(&place.path().join("ff"));
    let other = place.path().join("other");
    let other = other.to_str().unwrap();
    for arguments in [
        &["--home", other, "restore", "ff"][..],
        &["backup", "--check", "ff"],
        &["run", "ff"],
        &["submit", "ff", "--items", "a"],
        &["search", "winch", "--db", "./ff"],
        &["ingest", "doc.md", "--db", "./ff"],
        &["ingest", "doc.md", "--params", "./ff"],
    ] {
        refused(&place, arguments, "ff");
    }
    make_fifo(&place.path().join("doc.md.meta.json"));
    refused(&place, &["ingest", "doc.md", "--force"], "doc.md.meta.json");
    let database = place.home().join("vectors/default.db");
    for ending in ["-journal", ""] {
        let path = format!("{}{ending}", database.display());
        let _ = fs::remove_file(&path);
        make_fifo(Path::new(&path));
        refused(&place, &["search", "winch", "--mode", "text"], &format!("default.db{ending}"));
        fs::remove_file(&path).unwrap();
    }
    for name in ["engine.db-journal", "windlass.toml", "engine.db"] {
        let path = place.home().join(name);
        let _ = fs::remove_file(&path);
        make_fifo(&path);
        refused(&place, &["status"], name);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_directory_in_place_of_the_database_is_named_in_plain_words() {
    let place = Place::new();
    fs::create_dir_all(place.database()).unwrap();
    for arguments in [&["status"][..], &["run", "--each", "true", "--items", "a"], &["doctor"]] {
        refused(&place, arguments, "engine.db");
    }
}

#[test]
fn a_list_of_items_may_be_a_pipe_that_was_opened_for_it_and_no_fifo_or_device_with_a_name() {
    let place = Place::new();
    make_fifo(&place.path().join("list"));
    for command in ["run", "submit"] {
        refused(&place, &[command, "--each", "true", "--items-from", "list"], "list");
        refused(&place, &[command, "--each", "true", "--items-from", "/dev/zero"], "/dev/zero");
    }
    refused(&place, &["ingest", "--paths-from", "list"], "list");
    for name in ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        let arguments = ["submit", "--each", "true", "--items-from", name];
        let piped = |write: fn(ChildStdin)| {
            let mut command = place.command(&arguments);
            let mut submitted = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let pipe = submitted.stdin.take().unwrap();
            std::thread::spawn(move || write(pipe));
            submitted.end(SOON)
        };
        let ended = piped(|mut pipe| pipe.write_all(b"a\nb\n").unwrap());
        assert!(ended.code == 0 && ended.err.contains("2 runs"), "{name}: {ended:?}");
        let ended = piped(|mut pipe| while pipe.write_all(&[0; 1 << 16]).is_ok() {});
        assert!(ended.code == 2 && ended.err.contains("line 1 is longer than"), "{name}: {ended:?}");
    }
    let waiting = |command: &str| {
        let mut command = place.command(&[command, "--each", "true", "--items-from", "-"]);
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for (command, signal, number) in
        [("run", "TERM", libc::SIGTERM), ("submit", "INT", libc::SIGINT), ("run", "INT", libc::SIGINT)]
    {
        let mut waiting = waiting(command);
        let mut pipe = waiting.stdin.take().unwrap();
        pipe.write_all(b"a\n").unwrap();
        eventually("it reads", || rustix::io::ioctl_fionread(&pipe).unwrap() == 0);
        waiting.signal(signal);
        let ended = waiting.end(SOON);
        assert!([-number, 128 + number].contains(&ended.code), "{command} {signal}: {ended:?}");
        drop(pipe);
    }
}

#[test]
fn a_backup_takes_the_place_of_no_fifo_or_device() {
    let place = Place::new();
    place.ok(&["run", "--each", "true", "--items", "a"]);
    let target = place.path().join("target");
    assert!(Command::new("mkfifo").arg(&target).status().unwrap().success());
    let ended = place.run(&["backup", "target", "--force"]);
    assert!(ended.code == 2 && ended.err.contains("not a regular file"), "{ended:?}");
    assert!(!target.metadata().unwrap().is_file(), "it is still there");
    fs::remove_file(&target).unwrap();
    place.ok(&["backup", "target"]);
    place.ok(&["backup", "target", "--force"]);
}

#[test]
fn a_file_that_windlass_writes_and_that_has_a_second_name_is_refused() {
    let place = Place::new();
    place.ok(&["run", "--each", "true", "--items", "a"]);
    let kept = place.path().join("kept");
    for name in [
        "engine.db",
        "engine.db-wal",
        "engine.queue.lock",
        "engine.write.lock",
        "engine.db.lock",
        "serve.log",
        "ballast",
    ] {
        let path = place.home().join(name);
        let was_there = path.exists();
        if !was_there {
            fs::write(&path, "precious").unwrap();
            Command::new("chmod").args(["600"]).arg(&path).status().unwrap();
        }
        fs::hard_link(&path, &kept).unwrap();
        let before = fs::read(&kept).unwrap();
        for arguments in [&["status"][..], &["run", "--each", "true", "--items", "b"], &["serve", "--background"]] {
            let ended = place.run(arguments);
            assert!(ended.code == 5 && ended.err.contains(&format!("{name} has 2 names")), "{name}: {ended:?}");
            assert!(ended.err.contains("cp -p"), "{ended:?}");
        }
        assert!(fs::read(&kept).unwrap() == before, "{name} was written");
        fs::remove_file(&kept).unwrap();
        if !was_there {
            fs::remove_file(&path).unwrap();
        }
    }
    place.write("doc.md", "# Winches\n\nA winch pulls.\n");
    place.ok(&["ingest", "doc.md"]);
    fs::hard_link(place.home().join("vectors/default.db"), &kept).unwrap();
    let ended = place.run(&["ingest", "doc.md", "--force"]);
    assert!(ended.code != 0 && format!("{}{}", ended.out, ended.err).contains("default.db has 2 names"), "{ended:?}");
    assert!(place.ok(&["search", "winch", "--mode", "text"]).contains("winch"), "it may be read");
    fs::remove_file(&kept).unwrap();
    // The command in the hint gives it its own name.
    fs::hard_link(place.database(), &kept).unwrap();
    let hint = place.run(&["status"]).err;
    let command = hint.split('`').nth(1).unwrap();
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{hint}");
    place.ok(&["status"]);
    place.assert_sound();
}

/// A backup with one more entry.
fn with_entry(from: &[u8], to: &Path, name: &str, content: &[u8]) {
    fs::write(to, from).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(to).unwrap();
    let mut zip = ZipWriter::new_append(file).unwrap();
    zip.start_file(name, SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored)).unwrap();
    zip.write_all(content).unwrap();
    zip.finish().unwrap();
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    bytes
}

#[test]
fn a_backup_with_an_entry_that_its_manifest_does_not_name_is_refused() {
    let place = Place::new();
    place.ok(&["run", "--each", "echo a > {{ out }}/it", "--items", "a"]);
    place.ok(&["backup", "good.zip"]);
    let good = fs::read(place.path().join("good.zip")).unwrap();
    let bad = place.path().join("bad.zip");
    let mut found = Vec::new();
    let artifact = {
        let mut zip = ZipArchive::new(fs::File::open(place.path().join("good.zip")).unwrap()).unwrap();
        let name = zip.file_names().map(|it| it.unwrap().into_owned()).find(|it| it.starts_with("artifacts/")).unwrap();
        zip.by_name(&name).unwrap().read_to_end(&mut found).unwrap();
        name
    };
    let deeper = artifact.replacen("artifacts/", "artifacts/../", 1);
    let extra = ["../../evil", "/tmp/evil", "secrets/k", "engine.db", "params/more.yaml", "vectors/", &deeper];
    for name in extra {
        with_entry(&good, &bad, name, &found);
        is_refused(&place, name);
    }
    for (name, alike) in [("engine.db.zst", "engine.db.zsX"), ("manifest.json", "manifest.jsoX")] {
        with_entry(&good, &bad, alike, b"another");
        let bytes = replaced(&fs::read(&bad).unwrap(), alike, name);
        fs::write(&bad, bytes).unwrap();
        is_refused(&place, name);
    }
    place.ok(&["backup", "--check", "good.zip"]);
}

#[track_caller]
fn is_refused(place: &Place, what: &str) {
    let other = place.path().join("other");
    for arguments in [&["backup", "--check", "bad.zip"][..], &["--home", other.to_str().unwrap(), "restore", "bad.zip"]]
    {
        let ended = place.run(arguments);
        assert!(ended.code == 1 && ended.err.contains("is not a complete backup"), "{what} {arguments:?}: {ended:?}");
    }
    assert!(!other.exists(), "{what}");
}

#[test]
fn a_link_to_the_page_is_printed_neither_into_a_pipe_nor_into_a_file() {
    for arguments in [&["serve"][..], &["--json", "serve"]] {
        for piped in [true, false] {
            let place = Place::new();
            let (said, err) = (place.path().join("said"), place.path().join("err"));
            let mut command = place.command(arguments);
            command.args(["--listen", "127.0.0.1:0"]).stderr(fs::File::create(&err).unwrap());
            let mut serving = match piped {
                true => command.stdout(Stdio::piped()).spawn().unwrap(),
                false => command.stdout(fs::File::create(&said).unwrap()).spawn().unwrap(),
            };
            if let Some(mut pipe) = serving.stdout.take() {
                let mut said = fs::File::create(&said).unwrap();
                std::thread::spawn(move || std::io::copy(&mut pipe, &mut said));
            }
            let text = |path: &Path| fs::read_to_string(path).unwrap();
            eventually("it says where it is", || text(&said).contains("127.0.0.1:"));
            assert!(!text(&said).contains("/open/"), "{}", text(&said));
            if arguments.len() == 1 {
                eventually("it says how to get a link", || text(&err).contains("windlass ui"));
            }
            assert!(place.ok(&["ui", "--print"]).contains("/open/"));
            serving.signal("TERM");
            assert_eq!(serving.end(SOON).code, 0);
        }
    }
}

#[test]
fn what_a_step_mounts_in_its_directory_is_not_removed_with_it() {
    let alone = ["unshare", "-m"];
    if !needs_working("unshare", &["-m", "true"]) {
        return;
    }
    let place = Place::new();
    place.write("theirs/deep/kept.txt", "kept");
    let theirs = place.path().join("theirs");
    let mode = || fs::metadata(&theirs).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).unwrap();
    for at in ["$WINDLASS_OUT", "$WINDLASS_OUT/in"] {
        let step = format!("mkdir -p {at} && mount --bind '{}' {at} && echo mounted", theirs.display());
        let ended = place.under(&alone, &["run", "--each", &step, "--items", at]).run();
        assert_eq!(fs::read_to_string(theirs.join("deep/kept.txt")).unwrap(), "kept", "{ended:?}");
        assert_eq!(mode(), 0o755, "{ended:?}");
        assert!(ended.err.contains("is a mount point"), "{ended:?}");
    }
}

//! Full, broken or slow disks.

use crate::support::needs::{needs_working, skip};
use crate::{Place, Running, Windlass, eventually};
use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// A small disk in memory, visible only to processes started inside it.
pub struct SmallDisk {
    pub place: Place,
    /// Where it is mounted.
    root: PathBuf,
    holder: Running,
    inside: Vec<String>,
}

impl SmallDisk {
    /// A home of this many MiB. None if this process may not mount.
    pub fn new(mib: u64) -> Option<SmallDisk> {
        SmallDisk::at("", mib)
    }

    /// A folder of the home.
    pub fn at(folder: &str, mib: u64) -> Option<SmallDisk> {
        let alone: &[&str] = match Command::new("unshare").args(["-m", "true"]).output() {
            Ok(done) if done.status.success() => &["-m"],
            _ => &["-r", "-m"],
        };
        let place = Place::new();
        let root = place.home().join(folder);
        fs::create_dir_all(&root).unwrap();
        let script = format!("mount -t tmpfs -o size={mib}m,mode=700 none '{}' && exec sleep 600", root.display());
        let mut command = Command::new("unshare");
        command.args(alone).args(["sh", "-c", &script]).stdout(Stdio::null()).stderr(Stdio::null());
        let holder = Running::of(&mut command).ok()?;
        let pid = holder.id().to_string();
        let mut disk = SmallDisk { place, root, holder, inside: vec![] };
        let here = format!("--wd={}", disk.place.path().display());
        disk.inside = ["nsenter", "-m", "-t", &pid, &here].map(String::from).to_vec();
        if alone.contains(&"-r") {
            disk.inside.extend(["-U", "--preserve-credentials"].map(String::from));
        }
        for _ in 0..1000 {
            let mounts = fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap_or_default();
            if mounts.contains(&format!(" {} ", disk.root.display().to_string().trim_end_matches('/'))) {
                return Some(disk);
            }
            if disk.holder.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        skip("no small disk can be mounted (`unshare -m` and `mount` are not allowed)");
        None
    }

    pub fn command(&self, arguments: &[&str]) -> Windlass {
        let before: Vec<&str> = self.inside.iter().map(String::as_str).collect();
        let mut command = self.place.under(&before, arguments);
        command.env("WINDLASS_DISK_RESERVE", "1MiB").env("WINDLASS_BALLAST", "1MiB");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> crate::Ended {
        self.command(arguments).run()
    }

    /// The disk as this process can reach it.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(self.root.strip_prefix("/").unwrap())
    }

    /// Takes every byte that is left.
    pub fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(self.root().join("filler")).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
    }

    pub fn free(&self) {
        fs::remove_file(self.root().join("filler")).unwrap();
    }
}

#[test]
fn a_submission_to_a_full_disk_is_an_error_and_can_be_repeated() {
    let Some(disk) = SmallDisk::new(16) else { return };
    disk.place.write("noop.yaml", "id: noop\nsteps: [{ name: a, uses: windlass/noop }]\n");
    assert_eq!(disk.run(&["run", "noop.yaml", "--items", "before"]).code, 0);
    disk.fill();
    let items: Vec<String> = (0..2000).map(|it| format!("item number {it}")).collect();
    disk.place.write("items", &items.join("\n"));
    let submit = ["submit", "noop.yaml", "--items-from", "items", "--key", "k"];
    let refused = disk.run(&submit);
    assert_eq!(refused.code, 74, "{refused:?}");
    assert!(refused.err.contains("no space left") && refused.err.contains("hint:"), "{refused:?}");
    // Reading still works.
    let status = disk.run(&["status"]);
    assert!(status.code == 0 && status.out.contains("must stay free (`disk_reserve`): no step starts"), "{status:?}");
    disk.free();
    let accepted = disk.run(&submit);
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert_eq!(disk.run(&["worker", "--until-idle"]).code, 0);
    let listed = disk.run(&["list", "groups"]).out;
    assert_eq!(listed.matches("COMPLETED").count(), 2, "{listed}");
    assert_eq!(disk.run(&["doctor"]).code, 0);
}

#[test]
fn a_disk_that_fills_under_work_and_is_freed_later_drains_without_a_hand() {
    let Some(disk) = SmallDisk::new(40) else { return };
    let text = "id: files\nsteps: [{ name: a, run: 'echo x >> begun; sleep 0.05; until head -c 200000 /dev/urandom > {{ out }}/f; do sleep 0.1; done' },\
        { name: b, run: 'wc -c < {{ inputs.a.dir }}/f' }]\n";
    disk.place.write("files.yaml", text);
    let items: Vec<String> = (0..60).map(|it| it.to_string()).collect();
    disk.place.write("items", &items.join("\n"));
    assert_eq!(disk.run(&["submit", "files.yaml", "--items-from", "items"]).code, 0);
    let worker = disk.command(&["worker"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = || fs::read_to_string(disk.place.path().join("begun")).unwrap_or_default().lines().count();
    for target in [8, 20] {
        eventually("steps run", || begun() >= target);
        disk.fill();
        // In the middle of whatever is being written; then it must come to rest.
        let (mut before, mut same) = (0, 0);
        eventually("nothing is started any more", || {
            std::thread::sleep(Duration::from_millis(100));
            // Space freed by a failed write is taken as well.
            disk.fill();
            same = if begun() == before { same + 1 } else { 0 };
            before = begun();
            same >= 10
        });
        assert!(begun() < 60, "nothing was left to do");
        let status = disk.run(&["status"]);
        assert!(status.code == 0 && status.out.contains("no step starts"), "{status:?}");
        disk.free();
    }
    eventually("it drains", || disk.run(&["list", "groups"]).out.contains("COMPLETED"));
    worker.signal("TERM");
    let worker = worker.end(Duration::from_secs(30));
    assert_eq!(worker.code, 0, "{worker:?}");
    // No attempt was lost because of the disk: each step counts one.
    let steps: serde_json::Value =
        serde_json::from_str(&disk.run(&["list", "steps", "--limit", "1000", "--json"]).out).unwrap();
    for step in steps["steps"].as_array().unwrap() {
        assert_eq!((&step["status"], &step["attempts"]), (&"COMPLETED".into(), &1.into()), "{step}");
    }
    assert_eq!(disk.run(&["doctor"]).code, 0);
    let left = fs::read_dir(disk.root().join("artifacts")).unwrap().flatten();
    assert_eq!(left.filter(|it| it.file_name().to_string_lossy().starts_with(".tmp")).count(), 0);
}

#[test]
fn a_disk_that_does_not_work_stops_the_process_and_loses_nothing() {
    if !needs_working("strace", &["-f", "-qq", "-e", "trace=none", "true"]) {
        return;
    }
    let text =
        "id: files\nsteps: [{ name: a, run: 'echo {{ item }} > {{ out }}/f' }, { name: b, uses: windlass/noop }]\n";
    let mut failed = 0;
    for inject in [
        "pwrite64:error=EIO:when=5+",
        "pwrite64:error=EIO:when=40+",
        "pwrite64:error=EIO:when=25",
        "pread64:error=EIO:when=3+",
        "pread64:error=EIO:when=30+",
        "fsync,fdatasync:error=EIO:when=2",
        "fsync,fdatasync:error=EIO:when=6",
        "fsync,fdatasync:error=EIO:when=9+",
    ] {
        let place = Place::new();
        place.write("files.yaml", text);
        place.ok(&["run", "files.yaml", "--items", "before"]);
        let rule = format!("inject={inject}");
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &rule];
        let items = ["run", "files.yaml", "--key", "k", "--items", "a", "b", "c", "d"];
        let mut command = place.under(&strace, &items);
        let worker = command.piped().spawn().unwrap();
        let broken = worker.end(Duration::from_secs(60));
        assert!([0, 1, 3, 74].contains(&broken.code), "{inject}: {broken:?}");
        assert!([0, 3].contains(&broken.code) || broken.err.contains("error:"), "{inject}: {broken:?}");
        failed += usize::from(broken.code != 0);
        // Once the disk works again, everything is there and continues.
        let again = place.run(&items);
        if again.code == 3 {
            place.ok(&["retry", "g2"]);
            place.ok(&["worker", "--until-idle"]);
        }
        assert_eq!(place.ok(&["list", "groups"]).matches("COMPLETED").count(), 2, "{inject}: {broken:?} {again:?}");
        assert_eq!(place.run(&["doctor"]).code, 0, "{inject}");
        place.assert_sound();
    }
    assert!(failed >= 4, "{failed} met an error");
}

#[test]
fn a_slow_fsync_costs_no_lease() {
    if !needs_working("strace", &["-f", "-qq", "-e", "trace=none", "true"]) {
        return;
    }
    let place = Place::new();
    place.write("slow.yaml", "id: slow\nsteps: [{ name: a, run: 'echo x >> begun; sleep 2' }]\n");
    place.ok(&["submit", "slow.yaml", "--items", "1", "2", "3", "4", "5", "6"]);
    // Every fsync of a commit takes three times as long as a worker may be silent.
    let strace =
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync,fdatasync:delay_enter=2400000:when=8..10"];
    let quick = |command: &mut Windlass| {
        command.env("WINDLASS_HEARTBEAT", "200ms").env("WINDLASS_SILENT_AFTER", "800ms");
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let slow = quick(&mut place.under(&strace, &["worker", "--pool", "*=2"]));
    place.wait_for_file("begun");
    let judge = quick(&mut place.command(&["worker", "--pool", "none=1"]));
    eventually("the group ends", || place.ok(&["list", "groups"]).contains("COMPLETED"));
    let events = place.ok(&["events", "--json"]);
    assert!(!events.contains("REAP"), "a living worker was reaped: {events}");
    assert_eq!(fs::read_to_string(place.path().join("begun")).unwrap().lines().count(), 6, "a step ran twice");
    judge.signal("TERM");
    judge.end(Duration::from_secs(30));
    // Not strace itself, which would let its child continue.
    slow.signal_child("TERM");
    slow.end(Duration::from_secs(60));
}

#[test]
fn a_worker_that_can_not_settle_on_a_full_disk_ends_when_its_time_to_stop_is_over() {
    let Some(disk) = SmallDisk::new(16) else { return };
    disk.place
        .write("nap.yaml", "id: nap\nsteps: [{ name: a, run: 'touch begun; until [ -e go ]; do sleep 0.02; done' }]\n");
    assert_eq!(disk.run(&["submit", "nap.yaml", "--items", "a"]).code, 0);
    let mut worker = disk.command(&["worker"]);
    // There is no reserve to give up.
    worker.env("WINDLASS_BALLAST", "0MiB").env("WINDLASS_STOP_TIMEOUT", "1s");
    let worker = worker.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the step runs", || disk.place.path().join("begun").exists());
    disk.fill();
    disk.place.write("go", "");
    worker.signal("TERM");
    let worker = worker.end(Duration::from_secs(30));
    assert_eq!(worker.code, 0, "{worker:?}");
    disk.free();
    // The next worker takes back its lease.
    assert_eq!(disk.run(&["worker", "--until-idle"]).code, 0);
    let listed = disk.run(&["list", "groups"]).out;
    assert_eq!(listed.matches("COMPLETED").count(), 1, "{listed}");
    assert_eq!(disk.run(&["doctor"]).code, 0);
}

#[test]
fn a_suspect_whose_child_has_no_room_for_its_answer_has_not_crashed() {
    let Some(disk) = SmallDisk::at("tmp", 1) else { return };
    disk.place.write("nap.yaml", "id: nap\nsteps: [{ name: a, uses: windlass/sleep, with: { for: 1s } }]\n");
    assert_eq!(disk.run(&["submit", "nap.yaml", "--items", "x"]).code, 0);
    let steps = || {
        let listed: serde_json::Value = serde_json::from_str(&disk.run(&["list", "steps", "--json"]).out).unwrap();
        listed["steps"][0].clone()
    };
    let worker = || disk.command(&["worker"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let killed = worker();
    eventually("it runs", || steps()["status"] == "RUNNING");
    killed.signal("KILL");
    killed.end(Duration::from_secs(30));
    disk.fill();
    let worker = worker();
    let why = || disk.run(&["show", "s1", "--json"]).out;
    eventually("its child could not answer", || why().contains("no room") || why().contains("crashed"));
    disk.free();
    eventually("it completes", || steps()["status"] == "COMPLETED");
    assert_eq!(steps()["attempts"], 1, "{}", why());
    worker.signal("TERM");
    assert_eq!(worker.end(Duration::from_secs(30)).code, 0);
}

#[test]
fn a_full_disk_without_room_for_the_memory_of_the_log_is_called_full() {
    let Some(disk) = SmallDisk::new(16) else { return };
    disk.place.write("noop.yaml", "id: noop\nsteps: [{ name: a, uses: windlass/noop }]\n");
    assert_eq!(disk.run(&["run", "noop.yaml", "--items", "before"]).code, 0);
    // As after a kill, with the log in place. The first process to open it creates the shared memory.
    File::create(disk.root().join("engine.db-shm")).unwrap();
    fs::remove_file(disk.root().join("ballast")).unwrap_or_default();
    disk.fill();
    let full = disk.run(&["submit", "noop.yaml", "--items", "x"]);
    assert_eq!(full.code, 74, "{full:?}");
    assert!(full.err.contains("no space left"), "{full:?}");
    disk.free();
    assert_eq!(disk.run(&["run", "noop.yaml", "--items", "after"]).code, 0);
}

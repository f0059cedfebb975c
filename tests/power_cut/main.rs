//! Power cuts: a real run is recorded call by call, and cut off at many moments. Whatever the disk then contains, the
//! engine starts on it, no acknowledged work is missing, and every artifact is complete.
//!
//! `TEST_IMAGES` is the number of images (200), and `TEST_SEED` selects them. Needs strace, and permission to trace.

#[path = "../support"]
mod support {
    pub mod binary;
    pub mod needs;
}

use support::binary::WINDLASS;
use support::needs::skip;
mod disk;
mod trace;
mod verdict;

use disk::{Disk, ExitInfo};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};
use trace::{Call, What};
use verdict::{Said, judge, resume};

/// A recorded run with one client and two workers.
struct Recording {
    calls: Vec<Call>,
    said: Vec<(usize, Said)>,
}

/// The results.
#[derive(Debug, Default)]
struct Found {
    images: usize,
    resumed: usize,
    /// Unsaved changes, over all images.
    at_stake: usize,
    acknowledged: usize,
    artifacts: usize,
    wrong: Vec<String>,
}

/// Numbers determined by a seed (SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % bound
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(otherwise)
}

/// The flags that strace needs here. None if it is missing or may not trace.
fn strace() -> Option<Vec<&'static str>> {
    let works = |flags: &[&str]| {
        let mut command = Command::new("strace");
        command.args(flags).args(["-f", "-y", "-xx", "-qq", "-e", "trace=fsync", "-o", "/dev/null", "true"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|it| it.success())
    };
    // The filter skips system calls that are not requested; older versions do not know it.
    [vec!["--seccomp-bpf"], vec![]].into_iter().find(|it| works(it))
}

/// Runs a client and two workers of the torture program for a while, and records their file operations.
fn record(dir: &Path, flags: &[&str], planted: Option<&str>) -> Recording {
    let site = dir.join("site");
    for name in ["home", "trace", "out"] {
        fs::create_dir_all(site.join(name)).unwrap();
    }
    let script = "
        \"$0\" __prove client \"$1\" 1 \"$2\" & c=$!
        \"$0\" __prove worker \"$1\" 2 \"$2\" & v=$!
        \"$0\" __prove worker \"$1\" 3 \"$2\" & w=$!
        sleep 1; n=0
        while [ $n -lt 400 ] && [ \"$(wc -l < \"$1/side.log\")\" -lt 600 ]; do sleep 0.05; n=$((n + 1)); done
        kill -TERM $c; wait $c; kill -TERM $v; wait $v; sleep 0.2; kill -TERM $w; wait $w";
    let record = dir.join("record");
    let mut command = Command::new("strace");
    command.args(flags).args(["-f", "-y", "-xx", "-qq", "-s", "4000000", "-e", "signal=none"]);
    command.arg("-e").arg(format!("trace={}", trace::CALLS)).arg("-o").arg(&record);
    command.args(["sh", "-c", script]).arg(WINDLASS).arg(&site);
    command.arg(number("TEST_SEED", 11).to_string()).env_remove("WINDLASS_PLANTED");
    if let Some(bug) = planted {
        command.env("WINDLASS_PLANTED", bug);
    }
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let calls = trace::read(&fs::read(&record).unwrap(), &fs::canonicalize(&site).unwrap());
    let said = said(&calls);
    assert!(said.iter().any(|it| matches!(it.1, Said::Accepted { .. })), "nothing was acknowledged");
    Recording { calls, said }
}

/// Each record of the side log, with the line at which its write began.
fn said(calls: &[Call]) -> Vec<(usize, Said)> {
    let mut all = Vec::new();
    for call in calls {
        let What::Write { path, data, .. } = &call.what else { continue };
        if path == Path::new("side.log") {
            let lines = data.split(|it| *it == b'\n').filter_map(|it| serde_json::from_slice(it).ok());
            all.extend(lines.map(|it| (call.from, it)));
        }
    }
    all
}

/// Cuts the power at this many moments, spread over the recording, in two threads.
fn cut(recording: &Recording, count: usize, dir: &Path) -> Found {
    let kept: Vec<usize> = moments(&recording.calls);
    let found = Mutex::new(Found::default());
    let halves = thread::available_parallelism().map_or(1, |it| it.get().min(4));
    thread::scope(|scope| {
        for part in 0..halves {
            let (kept, found) = (&kept, &found);
            scope.spawn(move || {
                let mut chance = Chance(number("TEST_SEED", 11).wrapping_add(part as u64));
                let mut disk = Disk::with(&["home"]);
                let mut next = 0;
                for at in (part..count).step_by(halves) {
                    // In order, so that the disk is built up once; at random moments, so that none is left out.
                    let slot = (at * kept.len() / count, (at + 1) * kept.len() / count);
                    let line = kept[slot.0 + chance.below((slot.1 - slot.0).max(1) as u64) as usize];
                    while next < recording.calls.len() && recording.calls[next].from <= line {
                        disk.apply(&recording.calls[next]);
                        next += 1;
                    }
                    disk.reach(line + 1);
                    let exit = ExitInfo::ALL[(at / halves) % ExitInfo::ALL.len()];
                    let image = dir.join(format!("image-{at}"));
                    fs::create_dir_all(&image).unwrap();
                    disk.image(&image, exit, &mut |bound| chance.below(bound)).unwrap();
                    try_image(recording, line, exit, at, &image, disk.pending(), found);
                    fs::remove_dir_all(&image).unwrap();
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// The lines at which a call began or completed.
fn moments(calls: &[Call]) -> Vec<usize> {
    let mut all: Vec<usize> = calls.iter().flat_map(|it| [it.from, it.until]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn try_image(
    recording: &Recording,
    line: usize,
    exit: ExitInfo,
    at: usize,
    image: &Path,
    at_stake: usize,
    found: &Mutex<Found>,
) {
    let said: Vec<&Said> = recording.said.iter().filter(|it| it.0 <= line).map(|it| &it.1).collect();
    let judged = judge(image, &said);
    // Now and then, work continues from the image.
    let goes_on = at % 40 == 7 && judged.as_ref().is_ok_and(|it| it.wrong.is_empty());
    let resumed = if goes_on { resume(image) } else { Vec::new() };
    let mut found = found.lock().unwrap();
    found.images += 1;
    found.resumed += usize::from(goes_on);
    found.at_stake += at_stake;
    let wrong = match judged {
        Ok(judged) => {
            found.acknowledged += judged.acknowledged;
            found.artifacts += judged.artifacts;
            judged.wrong
        }
        Err(error) => vec![format!("the engine does not start: {error}")],
    };
    let problems = wrong.into_iter().chain(resumed).map(|it| format!("line {line}, {exit:?} (image {at}): {it}"));
    found.wrong.extend(problems);
}

/// A place for images: in memory if possible, because thousands of them are written.
fn room() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn skipped() {
    skip("strace is not installed or may not trace here");
}

#[test]
fn what_a_power_cut_leaves_is_whole_and_holds_what_was_acknowledged() {
    let Some(flags) = strace() else { return skipped() };
    let dir = tempfile::tempdir().unwrap();
    let recording = record(dir.path(), &flags, None);
    let images = room();
    let begun = Instant::now();
    let found = cut(&recording, number("TEST_IMAGES", 200) as usize, images.path());
    println!("{found:?}; {} calls, {:?}", recording.calls.len(), begun.elapsed());
    assert!(found.wrong.is_empty(), "{} wrong: {:#?}", found.wrong.len(), &found.wrong[..found.wrong.len().min(20)]);
    assert!(found.acknowledged > 0 && found.artifacts > 0 && found.at_stake > 0 && found.resumed > 0, "{found:?}");
    assert!(begun.elapsed() < Duration::from_secs(3600));
}

/// With planted bugs that only a power cut reveals, the test reveals them.
#[cfg(feature = "planted-bugs")]
#[test]
fn a_power_cut_finds_what_is_not_synced() {
    let Some(flags) = strace() else { return skipped() };
    for bug in ["synchronous-off", "artifact-unsynced"] {
        let dir = tempfile::tempdir().unwrap();
        let recording = record(dir.path(), &flags, Some(bug));
        let images = room();
        let found = cut(&recording, number("TEST_IMAGES", 200) as usize, images.path());
        println!("{bug}: {} of {} images; {:?}", found.wrong.len(), found.images, found.wrong.first());
        assert!(!found.wrong.is_empty(), "{bug} was not found in {} images", found.images);
    }
}

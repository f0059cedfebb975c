//! Randomly damaged database pages: whatever they contain, every command ends in time, and none calls a database sound
//! that SQLite does not.
//!
//! `TEST_DAMAGE_SEEDS=500` tries more seeds, `TEST_DAMAGE_SEED=17` only one.

use crate::support::binary::Windlass;
use crate::{Ended, Place};
use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

const SEEDS: u64 = 20;
const WITHIN: Duration = Duration::from_secs(20);
/// The documented exit codes; a panic (101) or a signal (negative) is not among them.
const CODES: [i32; 7] = [0, 1, 2, 3, 4, 5, 74];
const BLOCK: usize = 4096;

/// SplitMix64: the same numbers for a seed on every machine.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Damages one to four blocks, in one of the ways in which disks and file systems do.
    fn damage(&mut self, bytes: &mut [u8]) {
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len() / BLOCK) * BLOCK;
            let other = self.below(bytes.len() / BLOCK) * BLOCK;
            match self.below(5) {
                0 => bytes[at..at + BLOCK].fill(0),
                1 => bytes[at..at + BLOCK].fill_with(|| self.next() as u8),
                2 => bytes.copy_within(other..other + BLOCK, at),
                3 => (0..1 + self.below(8)).for_each(|_| bytes[at + self.below(BLOCK)] ^= 1 << self.below(8)),
                // The header of a page: its type, free space, number of cells, right-most child.
                _ => bytes[at + self.below(12)] = self.next() as u8,
            }
        }
    }
}

/// A home with finished and with open work, and with documents; its files as they are to begin with.
struct Sample {
    place: Place,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Sample {
    fn new() -> Sample {
        let place = Place::new();
        place.write(
            "noop.yaml",
            "id: noop\nsteps: [{ name: a, uses: windlass/noop }, { name: b, uses: windlass/noop }]\n",
        );
        let items: Vec<String> = (0..150).map(|it| format!("item {it} {}", "x".repeat(100))).collect();
        place.write("items", &items.join("\n"));
        place.ok(&["run", "noop.yaml", "--items-from", "items"]);
        fs::create_dir(place.path().join("docs")).unwrap();
        for nth in 0..12 {
            let text: String = (0..40).map(|it| format!("Rope {it} of winch {nth} holds a load.\n\n")).collect();
            place.write(&format!("docs/{nth}.md"), &format!("# Winch {nth}\n\n{text}"));
        }
        place.ok(&["ingest", "docs"]);
        place.ok(&["submit", "noop.yaml", "--items-from", "items"]);
        let all = [place.database(), vectors(&place)];
        for path in &all {
            let db = rusqlite::Connection::open(path).unwrap();
            db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        }
        let files = all.map(|it| (it.clone(), fs::read(&it).unwrap())).to_vec();
        assert!(files.iter().all(|it| it.1.len() > 16 * BLOCK), "nothing to damage");
        Sample { place, files }
    }

    /// Restores the files, and damages one or both of them.
    fn damaged(&self, numbers: &mut Numbers) {
        let which = numbers.below(5);
        for (nth, (path, bytes)) in self.files.iter().enumerate() {
            for ending in ["-wal", "-shm"] {
                let _ = fs::remove_file(format!("{}{ending}", path.display()));
            }
            let mut bytes = bytes.clone();
            if which == 4 || which % 2 == nth {
                numbers.damage(&mut bytes);
            }
            fs::write(path, bytes).unwrap();
        }
        for name in ["tmp", "workers", "damaged"] {
            let _ = fs::remove_dir_all(self.place.home().join(name));
        }
    }

    /// Runs a command with a deadline. Its output goes to files, so it never waits for a reader.
    fn run(&self, arguments: &[&str], seed: u64) -> Ended {
        let file = |name: &str| self.place.path().join(name);
        let mut command = Windlass::bare();
        command.args(arguments).current_dir(self.place.path()).env("WINDLASS_HOME", self.place.home());
        command.env("WINDLASS_DURABILITY", "normal").stdin(Stdio::null());
        command.stdout(File::create(file("out")).unwrap()).stderr(File::create(file("err")).unwrap());
        let begun = Instant::now();
        let mut child = command.spawn().unwrap();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > WITHIN {
                let _ = child.kill();
                let _ = child.wait();
                panic!("seed {seed}: {arguments:?} does not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let text = |name: &str| String::from_utf8_lossy(&fs::read(file(name)).unwrap()).into_owned();
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or(0));
        let ended = Ended { code, out: text("out"), err: text("err") };
        assert!(CODES.contains(&code) && !ended.err.contains("panicked"), "seed {seed}: {arguments:?} {ended:?}");
        assert!(code == 0 || !ended.err.is_empty(), "seed {seed}: {arguments:?} fails without a word: {ended:?}");
        ended
    }
}

fn vectors(place: &Place) -> PathBuf {
    place.home().join("vectors/default.db")
}

/// Whether SQLite itself finds no problem, in a copy with its log.
fn is_whole(path: &Path) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy.db");
    for ending in ["", "-wal"] {
        let _ = fs::copy(format!("{}{ending}", path.display()), format!("{}{ending}", copy.display()));
    }
    let check = || {
        let db = rusqlite::Connection::open(&copy)?;
        let mut statement = db.prepare("PRAGMA integrity_check")?;
        statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
    };
    check().is_ok_and(|it| it == ["ok"])
}

fn number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn every_command_ends_on_random_damage_and_none_calls_it_sound() {
    let sample = Sample::new();
    let place = &sample.place;
    let seeds = match number("TEST_DAMAGE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TEST_DAMAGE_SEEDS").unwrap_or(SEEDS),
    };
    let (mut damaged, all) = (0, seeds.end - seeds.start);
    for seed in seeds {
        sample.damaged(&mut Numbers(seed));
        let whole = [is_whole(&place.database()), is_whole(&vectors(place))];
        damaged += u64::from(whole != [true, true]);
        let doctor = sample.run(&["doctor"], seed);
        assert!(doctor.code != 0 || whole == [true, true], "seed {seed}: {whole:?} {doctor:?}");
        let check = sample.run(&["db", "check"], seed);
        assert!(check.code != 0 || whole[1], "seed {seed}: {check:?}");
        sample.run(&["status"], seed);
        sample.run(&["search", "which rope holds a load"], seed);
        let repair = sample.run(&["db", "check", "--repair"], seed);
        assert!(repair.code != 0 || is_whole(&vectors(place)), "seed {seed}: {repair:?}");
        sample.run(&["vacuum", "default"], seed);
        sample.run(&["worker", "--until-idle"], seed);
        let whole = [is_whole(&place.database()), is_whole(&vectors(place))];
        let doctor = sample.run(&["doctor"], seed);
        assert!(doctor.code != 0 || whole == [true, true], "seed {seed}: in the end {whole:?} {doctor:?}");
    }
    assert!(all == 1 || damaged * 2 > all, "only {damaged} of {all} did any damage");
}

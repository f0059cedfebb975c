use super::*;
use crate::model::{ArtifactHash, ArtifactRef, Bytes};
use proptest::prelude::*;
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

fn options() -> ArtifactOptions {
    ArtifactOptions { reserve: Bytes(0), ..ArtifactOptions::default() }
}

struct House {
    dir: tempfile::TempDir,
    store: ArtifactStore,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(&dir.path().join("artifacts"), options(), "w1").unwrap();
    House { store, dir }
}

impl House {
    /// Every file in the store except the lock.
    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.store.dir().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.ends_with(".lock") => (),
                    false => found.push(path),
                }
            }
        }
        found
    }

    fn the_file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

/// Text that compresses well, and bytes that do not.
fn text(size: usize) -> Vec<u8> {
    b"windlass ".iter().copied().cycle().take(size).collect()
}

fn noise(size: usize) -> Vec<u8> {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..size).map(|_| next()).collect()
}

#[test]
fn what_was_put_comes_back_and_lies_under_its_hash() {
    let house = house();
    for (bytes, compressed) in
        [(vec![], false), (b"small".to_vec(), false), (text(3_000_000), true), (noise(700_000), false)]
    {
        let put = house.store.put(&bytes[..], "chunk").unwrap();
        assert_eq!((put.artifact.size, put.artifact.stored < put.artifact.size), (bytes.len() as u64, compressed));
        assert_eq!(house.store.get_bytes(&put.artifact).unwrap(), bytes);
        let (path, is_compressed) = house.store.find(&put.artifact.hash).unwrap();
        assert_eq!((is_compressed, fs::metadata(&path).unwrap().len()), (compressed, put.artifact.stored));
        assert!(path.starts_with(house.store.dir().join(&put.artifact.hash.to_string()[..2])));
        let copy = house.dir.path().join("copy");
        house.store.copy_to(&put.artifact, &copy).unwrap();
        assert_eq!(fs::read(copy).unwrap(), bytes);
    }
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(
        house.store.put_bytes(b"hello", "x").unwrap().artifact.hash.to_string(),
        hash,
        "SHA-256 of the plain bytes"
    );
}

#[test]
fn equal_content_is_stored_once() {
    let house = house();
    let first = house.store.put_bytes(&text(100_000), "a").unwrap().artifact;
    let second = house.store.put_bytes(&text(100_000), "b").unwrap().artifact;
    assert_eq!(first, second);
    house.the_file();
}

#[test]
fn levels_follow_type_and_setting() {
    let levels = [("plain".to_string(), 0), ("tight".to_string(), 19)].into();
    let on = ArtifactOptions { level: 5, levels, ..options() };
    assert_eq!(["plain", "tight", "else"].map(|kind| on.level_of(kind)), [None, Some(19), Some(5)]);
    let off = ArtifactOptions { compress: false, ..on.clone() };
    assert_eq!(off.level_of("tight"), None);
    let dir = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(dir.path(), on, "w1").unwrap();
    let put = store.put_bytes(&text(10_000), "plain").unwrap().artifact;
    assert_eq!(put.stored, put.size);
}

#[test]
fn a_damaged_file_is_never_handed_out() {
    let plain = (noise(50_000), "plain");
    let compressed = (text(500_000), "compressed");
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("flipped", |it| {
            let middle = it.len() / 2;
            it[middle] ^= 1;
        }),
        ("cut", |it| it.truncate(it.len() / 2)),
        ("longer", |it| it.extend_from_slice(b"more")),
        ("emptied", Vec::clear),
    ];
    for (bytes, which) in [plain, compressed] {
        for (name, damage) in damages {
            let house = house();
            let artifact = house.store.put_bytes(&bytes, "x").unwrap().artifact;
            let path = house.the_file();
            let mut stored = fs::read(&path).unwrap();
            damage(&mut stored);
            fs::write(&path, stored).unwrap();
            let copy = house.dir.path().join("copy");
            let results = [
                house.store.get_bytes(&artifact).map(|_| ()),
                house.store.verify(&artifact),
                house.store.copy_to(&artifact, &copy),
            ];
            assert!(results.iter().all(|it| matches!(it, Err(Error::Corrupt { .. }))), "{which} {name}: {results:?}");
            assert!(!copy.exists() && fs::read_dir(house.dir.path()).unwrap().count() == 1, "no leftovers");

            let again = house.store.put_bytes(&bytes, "x").unwrap().artifact;
            assert_eq!(house.store.get_bytes(&again).unwrap(), bytes, "storing it again mends it");
        }
    }
}

#[test]
fn a_bomb_is_stopped_at_the_recorded_size() {
    let house = house();
    let bomb = text(64 << 20);
    let artifact = house.store.put_bytes(&bomb, "x").unwrap().artifact;
    let small = ArtifactRef { size: 1_000, ..artifact };
    let mut read = 0;
    let mut reader = house.store.get(&small).unwrap();
    let error = loop {
        match reader.read(&mut [0; 4096]) {
            Ok(count) => read += count,
            Err(error) => break error,
        }
    };
    assert!(read <= 4096 && error.kind() == io::ErrorKind::InvalidData, "{read} {error}");
    assert!(matches!(house.store.get_bytes(&small), Err(Error::Corrupt { .. })));
}

#[test]
fn a_missing_file_is_told_apart() {
    let house = house();
    let artifact = ArtifactRef { hash: ArtifactHash([7; 32]), size: 1, stored: 1 };
    assert!(matches!(house.store.get_bytes(&artifact), Err(Error::Missing { .. })));
    assert!(!house.store.contains(&artifact.hash));
}

/// Returns some bytes, then fails.
struct Broken(usize);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::other("the source broke"));
        }
        let count = buffer.len().min(self.0);
        self.0 -= count;
        Ok(count)
    }
}

#[test]
fn a_broken_source_leaves_nothing_behind() {
    let house = house();
    for bytes in [0, 10, 5 << 20] {
        assert!(matches!(house.store.put(Broken(bytes), "x"), Err(Error::Source(_))), "{bytes}");
        assert_eq!(house.files(), Vec::<PathBuf>::new());
    }
}

fn store_with_free_space(dir: &Path, reserve: u64, free: Arc<AtomicU64>) -> ArtifactStore {
    let options = ArtifactOptions { reserve: Bytes(reserve), ..options() };
    ArtifactStore::open_with(dir, options, "w1", Box::new(move |_| Ok(Bytes(free.load(Ordering::SeqCst))))).unwrap()
}

#[test]
fn too_little_space_is_refused_before_and_during_the_write() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(1_500));
    let store = store_with_free_space(&dir.path().join("a"), 1_000, free.clone());
    assert!(store.put_bytes(&[0; 500], "x").is_ok());
    let refused = store.put_bytes(&[1; 501], "x").unwrap_err();
    assert!(matches!(refused, Error::DiskFull { needed: 1_501, free: 1_500, .. }), "{refused}");
    assert!(refused.hint().unwrap().contains("prune"));

    free.store(1 << 40, Ordering::SeqCst);
    let mut blocks = 0;
    let filling = io::Read::take(io::repeat(7), 64 << 20);
    let watched = Watched {
        inner: filling,
        at: Box::new(move || {
            blocks += 1;
            if blocks == 100 {
                free.store(10, Ordering::SeqCst);
            }
        }),
    };
    assert!(matches!(store.put(watched, "x"), Err(Error::DiskFull { free: 10, .. })));
    let left = fs::read_dir(store.dir()).unwrap().filter(|it| it.as_ref().unwrap().path().is_file()).count();
    assert_eq!(left, 1, "only the lock");
}

struct Watched<R> {
    inner: R,
    at: Box<dyn FnMut()>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.at)();
        self.inner.read(buffer)
    }
}

#[test]
fn a_sweep_takes_only_what_nobody_refers_to() {
    let house = house();
    let kept = house.store.put_bytes(&text(10_000), "x").unwrap().artifact;
    let unwanted = house.store.put_bytes(&noise(10_000), "x").unwrap().artifact;
    let swept = house.store.sweep(|hash| *hash == kept.hash).unwrap();
    assert_eq!(swept, Swept { files: 1, bytes: unwanted.stored });
    assert!(house.store.contains(&kept.hash) && !house.store.contains(&unwanted.hash));
}

#[test]
fn a_sweep_waits_until_the_row_of_a_put_is_committed() {
    let house = house();
    let put = house.store.put_bytes(b"fresh", "x").unwrap();
    let lock = house.store.dir().join(".lock");
    assert!(crate::os::FileLock::try_exclusive(&lock).unwrap().is_none(), "the guard holds it shared");
    let other = house.store.put_bytes(b"others can put", "x").unwrap();
    drop((put.guard, other.guard));
    assert!(crate::os::FileLock::try_exclusive(&lock).unwrap().is_some());
}

#[test]
fn temporaries_of_dead_workers_are_swept() {
    let house = house();
    for name in [".tmp.w1.00", ".tmp.w2.00", ".tmp.w3.00"] {
        fs::write(house.store.dir().join(name), b"half").unwrap();
    }
    let swept = house.store.sweep_temporaries(|worker| worker == "w2").unwrap();
    assert_eq!(swept, Swept { files: 1, bytes: 4 });
    let left: Vec<_> = house.files().iter().map(|it| it.file_name().unwrap().to_owned()).collect();
    assert_eq!(left.len(), 2);
    assert!(!left.contains(&".tmp.w3.00".into()), "{left:?}");
}

#[test]
fn files_and_directories_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let house = house();
    house.store.put_bytes(b"secret", "x").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(house.store.dir()), mode(&house.the_file())), (0o700, 0o600));
}

#[test]
fn many_threads_storing_the_same_content_agree() {
    let house = house();
    let bytes = text(300_000);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for part in 0..20 {
                    let artifact = house.store.put_bytes(&bytes[..200_000 + part * 10], "x").unwrap().artifact;
                    assert_eq!(house.store.get_bytes(&artifact).unwrap().len(), 200_000 + part * 10);
                }
            });
        }
    });
    assert_eq!(house.files().len(), 20);
}

#[test]
fn a_worker_tag_can_not_leave_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    for tag in ["", "../x", "a.b", "a/b"] {
        assert!(matches!(ArtifactStore::open(dir.path(), options(), tag), Err(Error::WorkerTag(_))), "{tag}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_bytes_in_pieces_of_any_size_come_back(bytes in prop::collection::vec(any::<u8>(), 0..2000), times in 1usize..400) {
        let house = house();
        let whole: Vec<u8> = bytes.iter().copied().cycle().take(bytes.len() * times).collect();
        let put = house.store.put(&whole[..], "x").unwrap();
        prop_assert_eq!(house.store.get_bytes(&put.artifact).unwrap(), whole);
    }
}

#[test]
fn a_file_that_comes_in_pieces_is_stored_as_one_that_comes_whole() {
    let house = house();
    for content in [text(700_000), noise(300_000), Vec::new()] {
        let whole = house.store.put_bytes(&content, "document").unwrap().artifact;
        let other = super::ArtifactStore::open(&house.dir.path().join("other"), options(), "w2").unwrap();
        let mut incoming = other.receive("document").unwrap();
        content.chunks(100_000).for_each(|it| incoming.write(it).unwrap());
        assert_eq!(incoming.size(), content.len() as u64);
        let put = incoming.finish().unwrap().artifact;
        assert_eq!((put.hash, put.size), (whole.hash, whole.size));
        assert!(other.get_bytes(&put).unwrap() == content);
    }
}

#[test]
fn a_file_that_breaks_off_leaves_nothing_and_one_that_nobody_uses_is_removed() {
    let house = house();
    let mut incoming = house.store.receive("document").unwrap();
    incoming.write(b"half").unwrap();
    drop(incoming);
    assert!(house.files().is_empty());
    let hash = house.store.put_bytes(b"whole", "document").unwrap().artifact.hash;
    assert_eq!(house.store.remove(&[hash], |_| true).unwrap().files, 0);
    house.the_file();
    assert_eq!(house.store.remove(&[hash, hash], |_| false).unwrap().files, 1);
    assert!(house.files().is_empty());
}

//! A vector database keeps documents complete, for writers and readers.

use serde_json::json;
use std::{path::PathBuf, sync::mpsc, thread};
use windlass::{
    model::{ArtifactHash, Chunk, Timestamp},
    vector::{
        ChunkRow, DocumentQuery, DocumentRow, Epoch, Error, Filter, OpenOptions, Origin, Removal, Stored, Term,
        TextHash, TextQuery, VectorDb,
    },
};

const DIMENSION: usize = 4;

struct House {
    folder: tempfile::TempDir,
    metadata: serde_json::Value,
}

impl House {
    fn new() -> House {
        House { folder: tempfile::tempdir().unwrap(), metadata: json!({"author": "ada", "year": 1843}) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("vectors/default.db")
    }

    fn writer(&self) -> (VectorDb, Epoch) {
        let options = OpenOptions::default();
        let mut db =
            VectorDb::create_or_open_for_writing(&self.path(), &options, "test:v1", DIMENSION, &json!({"size": 512}))
                .unwrap();
        let epoch = db.raise_epoch().unwrap();
        (db, epoch)
    }

    fn reader(&self) -> VectorDb {
        VectorDb::open(&self.path(), &OpenOptions::default()).unwrap()
    }

    fn row<'a>(&'a self, uri: &'a str) -> DocumentRow<'a> {
        DocumentRow {
            source: "books",
            uri,
            title: Some("On Engines"),
            sha256: ArtifactHash([7; 32]),
            media_type: "text/plain",
            metadata: &self.metadata,
            now: Timestamp(1000),
        }
    }

    fn store(&self, db: &mut VectorDb, epoch: Epoch, uri: &str, texts: &[&str]) -> Result<(), Error> {
        let chunks: Vec<Chunk> = texts.iter().enumerate().map(|(at, text)| chunk(text, at as u32 + 1)).collect();
        let vectors: Vec<[f32; DIMENSION]> = texts.iter().map(|it| vector(it)).collect();
        let rows: Vec<ChunkRow> = chunks
            .iter()
            .zip(&vectors)
            .map(|(chunk, vector)| ChunkRow { chunk, text_hash: TextHash::of(&chunk.text), vector })
            .collect();
        db.replace_document(epoch, &self.row(uri), &rows)
    }
}

fn removal(uri: &str) -> Removal<'_> {
    Removal { source: "books", uri, until: None }
}

fn chunk(text: &str, page: u32) -> Chunk {
    let headings = vec!["Part".to_string(), "Chapter".to_string()];
    Chunk { text: text.to_string(), headings, page: Some(page), range: 0..text.len(), tokens: 3, linked: 0 }
}

/// A direction determined by the text's first letter.
fn vector(text: &str) -> [f32; DIMENSION] {
    let mut vector = [0.0; DIMENSION];
    vector[usize::from(text.bytes().next().unwrap_or(0)) % DIMENSION] = 1.0;
    vector
}

fn words(word: &str) -> TextQuery {
    TextQuery { terms: vec![Term::Word(word.to_string())] }
}

fn found(db: &VectorDb, word: &str) -> Vec<String> {
    let ids: Vec<_> = db.text(&words(word), 10, None).unwrap().iter().map(|it| it.chunk).collect();
    db.fetch(&ids).unwrap().into_iter().map(|it| it.chunk.text).collect()
}

fn filter(text: &str) -> Filter {
    text.parse().unwrap()
}

#[test]
fn a_document_is_found_by_word_by_vector_and_by_name() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    house.store(&mut db, epoch, "a.txt", &["analytical engines", "difference engine"]).unwrap();

    assert_eq!(found(&db, "engine").len(), 2);
    assert_eq!(found(&db, "differences"), ["difference engine"]);
    let nearest = db.knn(&vector("analytical"), 1, None).unwrap();
    assert!((nearest[0].score - 1.0).abs() < 1e-6);
    let chunk = db.fetch(&[nearest[0].chunk]).unwrap().remove(0);
    assert_eq!((chunk.chunk.text.as_str(), chunk.no, chunk.chunk.page), ("analytical engines", 0, Some(1)));
    assert_eq!((chunk.uri.as_str(), chunk.chunk.headings.len()), ("a.txt", 2));

    let document = db.document("books", "a.txt").unwrap().unwrap();
    assert_eq!(
        (document.chunks, document.created, document.metadata["year"].as_i64()),
        (2, Timestamp(1000), Some(1843))
    );
    assert!(db.document("books", "b.txt").unwrap().is_none());
    assert_eq!(db.hashes("books").unwrap()["a.txt"], ArtifactHash([7; 32]));
    assert!(db.check().unwrap().is_sound());
}

#[test]
fn replacing_and_removing_leave_nothing_behind() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    house.store(&mut db, epoch, "a.txt", &["old words", "more old words"]).unwrap();
    house.store(&mut db, epoch, "b.txt", &["other"]).unwrap();
    house.store(&mut db, epoch, "a.txt", &["new"]).unwrap();
    assert!(found(&db, "old").is_empty());
    assert_eq!(found(&db, "new"), ["new"]);
    assert_eq!(db.info().unwrap().chunks, 2);

    house.store(&mut db, epoch, "a.txt", &[]).unwrap();
    assert_eq!(db.document("books", "a.txt").unwrap().unwrap().chunks, 0);

    assert!(db.remove_document(epoch, "books", "a.txt").unwrap());
    assert!(!db.remove_document(epoch, "books", "a.txt").unwrap());
    let uris: Vec<String> = (0..150).map(|at| format!("{at}.txt")).collect();
    for uri in &uris {
        house.store(&mut db, epoch, uri, &["many"]).unwrap();
    }
    let all: Vec<Removal> = uris.iter().map(String::as_str).chain(["absent"]).map(removal).collect();
    assert_eq!(db.remove_documents(epoch, &all).unwrap(), 150);
    let info = db.info().unwrap();
    assert_eq!((info.documents, info.chunks, info.sources), (1, 1, vec![("books".to_string(), 1)]));
    assert!(db.check().unwrap().is_sound());
}

#[test]
fn a_reader_sees_the_old_document_or_the_new_and_never_half() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    house.store(&mut db, epoch, "a.txt", &["version 0", "version 0"]).unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let reader = house.reader();
    let reading = thread::spawn(move || {
        let mut looks = 0;
        while stopped.try_recv().is_err() {
            let moment = reader.snapshot().unwrap();
            let chunks = found(&reader, "version");
            assert!(chunks.len() == 2 && chunks[0] == chunks[1], "{chunks:?}");
            drop(moment);
            let documents = reader.documents(&DocumentQuery { limit: 5, ..DocumentQuery::default() }).unwrap();
            assert_eq!((documents.total, documents.documents[0].chunks), (1, 2));
            looks += 1;
        }
        looks
    });
    for version in 1..200 {
        let text = format!("version {version}");
        house.store(&mut db, epoch, "a.txt", &[&text, &text]).unwrap();
        if version % 50 == 0 {
            db.vacuum(epoch).unwrap();
        }
    }
    stop.send(()).unwrap();
    assert!(reading.join().unwrap() > 0);
    assert_eq!(found(&house.reader(), "version"), ["version 199", "version 199"]);
}

#[test]
fn a_writer_that_lost_the_lock_is_fenced() {
    let house = House::new();
    let (mut stale, old) = house.writer();
    let (mut fresh, new) = house.writer();
    assert!(new > old);
    assert!(matches!(house.store(&mut stale, old, "a.txt", &["late"]), Err(Error::Fenced { .. })));
    assert!(matches!(stale.remove_document(old, "books", "a.txt"), Err(Error::Fenced { .. })));
    assert!(matches!(stale.vacuum(old), Err(Error::Fenced { .. })));
    house.store(&mut fresh, new, "a.txt", &["in time"]).unwrap();
    assert_eq!(found(&stale, "time"), ["in time"]);
}

#[test]
fn another_embedder_and_another_dimension_are_refused() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    let options = OpenOptions::default();
    for (embedder, dimension) in [("other:v1", DIMENSION), ("test:v1", 8)] {
        let opened =
            VectorDb::create_or_open_for_writing(&house.path(), &options, embedder, dimension, &json!({})).unwrap_err();
        assert!(matches!(opened, Error::Embedder { .. }));
        assert!(opened.hint().unwrap().contains("--db"));
    }
    let words = chunk("a", 1);
    for vector in [&[1.0f32; 3][..], &[f32::NAN; 4]] {
        let row = ChunkRow { chunk: &words, text_hash: TextHash::of("a"), vector };
        let refused = db.replace_document(epoch, &house.row("a.txt"), &[row]).unwrap_err();
        assert!(matches!(refused, Error::Dimension { .. } | Error::NotFinite));
    }
    assert!(matches!(db.knn(&[1.0; 5], 3, None), Err(Error::Dimension { expected: 4, got: 5 })));
    assert_eq!(db.info().unwrap().documents, 0);
}

#[test]
fn what_is_no_vector_database_is_told_apart() {
    let house = House::new();
    let options = OpenOptions::default();
    let absent = VectorDb::open(&house.path(), &options).unwrap_err();
    assert!(matches!(absent, Error::NotFound { .. }) && absent.hint().unwrap().contains("windlass ingest"));

    let path = house.folder.path().join("empty.db");
    std::fs::write(&path, "").unwrap();
    assert!(matches!(VectorDb::open(&path, &options), Err(Error::NotFound { .. })));

    let path = house.folder.path().join("text.db");
    std::fs::write(&path, "not a database, and long enough to have a header: ".repeat(100)).unwrap();
    assert!(matches!(VectorDb::open(&path, &options), Err(Error::NotAVectorDatabase { .. })));
    let opened = VectorDb::create_or_open_for_writing(&path, &options, "test:v1", DIMENSION, &json!({}));
    assert!(matches!(opened, Err(Error::NotAVectorDatabase { .. })));

    assert!(matches!(VectorDb::open(house.folder.path(), &options), Err(Error::NotAVectorDatabase { .. })));
}

#[test]
fn a_reader_cannot_write() {
    let house = House::new();
    drop(house.writer());
    assert!(matches!(house.reader().raise_epoch(), Err(Error::ReadOnly { .. })));
}

#[test]
fn known_vectors_are_taken_over_by_the_text_that_was_embedded() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    house.store(&mut db, epoch, "a.txt", &["analytical", "difference"]).unwrap();
    let hashes = [TextHash::of("difference"), TextHash::of("unknown")];
    assert_eq!(db.vectors_for(&hashes).unwrap(), [Some(vector("difference").to_vec()), None]);
}

#[test]
fn filters_narrow_words_vectors_and_documents() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    house.store(&mut db, epoch, "a.txt", &["engine one", "engine two", "engine three"]).unwrap();
    house.store(&mut db, epoch, "b.txt", &["engine four"]).unwrap();
    for (text, count) in [
        ("page < 2", 2),
        ("uri = 'a.txt' and page >= 2", 2),
        ("not uri = 'a.txt'", 1),
        ("title like '%ENGINES'", 4),
        ("title != 'On Engines' or source != 'books'", 0),
        ("meta.author = 'ada' and meta.year < 1900", 4),
        ("meta.publisher != 'x'", 4),
        ("not meta.publisher < 5", 4),
        ("meta.publisher > 5", 0),
        ("uri = \"a.txt' OR 1=1 --\"", 0),
    ] {
        let filter = filter(text);
        assert_eq!(db.text(&words("engine"), 10, Some(&filter)).unwrap().len(), count, "{text}");
        assert_eq!(db.knn(&vector("engine"), 10, Some(&filter)).unwrap().len(), count, "{text}");
    }
    let listed = |text: &str| {
        let filter = filter(text);
        db.documents(&DocumentQuery { filter: Some(&filter), limit: 1, offset: 0 })
    };
    let page = listed("media_type = 'text/plain'").unwrap();
    assert_eq!((page.total, page.documents.len()), (2, 1));
    assert!(matches!(listed("page = 1"), Err(Error::Filter(_))));
}

#[test]
fn vacuum_gives_space_back_while_a_reader_reads() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    let text = "many words ".repeat(500);
    for at in 0..50 {
        house.store(&mut db, epoch, &format!("{at}.txt"), &[&text]).unwrap();
    }
    let uris: Vec<String> = (1..50).map(|at| format!("{at}.txt")).collect();
    let gone: Vec<Removal> = uris.iter().map(|it| removal(it)).collect();
    db.remove_documents(epoch, &gone).unwrap();
    let reader = house.reader();
    let report = db.vacuum(epoch).unwrap();
    assert!(report.bytes_after < report.bytes_before / 2 && report.log_emptied, "{report:?}");
    assert_eq!(found(&reader, "words").len(), 1);
    assert!(reader.check().unwrap().is_sound());
    assert_eq!(reader.info().unwrap().free_bytes, 0);
}

#[test]
fn a_check_finds_what_does_not_belong_together() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    house.store(&mut db, epoch, "a.txt", &["one", "two"]).unwrap();
    drop(db);
    let raw = rusqlite::Connection::open(house.path()).unwrap();
    raw.execute_batch(
        "PRAGMA foreign_keys = OFF;
         DELETE FROM vector WHERE chunk = 1;
         INSERT INTO vector VALUES (99, x'00');
         DELETE FROM chunk_text WHERE rowid = 2;
         INSERT INTO chunk_text (rowid, text) VALUES (98, 'stray');
         UPDATE document SET chunks = 5;",
    )
    .unwrap();
    let report = house.reader().check().unwrap();
    assert_eq!(
        (report.chunks_without_vector, report.vectors_without_chunk, report.vectors_of_wrong_dimension),
        (1, 1, 1)
    );
    assert_eq!((report.chunks_without_words, report.words_without_chunk, report.documents_with_wrong_count), (1, 1, 1));
    assert!(!report.is_sound());
}

#[test]
fn a_repair_removes_what_is_not_whole_and_keeps_the_rest() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    for uri in ["a.txt", "b.txt", "c.txt", "d.txt"] {
        house.store(&mut db, epoch, uri, &["one", "two"]).unwrap();
    }
    let raw = rusqlite::Connection::open(house.path()).unwrap();
    raw.execute_batch(
        "PRAGMA foreign_keys = OFF;
         DELETE FROM vector WHERE chunk = 1;
         DELETE FROM chunk_text WHERE rowid = 4;
         UPDATE document SET chunks = 7 WHERE uri = 'c.txt';
         INSERT INTO vector VALUES (99, x'00');
         INSERT INTO chunk_text (rowid, text) VALUES (98, 'stray');",
    )
    .unwrap();
    let report = db.repair(epoch).unwrap();
    let uris: Vec<&str> = report.documents_removed.iter().map(|it| it.1.as_str()).collect();
    assert_eq!((uris, report.orphans_removed), (vec!["a.txt", "b.txt", "c.txt"], 2));
    assert!(db.check().unwrap().is_sound());
    assert_eq!(found(&db, "two"), ["two"]);
    assert_eq!(db.repair(epoch).unwrap(), windlass::vector::RepairReport::default());
}

#[test]
fn a_reader_recovers_what_a_killed_writer_committed() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    house.store(&mut db, epoch, "a.txt", &["committed"]).unwrap();
    // What a kill leaves on disk: the file and its log, without shared memory.
    let left = house.folder.path().join("left.db");
    std::fs::copy(house.path(), &left).unwrap();
    std::fs::copy(house.path().with_extension("db-wal"), left.with_extension("db-wal")).unwrap();
    let reader = VectorDb::open(&left, &OpenOptions::default()).unwrap();
    assert_eq!(found(&reader, "committed"), ["committed"]);
}

#[test]
fn the_chunk_parameters_on_record_can_be_changed() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    assert_eq!(db.info().unwrap().chunk_params, json!({"size": 512}));
    db.record_chunk_params(epoch, &json!({"size": 256})).unwrap();
    assert_eq!(house.reader().info().unwrap().chunk_params, json!({"size": 256}));
    let kept = VectorDb::open_for_writing(&house.path(), &OpenOptions::default()).unwrap();
    assert_eq!((kept.embedder(), kept.info().unwrap().chunk_params), ("test:v1", json!({"size": 256})));
}

#[test]
fn an_older_run_does_not_replace_what_a_newer_one_of_its_engine_stored() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    let mut store = |engine: &str, run: i64, text: &str| {
        let (chunk, vector) = (chunk(text, 1), vector(text));
        let rows = [ChunkRow { chunk: &chunk, text_hash: TextHash::of(text), vector: &vector }];
        db.replace_document_from(epoch, &Origin { engine, run }, &house.row("a.txt"), &rows).unwrap()
    };
    assert_eq!(store("one", 7, "seventh"), Stored::Yes);
    assert_eq!(store("one", 5, "fifth"), Stored::Superseded(7));
    assert_eq!(store("one", 7, "again"), Stored::Yes, "the same run may have been interrupted before it was settled");
    assert_eq!(store("two", 3, "elsewhere"), Stored::Yes, "runs of two engines can't be compared");
    assert_eq!(store("one", 8, "eighth"), Stored::Yes);
    assert_eq!(found(&db, "eighth"), ["eighth"]);

    // A deletion removes what was stored before it, and hides it until then.
    let until = |run| Removal { until: Some(Origin { engine: "one", run }), ..removal("a.txt") };
    let mut reader = house.reader();
    assert_eq!((reader.hide(&[until(7)]).unwrap(), found(&reader, "eighth").len()), (0, 1));
    assert_eq!((reader.hide(&[until(8)]).unwrap(), found(&reader, "eighth").len()), (1, 0));
    assert!(reader.knn(&vector("eighth"), 9, None).unwrap().is_empty());
    assert_eq!(reader.documents(&DocumentQuery { limit: 9, ..Default::default() }).unwrap().total, 0);
    assert_eq!(db.remove_documents(epoch, &[until(7)]).unwrap(), 0);
    assert_eq!(db.remove_documents(epoch, &[until(8)]).unwrap(), 1);
    assert!(db.check().unwrap().is_sound());
}

#[test]
fn a_database_of_an_older_schema_is_read_as_it_is_and_upgraded_by_whoever_writes() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    house.store(&mut db, epoch, "a.txt", &["old"]).unwrap();
    drop(db);
    let plain = rusqlite::Connection::open(house.path()).unwrap();
    plain.execute_batch("DROP TABLE version; DROP TABLE linked; PRAGMA user_version = 1").unwrap();
    drop(plain);
    let mut reader = house.reader();
    assert_eq!((found(&reader, "old"), reader.info().unwrap().schema_version), (vec!["old".to_string()], 1));
    let gone = Removal { until: Some(Origin { engine: "one", run: 1 }), ..removal("a.txt") };
    assert_eq!(reader.hide(&[gone]).unwrap(), 1, "nobody knows who stored it: it is older than any deletion");
    let (mut db, epoch) = house.writer();
    assert_eq!(db.info().unwrap().schema_version, 3);
    assert_eq!(db.remove_documents(epoch, &[gone]).unwrap(), 1);
    house.store(&mut db, epoch, "a.txt", &["old"]).unwrap();
    drop((reader, db));

    let plain = rusqlite::Connection::open(house.path()).unwrap();
    plain.execute_batch("DROP TABLE linked; PRAGMA user_version = 2").unwrap();
    drop(plain);
    let reader = house.reader();
    assert_eq!((found(&reader, "old"), reader.info().unwrap().schema_version), (vec!["old".to_string()], 2));
    assert!(reader.check().unwrap().is_sound());
    let ids: Vec<_> = reader.knn(&vector("old"), 1, None).unwrap().iter().map(|it| it.chunk).collect();
    assert_eq!(reader.fetch(&ids).unwrap()[0].chunk.linked, 0);
    let (db, _) = house.writer();
    assert_eq!(db.info().unwrap().schema_version, 3);
    assert!(db.check().unwrap().is_sound());
}

#[test]
fn the_share_of_links_is_kept_of_chunks_that_are_mostly_links() {
    let house = House::new();
    let (mut db, epoch) = house.writer();
    let of = |linked| Chunk { linked, ..chunk("ropes", 1) };
    for (uri, linked) in [("text", 49), ("half", 50), ("menu", 100)] {
        let chunk = of(linked);
        let rows = [ChunkRow { chunk: &chunk, text_hash: TextHash::of("ropes"), vector: &vector("ropes") }];
        db.replace_document(epoch, &house.row(uri), &rows).unwrap();
    }
    let kept = |db: &VectorDb| {
        let ids: Vec<_> = db.knn(&vector("ropes"), 9, None).unwrap().iter().map(|it| it.chunk).collect();
        let mut kept: Vec<_> = db.fetch(&ids).unwrap().into_iter().map(|it| (it.uri, it.chunk.linked)).collect();
        kept.sort();
        kept
    };
    let expected = |it: &[(&str, u8)]| it.iter().map(|it| (it.0.to_string(), it.1)).collect::<Vec<_>>();
    assert_eq!(kept(&db), expected(&[("half", 50), ("menu", 100), ("text", 0)]));
    db.remove_documents(epoch, &[removal("menu")]).unwrap();
    assert_eq!(kept(&db), expected(&[("half", 50), ("text", 0)]));
    assert!(db.check().unwrap().is_sound());
    let plain = rusqlite::Connection::open(house.path()).unwrap();
    plain.execute_batch("PRAGMA foreign_keys = 0; INSERT INTO linked VALUES (999, 70)").unwrap();
    assert_eq!(db.check().unwrap().links_without_chunk, 1);
    assert_eq!(db.repair(epoch).unwrap().orphans_removed, 1);
    assert!(db.check().unwrap().is_sound());
}

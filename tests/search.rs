//! A search finds what a person means by its words.

use serde_json::json;
use std::{path::PathBuf, sync::Arc};
use windlass::{
    embed::{self, Embedder},
    model::{ArtifactHash, Chunk, Timestamp},
    search::{Error, Hit, Mode, Query, search},
    vector::{ChunkRow, DocumentRow, OpenOptions, TextHash, VectorDb},
};

const TEXTS: &[(&str, &str)] = &[
    ("engine.md", "A windlass raises the anchor. Its engine is driven by steam, and the boiler needs coal."),
    ("kitchen.md", "Bread needs flour, water, salt and yeast; bake it in a hot oven."),
    ("dog.md", "Маленькая собачка бежала по улице. Кот спал."),
    ("tokyo.md", "東京タワーは日本の東京都港区にある電波塔である。"),
    ("quote.md", "He said \"to be or not to be\" AND left: NEAR(x, y) * ^ column:filter."),
];

struct House {
    folder: tempfile::TempDir,
    embedder: Arc<dyn Embedder>,
}

impl House {
    fn new(embedder: &str) -> House {
        let house = House { folder: tempfile::tempdir().unwrap(), embedder: embed::by_name(embedder).unwrap() };
        let (id, dimension) = (house.embedder.id(), house.embedder.dimension().unwrap());
        let options = OpenOptions::default();
        let mut db = VectorDb::create_or_open_for_writing(&house.path(), &options, id, dimension, &json!({})).unwrap();
        let epoch = db.raise_epoch().unwrap();
        for (uri, text) in TEXTS {
            let chunk = Chunk { text: text.to_string(), tokens: 10, range: 0..text.len(), ..chunk() };
            let vector = house.embedder.embed(&[text]).unwrap().remove(0);
            let row = DocumentRow {
                source: "test",
                uri,
                title: None,
                sha256: ArtifactHash([0; 32]),
                media_type: "text/markdown",
                metadata: &json!({}),
                now: Timestamp(0),
            };
            let chunks = [ChunkRow { chunk: &chunk, text_hash: TextHash::of(text), vector: &vector }];
            db.replace_document(epoch, &row, &chunks).unwrap();
        }
        house
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("default.db")
    }

    fn search(&self, query: &Query) -> Vec<Hit> {
        let db = VectorDb::open(&self.path(), &OpenOptions::default()).unwrap();
        search(&db, self.embedder.as_ref(), query).unwrap()
    }

    fn first(&self, text: &str, mode: Mode) -> Option<String> {
        self.search(&Query { mode, ..Query::new(text) }).first().map(|it| it.uri.clone())
    }
}

fn chunk() -> Chunk {
    Chunk { text: String::new(), headings: vec!["Top".to_string()], page: Some(3), range: 0..0, tokens: 0 }
}

#[test]
fn every_mode_finds_the_passage_in_any_language() {
    for embedder in ["static", "hash"] {
        let house = House::new(embedder);
        for mode in [Mode::Text, Mode::Vector, Mode::Hybrid] {
            assert_eq!(house.first("steam engines", mode).as_deref(), Some("engine.md"), "{embedder} {mode:?}");
        }
        for mode in [Mode::Text, Mode::Hybrid] {
            for asked in ["собачка", "СОБАЧКИ", "собачку"] {
                assert_eq!(house.first(asked, mode).as_deref(), Some("dog.md"), "{asked} {mode:?}");
            }
            assert_eq!(house.first("東京", mode).as_deref(), Some("tokyo.md"));
            assert_eq!(house.first("日本の電波", mode).as_deref(), Some("tokyo.md"));
            assert_eq!(house.first("to be or not to be", mode).as_deref(), Some("quote.md"));
        }
    }
}

#[test]
fn meaning_is_found_without_a_shared_word() {
    let house = House::new("static");
    assert_eq!(house.first("cooking a loaf at home", Mode::Vector).as_deref(), Some("kitchen.md"));
    assert_eq!(house.first("cooking a loaf at home", Mode::Hybrid).as_deref(), Some("kitchen.md"));
    assert_eq!(house.first("cooking a loaf at home", Mode::Text), None);
}

#[test]
fn a_hit_cites_its_place_and_marks_its_words() {
    let house = House::new("static");
    let hit = house.search(&Query::new("the engines")).remove(0);
    assert_eq!((hit.page, hit.headings.as_slice(), hit.chunk), (Some(3), &["Top".to_string()][..], 0));
    let marked: Vec<&str> = hit.passage.marks.iter().map(|it| &hit.passage.passage[it.clone()]).collect();
    assert_eq!(marked, ["engine"]);
    let shown = serde_json::to_value(&hit).unwrap();
    assert_eq!(shown["uri"], "engine.md");
    assert!(shown["score"].as_f64().unwrap() > 0.0 && shown["score"].as_f64().unwrap() <= 1.0);
    assert_eq!(&hit.passage.passage[hit.passage.marks[0].clone()], "engine");
    assert_eq!(shown["range"], json!({"start": 0, "end": TEXTS[0].1.len()}));
}

#[test]
fn a_filter_and_k_bound_what_is_found() {
    let house = House::new("hash");
    let query = Query { k: 2, ..Query::new("engine bread flour coal") };
    assert_eq!(house.search(&query).len(), 2);
    let filtered = Query { filter: Some("uri = 'kitchen.md'".parse().unwrap()), ..query.clone() };
    let uris: Vec<String> = house.search(&filtered).into_iter().map(|it| it.uri).collect();
    assert_eq!(uris, ["kitchen.md"]);
    assert!(house.search(&Query { k: 0, ..query }).is_empty());
}

#[test]
fn any_text_may_be_asked_for() {
    let house = House::new("static");
    let long = "engine \"* ".repeat(1000);
    for text in [
        "",
        "   ",
        "\"",
        "AND OR NOT",
        "NEAR(a, b)",
        "a:b*^-+{}()",
        "🦀🦀",
        "\0engine",
        "'; DROP TABLE chunk; --",
        &long,
    ] {
        for mode in [Mode::Text, Mode::Vector, Mode::Hybrid] {
            house.search(&Query { mode, ..Query::new(text) });
        }
    }
    assert!(house.search(&Query::new("")).is_empty());
    assert_eq!(house.first("column:filter", Mode::Text).as_deref(), Some("quote.md"));
    assert_eq!(house.first(&long, Mode::Text).as_deref(), Some("engine.md"));
}

#[test]
fn another_embedder_than_the_recorded_one_is_refused_unless_words_are_enough() {
    let house = House::new("static");
    let db = VectorDb::open(&house.path(), &OpenOptions::default()).unwrap();
    let other = embed::by_name("hash").unwrap();
    let refused = search(&db, other.as_ref(), &Query::new("engine")).unwrap_err();
    assert!(matches!(refused, Error::Embedder { .. }) && refused.hint().is_some());
    let by_words = Query { mode: Mode::Text, ..Query::new("engine") };
    assert_eq!(search(&db, other.as_ref(), &by_words).unwrap().len(), 1);
}

//! A search finds what a person means by its words.

use serde_json::json;
use std::{path::PathBuf, sync::Arc};
use windlass::{
    embed::{self, Embedder},
    model::{ArtifactHash, Chunk, Timestamp},
    search::{Error, Hit, Mode, Query, floor, search},
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
        House::of(embedder, TEXTS)
    }

    fn of(embedder: &str, texts: &[(&str, &str)]) -> House {
        let house = House { folder: tempfile::tempdir().unwrap(), embedder: embed::by_name(embedder).unwrap() };
        let (id, dimension) = (house.embedder.id(), house.embedder.dimension().unwrap());
        let options = OpenOptions::default();
        let mut db = VectorDb::create_or_open_for_writing(&house.path(), &options, id, dimension, &json!({})).unwrap();
        let epoch = db.raise_epoch().unwrap();
        for (uri, text) in texts {
            // As the reader of web pages counts them, which drops their targets.
            let linked = if uri.ends_with(".html") { 95 } else { 0 };
            let chunk = Chunk { text: text.to_string(), tokens: 10, range: 0..text.len(), linked, ..chunk() };
            let vector = house.embedder.embed(&[text]).unwrap().remove(0);
            let row = DocumentRow {
                source: "test",
                uri,
                title: None,
                sha256: ArtifactHash([0; 32]),
                media_type: if uri.ends_with(".txt") { "text/plain" } else { "text/markdown" },
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
    Chunk { text: String::new(), headings: vec!["Top".to_string()], page: Some(3), range: 0..0, tokens: 0, linked: 0 }
}

#[test]
fn every_mode_finds_the_passage_in_any_language() {
    for embedder in ["static", "hash"] {
        let house = House::new(embedder);
        for mode in [Mode::Text, Mode::Vector, Mode::Hybrid] {
            assert_eq!(house.first("steam engines", mode).as_deref(), Some("engine.md"), "{embedder} {mode:?}");
        }
        for mode in [Mode::Text, Mode::Hybrid] {
            for text in ["собачка", "СОБАЧКИ", "собачку"] {
                assert_eq!(house.first(text, mode).as_deref(), Some("dog.md"), "{text} {mode:?}");
            }
            assert_eq!(house.first("東京", mode).as_deref(), Some("tokyo.md"));
            assert_eq!(house.first("日本の電波", mode).as_deref(), Some("tokyo.md"));
            assert_eq!(house.first("to be or not to be", mode).as_deref(), Some("quote.md"));
        }
    }
}

#[test]
fn stop_words_alone_find_nothing_but_the_phrase_that_they_make() {
    for embedder in ["static", "hash"] {
        let house = House::new(embedder);
        for mode in [Mode::Text, Mode::Vector, Mode::Hybrid] {
            for text in ["the of and", "the", "what is it"] {
                assert_eq!(house.first(text, mode), None, "{embedder} {mode:?} {text}");
            }
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

#[test]
fn nonsense_finds_nothing_unless_the_nearest_is_asked_for() {
    for embedder in ["static", "hash"] {
        let house = House::new(embedder);
        for text in ["xqzzv blorft", "zzkqj", "wgrpf qqxv ltzzm hjkwq", "qwfpgj zxcvbk"] {
            for mode in [Mode::Text, Mode::Vector, Mode::Hybrid] {
                let query = Query { mode, ..Query::new(text) };
                assert_eq!(house.search(&query), [], "{embedder} {mode:?} {text}");
                let nearest = house.search(&Query { min_score: Some(0.0), ..query });
                assert_eq!(
                    nearest.len(),
                    if mode == Mode::Text { 0 } else { TEXTS.len() },
                    "{embedder} {mode:?} {text}"
                );
            }
        }
    }
}

#[test]
fn what_has_a_word_of_the_query_is_found_however_far_it_is() {
    for embedder in ["static", "hash"] {
        let house = House::new(embedder);
        for (text, uri) in [("собачка", "dog.md"), ("東京", "tokyo.md"), ("steam engines", "engine.md")] {
            for mode in [Mode::Vector, Mode::Hybrid] {
                let query = Query { mode, min_score: Some(1.0), ..Query::new(text) };
                let uris: Vec<String> = house.search(&query).into_iter().map(|it| it.uri).collect();
                let expected: &[&str] = match house.embedder.embed(&[text]).unwrap()[0].iter().all(|it| *it == 0.0) {
                    // An embedder that knows no word of the query finds nothing, so only the word search is left.
                    true if mode == Mode::Vector => &[],
                    _ => &[uri],
                };
                assert_eq!(uris, expected, "{embedder} {mode:?} {text}");
            }
        }
    }
}

#[test]
fn only_an_embedder_that_was_measured_has_a_floor() {
    struct Served;
    impl Embedder for Served {
        fn id(&self) -> &str {
            "openai:some-model"
        }
        fn dimension(&self) -> Option<usize> {
            None
        }
        fn embed(&self, _: &[&str]) -> embed::Result<Vec<Vec<f32>>> {
            unreachable!("its floor is asked for, no vector")
        }
    }
    let query = Query::new("rope");
    assert_eq!(floor(&Served, &query), None);
    assert_eq!(floor(&Served, &Query { min_score: Some(0.5), ..query.clone() }), Some(0.5));
    for name in ["static", "hash"] {
        let embedder = embed::by_name(name).unwrap();
        assert!(floor(embedder.as_ref(), &query).is_some_and(|it| it > 0.0 && it < 1.0), "{name}");
        assert_eq!(floor(embedder.as_ref(), &Query { min_score: Some(0.0), ..query.clone() }), None);
        // The table has no vector for any of these words, so nothing is near them.
        let unknown = floor(embedder.as_ref(), &Query::new("what is the xqzzv of blorft"));
        assert_eq!(unknown == Some(1.0), name == "static", "{name}: {unknown:?}");
        assert_eq!(floor(embedder.as_ref(), &Query { mode: Mode::Text, ..query.clone() }), None);
    }
}

#[test]
fn navigation_comes_after_text_and_is_found_where_there_is_nothing_else() {
    let house = House::of(
        "static",
        &[
            ("menu.md", "- [Rope](rope.md)\n- [Rope splices](splice.md)\n- [Rope loads](load.md)\n- [Bollards](b.md)"),
            ("contents.txt", "Rope ............ 3\nRope splices .... 7\nRope loads ...... 9\nRope ends ...... 12"),
            ("path.md", "Manuals > Rope > Rope loads"),
            ("index.html", "- Rope\n- Rope splices\n- Rope ends\n- Capstans"),
            (
                "text.md",
                "The winch was cleaned and painted. Behind it, out of the rain and away from the oil, hangs a rope.",
            ),
            ("list.md", "# Needed\n\n- rope\n- hook\n- drum"),
        ],
    );
    for mode in [Mode::Text, Mode::Vector, Mode::Hybrid] {
        let hits = house.search(&Query { mode, ..Query::new("rope") });
        let found: Vec<(&str, bool)> = hits.iter().map(|it| (it.uri.as_str(), it.navigation)).collect();
        assert_eq!(found.len(), 6, "{mode:?} {found:?}");
        assert!(found[..2].iter().all(|it| ["text.md", "list.md"].contains(&it.0) && !it.1), "{mode:?} {found:?}");
        assert!(found[2..].iter().all(|it| it.1), "{mode:?} {found:?}");
    }
    let first = house.search(&Query { k: 1, ..Query::new("bollards") }).remove(0);
    assert_eq!((first.uri.as_str(), first.navigation), ("menu.md", true));
    let first = house.search(&Query { k: 1, ..Query::new("capstans") }).remove(0);
    assert_eq!((first.uri.as_str(), first.navigation), ("index.html", true));
}

#[test]
fn a_snippet_is_text_whose_matching_words_are_told_by_offsets() {
    let markdown = "## Die *Seil*-Wartung é東京\n\nThe **rope** of the [winch](https://example.org/rope) is `greased`.\n\n\
        | Part | Load |\n|---|---|\n| rope | 2 t |\n\n```sh\nrope --check\n```\n";
    let house = House::of("static", &[("a.md", markdown), ("typed.txt", "2 * 3 *rope* of # __hemp__ | x |")]);
    let hits = house.search(&Query::new("ropes 東京"));
    for hit in &hits {
        let marked: Vec<&str> = hit.snippet.highlights.iter().map(|it| &hit.snippet.snippet[it.clone()]).collect();
        match hit.uri.as_str() {
            "a.md" => {
                assert_eq!(
                    hit.snippet.snippet,
                    "Die Seil-Wartung é東京\nThe rope of the winch is greased.\nPart · Load\nrope · 2 t\nrope --check"
                );
                assert_eq!(marked, ["東京", "rope", "rope", "rope"]);
                assert_eq!(hit.passage.passage, markdown.trim_end(), "the Markdown itself stays where it was");
            }
            _ => {
                assert_eq!(hit.snippet.snippet, "2 * 3 *rope* of # __hemp__ | x |", "typed text has no markup");
                assert_eq!(marked, ["rope"]);
            }
        }
    }
    assert_eq!(hits.len(), 2);
    let shown = serde_json::to_value(hits.iter().find(|it| it.uri == "a.md").unwrap()).unwrap();
    assert_eq!(shown["highlights"][0], json!([19, 25]));
    assert_eq!((&shown["snippet_cut"], &shown["navigation"]), (&json!([false, false]), &json!(false)));
}

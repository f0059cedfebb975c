//! Vector databases by name and path: removing, searching, and the messages for a wrong name.

use super::Place;
use std::fs;

fn place() -> Place {
    let place = Place::new();
    place.write("docs/winch.md", "# Winches\n\nA winch pulls.\n");
    place.write("docs/rope.md", "# Ropes\n\nA rope holds.\n");
    place.ok(&["ingest", "docs"]);
    place.ok(&["ingest", "docs", "--db", "other"]);
    place
}

fn documents(place: &Place, db: &str) -> u64 {
    place.json(&["db", "documents", db])["total"].as_u64().unwrap()
}

#[test]
fn a_document_is_removed_by_path_or_uri_and_comes_back_with_the_next_ingest() {
    let place = place();
    let uri = place.json(&["db", "documents"])["documents"][0]["uri"].as_str().unwrap().to_string();
    for name in ["docs/rope.md", "./docs/../docs/rope.md", &uri] {
        place.ok(&["db", "remove", name]);
        assert_eq!((documents(&place, "default"), documents(&place, "other")), (1, 2), "{name}");
        place.ok(&["ingest", "docs"]);
        assert_eq!(documents(&place, "default"), 2, "{name}");
    }
    place.ok(&["db", "remove", "--db", "other", "docs/rope.md", "docs/winch.md"]);
    assert_eq!((documents(&place, "default"), documents(&place, "other")), (2, 0));
}

#[test]
fn a_wrong_name_removes_nothing_and_the_hint_has_the_right_command() {
    let place = place();
    for (arguments, code, hint) in [
        (&["db", "remove", "default", "docs/rope.md"][..], 4, "windlass db remove --db default docs/rope.md`"),
        (&["db", "remove", "other"], 4, "windlass db delete other`"),
        (&["db", "remove", "docs"], 4, "windlass db documents --filter 'uri like \"file://"),
        (&["db", "remove", "docs/rope.md", "docs/none.md"], 4, "nothing was removed"),
        (&["db", "remove", "--db", "othre", "docs/rope.md"], 4, "did you mean `other`?"),
        (&["db", "delete", "other", "docs/rope.md"], 2, "windlass db remove --db other docs/rope.md`"),
        (&["db", "delete", "docs/rope.md"], 2, "windlass db list`"),
        (&["db", "delete", "othre"], 4, "did you mean `other`?"),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(hint), "{arguments:?}: {}", ended.err);
        assert_eq!((documents(&place, "default"), documents(&place, "other")), (2, 2), "{arguments:?}");
    }
    // The same database, named as `search` and `ingest` name it.
    assert_eq!(place.json(&["db", "info", "--db", "other"])["name"], "other");
    place.ok(&["db", "delete", "--db", "other", "--yes"]);
    assert_eq!(place.run(&["db", "info", "other"]).code, 4);
}

#[test]
fn a_file_that_is_no_vector_database_is_refused_with_its_exit_code() {
    let place = place();
    place.write("empty.db", "");
    place.write("text.db", "no database at all");
    for (db, code, said) in [
        ("./empty.db", 4, "no vector database `./empty.db`: the file is empty"),
        ("empty.db", 4, "the file is empty"),
        ("./text.db", 2, "/text.db is not a vector database"),
        ("./docs", 2, "/docs is not a vector database"),
        ("/dev/null", 2, "/dev/null is not a regular file"),
        ("./none.db", 4, "no vector database `./none.db`"),
        ("othre", 4, "no vector database `othre`"),
    ] {
        let ended = place.run(&["search", "winch", "--db", db]);
        assert_eq!((ended.code, ended.out.as_str()), (code, ""), "{db}: {}", ended.err);
        assert!(ended.err.contains(said) && !ended.err.contains("/./"), "{db}: {}", ended.err);
        let ended = place.run(&["search", "winch", "--db", db, "--json"]);
        let failure: serde_json::Value = serde_json::from_str(&ended.err).unwrap();
        assert_eq!((&failure["exit"], ended.code), (&code.into(), code), "{db}");
        assert!(failure["error"].as_str().unwrap().contains(said), "{db}: {failure}");
    }
    assert_eq!(fs::read(place.path().join("empty.db")).unwrap(), b"", "a search writes nothing");
}

#[test]
fn a_filter_that_matches_nothing_is_named_as_the_reason() {
    let place = place();
    for mode in ["hybrid", "text", "vector"] {
        let ended = place.run(&["search", "winch", "--mode", mode, "--filter", "source = \"none\""]);
        assert!(ended.code == 0 && ended.err.contains("the filter matches none of them"), "{mode}: {}", ended.err);
        let found = place.json(&["search", "winch", "--mode", mode, "--filter", "source = \"none\""]);
        assert_eq!(found["filter_matches"], false);
    }
    let ended = place.run(&["search", "kraken", "--mode", "text", "--filter", "uri like \"%rope%\""]);
    assert!(ended.err.contains("no passage has a word of the query"), "{}", ended.err);
    let found = place.json(&["search", "kraken", "--mode", "text", "--filter", "uri like \"%rope%\""]);
    assert_eq!(found["filter_matches"], true);
    assert!(place.json(&["search", "winch", "--filter", "uri like \"%winch%\""])["filter_matches"].is_null());
}

#[test]
fn a_dead_embedding_server_gets_a_hint_that_fits_the_command() {
    let place = place();
    let ended = place.run(&[
        "ingest",
        "docs",
        "--db",
        "dead",
        "--set",
        "embed.url=http://127.0.0.1:9/v1",
        "--set",
        "embed.model=m",
    ]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("hint: start the server") && !ended.err.contains("text"), "{}", ended.err);
}

//! The house rules, checked by `cargo test`.

mod circles;
mod prose;
mod states;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Ground floor first. A room may import only from lines above its own.
const FLOORS: &[&[&str]] = &[
    &["model"],
    &["decide", "os", "failpoint"],
    &["settings"],
    &["store", "vector", "embed", "artifact", "definition", "process", "observe"],
    &["engine"],
    &["ingest", "search", "backup"],
    &["view"],
    &["http"],
    &["assembly"],
    &["library"],
    &["daemon"],
    &["prove"],
    &["cli"],
];

#[test]
fn rooms_import_only_from_lower_floors() {
    for (path, text) in sources() {
        let Some(here) = floor(&room(&path)) else { continue };
        for used in imports(code(&text)) {
            let allowed = used == room(&path) || floor(&used).is_none_or(|it| it < here);
            assert!(allowed, "{}: {} may not import {used}", path.display(), room(&path));
        }
        assert!(!text.contains("super::super"), "{}: say `crate::` instead", path.display());
    }
}

/// Rooms whose files can be read in some order: no file imports another that, directly or indirectly, imports it.
const WITHOUT_CIRCLES: &[&str] = &[
    "store",
    "vector",
    "embed",
    "model",
    "decide",
    "failpoint",
    "observe",
    "backup",
    "view",
    "http",
    "assembly",
    "daemon",
    "ingest",
    "definition",
    "search",
    "engine",
    "process",
    "prove",
    "cli",
    "os",
    "settings",
    "artifact",
    "library",
];

#[test]
fn no_files_of_a_room_import_each_other_in_a_circle() {
    let sources = sources();
    let house = circles::Crate::of(sources.iter().map(|(path, text)| (path.as_path(), code(text))));
    let mut found = String::new();
    for room in WITHOUT_CIRCLES {
        assert!(floor(room).is_some(), "there is no room {room}");
        for circle in house.circles(room) {
            found += &format!("\n{room}: {} files", circle.len());
            for (file, imports) in circle {
                let names: Vec<String> = imports.iter().map(|it| it.display().to_string()).collect();
                found += &format!("\n  {} imports {}", file.display(), names.join(", "));
            }
        }
    }
    assert!(found.is_empty(), "files that import each other: move what they share down, or pass it in{found}");
}

#[test]
fn every_room_has_a_floor() {
    for (path, _) in sources() {
        let room = room(&path);
        assert!(["lib", "main"].contains(&room.as_str()) || floor(&room).is_some(), "{room} has no floor");
    }
}

#[test]
fn files_and_functions_fit() {
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() <= 500, "{}: {} lines", path.display(), lines.len());
        let code = |line: &str| line.contains("fn ") && !line.trim_start().starts_with("//");
        for (start, line) in lines.iter().enumerate().filter(|(_, line)| code(line)) {
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = lines[start..].iter().position(|it| *it == format!("{indent}}}")).unwrap_or(0);
            assert!(end < 70, "{}:{}: function of {} lines", path.display(), start + 1, end + 1);
        }
    }
}

#[test]
fn each_power_stays_in_its_room() {
    let powers: &[(&str, &[&str])] = &[
        ("rusqlite", &["store", "vector"]),
        ("SELECT ", &["store", "vector"]),
        ("Command::new", &["os", "process"]),
        ("SystemTime::now", &["os"]),
        ("thread::Builder", &["os"]),
        ("clap::", &["cli"]),
        // It panics if the reader has gone; `os::stderr` does not.
        ("println!", &[]),
    ];
    for (path, text) in sources() {
        for (power, rooms) in powers {
            let allowed = rooms.contains(&room(&path).as_str()) || !code(&text).contains(power);
            assert!(allowed, "{}: `{power}` belongs in {rooms:?}", path.display());
        }
    }
}

#[test]
fn tests_start_the_binary_and_ask_for_programs_in_one_place() {
    const PLACES: &[(&str, &[&str])] = &[
        (
            "tests/support/binary.rs",
            &[
                "CARGO_BIN_EXE",
                "cargo_bin",
                "WINDLASS_TEST_BINARY",
                "current_exe(",
                "Command::new(WINDLASS",
                "use_program(",
            ],
        ),
        ("tests/support/needs.rs", &["(\"which\")", "(\"--version\").", "ln!(\"skipped", "ln!(\"SKIPPED"]),
    ];
    let mut wrong = Vec::new();
    let files = ["tests", "benches"].into_iter().flat_map(|folder| files_in(folder, "rs"));
    for (path, text) in files.filter(|(path, _)| !path.ends_with("tidy.rs")) {
        for (place, signs) in PLACES.iter().filter(|(place, _)| path != Path::new(place)) {
            let found = signs.iter().filter(|sign| text.contains(**sign));
            wrong.extend(found.map(|sign| format!("{}: `{sign}` belongs in {place}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_library_for_file_locks_is_used_in_one_place() {
    let users: Vec<PathBuf> = sources().into_iter().filter(|(_, text)| text.contains("fs2")).map(|it| it.0).collect();
    assert_eq!(users, [PathBuf::from("src/os/file_lock.rs")]);
}

#[test]
fn states_have_names_in_every_statement() {
    const COLUMNS: &[&str] = &["state", "phase", "outcome", "holder_kind", "why"];
    for (path, text) in sources() {
        if room(&path) != "store" {
            continue;
        }
        for (number, line) in code(&text).lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let words: Vec<&str> = line.split([' ', '(', ')', ',', '"', '.']).filter(|word| !word.is_empty()).collect();
            let bare = words.windows(3).any(|it| {
                let compared = ["=", "<>", "<", ">", "<=", ">=", "IN"].contains(&it[1]);
                COLUMNS.contains(&it[0]) && compared && it[2].starts_with(|first: char| first.is_ascii_digit())
            });
            assert!(!bare, "{}:{}: a state without a name (see model/code.rs): {line}", path.display(), number + 1);
        }
    }
}

#[test]
fn a_state_of_a_step_is_named_in_few_places_and_all_are_listed() {
    let sources = sources();
    let sources: Vec<_> = sources.iter().map(|(path, text)| (path.clone(), code(text))).collect();
    let wrong = states::wrong(&fs::read_to_string("CONTRIBUTING.md").unwrap(), &sources);
    assert!(wrong.is_empty(), "see \"A state of a step\" in CONTRIBUTING.md: {wrong:#?}");
}

#[test]
fn names_say_what_is_inside() {
    for (path, _) in sources() {
        let name = path.to_string_lossy().to_string();
        for vague in ["util", "helper", "common", "manager", "misc"] {
            assert!(!name.contains(vague), "{name}: name it for what it owns");
        }
    }
}

#[test]
fn what_people_read_is_plain() {
    let mut found = Vec::new();
    let mut pages: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "examples/README.md"].map(PathBuf::from).to_vec();
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
        pages.extend(entries.filter(|it| it.extension().is_some_and(|it| it == "md")));
    }
    for page in pages {
        found.push((prose::in_page(&fs::read_to_string(&page).unwrap()), page));
    }
    for (path, text) in sources() {
        let name = path.to_string_lossy();
        if name.ends_with(".js") {
            found.push((prose::in_literals(&text, &['"', '`']), path));
        } else if name.ends_with(".rs") && !name.contains("tests") {
            let help = if room(&path) == "cli" { prose::in_help(code(&text)) } else { Vec::new() };
            found.push((help.into_iter().chain(prose::in_literals(code(&text), &['"'])).collect(), path));
        }
    }
    let found: Vec<String> = found
        .iter()
        .flat_map(|(words, path)| words.iter().map(move |(line, word)| format!("{}:{line}: {word}", path.display())))
        .collect();
    assert!(found.is_empty(), "say it plainly (see Prose in CONTRIBUTING.md):\n{}", found.join("\n"));
}

fn sources() -> Vec<(PathBuf, String)> {
    files_in("src", "")
}

/// The files below a folder with this ending; all files if it is empty.
fn files_in(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if ending.is_empty() || path.extension().is_some_and(|it| it == ending) => {
                    found.push((path.clone(), fs::read_to_string(&path).unwrap()));
                }
                false => (),
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// `src/store/steps.rs` and `src/store.rs` are both in the room `store`.
fn room(path: &Path) -> String {
    let first = path.strip_prefix("src").unwrap().components().next().unwrap();
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_string()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The text without its inline unit tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

/// Every `a` in `crate::a` and in `crate::{a::B, c}`, wherever the list is wrapped.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let mut depth = 0;
        let mut name = String::new();
        let mut in_path = false; // past the first segment of this entry
        for letter in rest.chars() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => in_path = false,
                ':' => in_path = true,
                _ if (letter.is_alphanumeric() || letter == '_') && !in_path && depth <= 1 => name.push(letter),
                _ => (),
            }
            let ended = !(letter.is_alphanumeric() || letter == '_');
            if ended && !name.is_empty() {
                found.push(std::mem::take(&mut name));
                in_path = true;
                if letter == ',' {
                    in_path = false;
                }
            }
            if depth <= 0 && ended && letter != '{' {
                break;
            }
        }
    }
    found
}

//! Cycles of files: files in one room that import each other, directly or through others.
//!
//! Resolves paths as the compiler does, as far as our code needs it: `use` trees, `crate::`, `super::`, names brought
//! in by a `use`, and re-exports, which lead to the file that defines the item. Unit tests do not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

type Segments = Vec<String>;

/// A source file as a module of the crate.
struct Module {
    path: PathBuf,
    /// `["store", "queue", "claim"]`.
    name: Segments,
    /// What its `use` declarations bring in: name and path.
    uses: Vec<(String, Segments)>,
    /// Every path with a `::` outside its `use` declarations.
    paths: Vec<Segments>,
    /// Every word outside its `use` declarations.
    words: BTreeSet<String>,
}

/// All modules of the crate, by name.
pub struct Crate(BTreeMap<Segments, Module>);

impl Crate {
    /// From files under `src/` and their texts without unit tests.
    pub fn of<'a>(sources: impl IntoIterator<Item = (&'a Path, &'a str)>) -> Crate {
        let modules = sources.into_iter().map(|(path, text)| module(path, text));
        Crate(modules.map(|it| (it.name.clone(), it)).collect())
    }

    /// The cycles in a room: each is the list of the files that reach each other, with the imports between them.
    pub fn circles(&self, room: &str) -> BTreeSet<Vec<(PathBuf, Vec<PathBuf>)>> {
        let files: Vec<&Segments> = self.0.keys().filter(|it| it.first().is_some_and(|it| it == room)).collect();
        let edges: BTreeMap<&Segments, BTreeSet<&Segments>> =
            files.iter().map(|it| (*it, self.imports(&self.0[*it]))).collect();
        let reach: BTreeMap<&Segments, BTreeSet<&Segments>> =
            files.iter().map(|it| (*it, reachable(it, &edges))).collect();
        let circle = |file: &Segments| {
            let mutual = |it: &Segments| reach[file].contains(it) && reach[it].contains(file);
            let path = |it: &Segments| self.0[it].path.clone();
            let files = files.iter().copied().filter(|it| mutual(it));
            let with_imports = |it| (path(it), edges[it].iter().copied().filter(|it| mutual(it)).map(path).collect());
            files.map(with_imports).collect::<Vec<_>>()
        };
        files.iter().map(|it| circle(it)).filter(|it| !it.is_empty()).collect()
    }

    /// The modules that a module needs: those that define the items it names.
    fn imports(&self, module: &Module) -> BTreeSet<&Segments> {
        let is_folder = module.path.ends_with("mod.rs") || module.path.ends_with("lib.rs");
        // A folder's re-exports are its table of contents. What the folder itself uses, it also names.
        let used = module.uses.iter().filter(|(name, _)| !is_folder || module.words.contains(name));
        let paths = used.map(|(_, path)| path).chain(&module.paths);
        let found = paths.filter_map(|path| self.resolve(&module.name, path, 0));
        // Importing a folder imports nothing yet; the paths that begin with its name decide.
        found
            .filter(|(file, whole)| !(*whole && self.is_folder(file)) && **file != module.name)
            .map(|it| it.0)
            .collect()
    }

    fn is_folder(&self, name: &Segments) -> bool {
        self.0[name].path.ends_with("mod.rs")
    }

    /// The module in which a path ends, and whether the path names the module itself and not an item in it.
    fn resolve(&self, from: &Segments, path: &[String], depth: usize) -> Option<(&Segments, bool)> {
        if depth > 20 {
            return None;
        }
        let mut at = from.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (at, rest) = (Vec::new(), &path[1..]),
            "super" => {
                at.pop();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            first if !self.knows(&at, first) => return None,
            _ => {}
        }
        while let Some(segment) = rest.first() {
            let child: Segments = at.iter().chain([segment]).cloned().collect();
            if self.0.contains_key(&child) {
                at = child;
            } else if let Some((_, target)) = self.0.get(&at)?.uses.iter().find(|(name, _)| name == segment) {
                let target: Segments = target.iter().chain(&rest[1..]).cloned().collect();
                return self.resolve(&at, &target, depth + 1);
            } else {
                return Some((self.0.get_key_value(&at)?.0, false));
            }
            rest = &rest[1..];
        }
        Some((self.0.get_key_value(&at)?.0, true))
    }

    fn knows(&self, module: &Segments, name: &str) -> bool {
        let child: Segments = module.iter().cloned().chain([name.to_string()]).collect();
        let used = || self.0.get(module).is_some_and(|it| it.uses.iter().any(|(used, _)| used == name));
        self.0.contains_key(&child) || used()
    }
}

fn reachable<'a>(from: &Segments, edges: &BTreeMap<&'a Segments, BTreeSet<&'a Segments>>) -> BTreeSet<&'a Segments> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&Segments> = edges[from].iter().copied().collect();
    while let Some(next) = open.pop() {
        if let Some(further) = edges.get(next)
            && found.insert(next)
        {
            open.extend(further);
        }
    }
    found
}

fn module(path: &Path, text: &str) -> Module {
    let inside = path.strip_prefix("src").unwrap_or(path).with_extension("");
    let mut name: Segments = inside.iter().map(|it| it.to_string_lossy().to_string()).collect();
    if name.last().is_some_and(|it| ["mod", "lib", "main"].contains(&it.as_str())) {
        name.pop();
    }
    if path.ends_with("main.rs") {
        name = vec!["main".into()];
    }
    let tokens = tokens(text);
    let mut module =
        Module { path: path.to_path_buf(), name, uses: Vec::new(), paths: Vec::new(), words: BTreeSet::new() };
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "use" {
            let end = tokens[at..].iter().position(|it| it == ";").map_or(tokens.len(), |it| at + it);
            tree(&tokens[at + 1..end], &mut Vec::new(), &mut module.uses);
            at = end;
        } else if is_word(&tokens[at]) {
            let mut path = vec![tokens[at].clone()];
            while tokens.get(at + 1).is_some_and(|it| it == "::") && tokens.get(at + 2).is_some_and(|it| is_word(it)) {
                path.push(tokens[at + 2].clone());
                at += 2;
            }
            module.words.insert(path[0].clone());
            if path.len() > 1 {
                module.paths.push(path);
            }
        }
        at += 1;
    }
    module
}

/// Parses a `use` tree. Returns the number of tokens read.
fn tree(tokens: &[String], prefix: &mut Segments, found: &mut Vec<(String, Segments)>) -> usize {
    let depth = prefix.len();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    at += tree(&tokens[at..], prefix, found);
                    at += usize::from(tokens.get(at).is_some_and(|it| it == ","));
                }
                at += 1;
                prefix.truncate(depth);
                return at;
            }
            "," | "}" => break,
            "as" => {
                found.push((tokens[at + 1].clone(), prefix.clone()));
                prefix.truncate(depth);
                return at + 2;
            }
            "self" if !prefix.is_empty() => {}
            word if is_word(word) => prefix.push(word.to_string()),
            _ => {}
        }
        at += 1;
    }
    if let Some(name) = prefix.last().filter(|_| prefix.len() >= depth) {
        found.push((name.clone(), prefix.clone()));
    }
    prefix.truncate(depth);
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|it: char| it.is_alphabetic() || it == '_') && !token.contains('"')
}

/// Words and signs, without comments and without the contents of quotes. `::` is one sign.
fn tokens(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => quoted(rest),
            '\'' if rest[1..].starts_with('\\') => rest[3..].find('\'').map_or(1, |it| it + 4),
            '\'' => rest.char_indices().nth(2).filter(|it| it.1 == '\'').map_or(1, |it| it.0 + 1),
            'r' if rest.starts_with("r\"") || rest.starts_with("r#\"") => {
                let end = if rest.starts_with("r#") { "\"#" } else { "\"" };
                rest[3..].find(end).map_or(rest.len(), |it| it + 3 + end.len())
            }
            _ if first.is_alphanumeric() || first == '_' => {
                rest.find(|it: char| !(it.is_alphanumeric() || it == '_')).unwrap_or(rest.len())
            }
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        if !first.is_whitespace() {
            found.push(rest[..length].to_string());
        }
        rest = &rest[length..];
    }
    found
}

/// The length of the text in quotes that `text` begins with.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let end = text[1..].find(|letter| {
        let ends = letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |it| it + 2)
}

#[test]
fn a_circle_is_seen_through_names_and_re_exports() {
    let circles = |sources: &[(&str, &str)]| {
        let sources = sources.iter().map(|(path, text)| (Path::new(*path), *text));
        let found = Crate::of(sources).circles("a");
        found.into_iter().map(|it| it.len()).collect::<Vec<usize>>()
    };
    let folder = ("src/a/mod.rs", "mod b;\npub mod c;\nmod d;\npub use b::{One, two as three};");
    // By name, through a re-export, under another name, as a path, and through a third file.
    for uses in
        ["use super::One;", "use crate::{a::{One}, x};", "fn f() { super::three() }", "use crate::a::b::{self};"]
    {
        let sources = [folder, ("src/a/b.rs", "use super::c;"), ("src/a/c.rs", uses), ("src/a/d.rs", "")];
        assert_eq!(circles(&sources), [2], "{uses}");
    }
    let over = [folder, ("src/a/b.rs", "use crate::a::{c::C};"), ("src/a/c.rs", "use super::d::D as It;")];
    let with = |last| circles(&[over[0], over[1], over[2], ("src/a/d.rs", last)]);
    assert_eq!(with("fn f() { crate::a::One::new() }"), [3]);
    // A comment, a folder whose items are not named, and a text.
    assert_eq!(with("// crate::a::One\nuse crate::a;\nconst A: &str = \"in use \\\" crate::a::One\";"), [0; 0]);
}

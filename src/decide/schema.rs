//! Whether a database has the schema that we gave it: what a stranger put into it is named.

use std::collections::{BTreeMap, HashSet};

/// A row of `sqlite_schema`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// `table`, `index`, `view`, `trigger`
    pub kind: String,
    pub name: String,
    /// None: SQLite made it by itself, for a UNIQUE or a PRIMARY KEY.
    pub sql: Option<String>,
}

/// What SQLite itself adds: for AUTOINCREMENT, and what `ANALYZE` finds.
const OF_SQLITE: &[&str] = &[
    "CREATE TABLE sqlite_sequence(name,seq)",
    "CREATE TABLE sqlite_stat1(tbl,idx,stat)",
    "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)",
];

/// The schema of one kind of database.
#[derive(Debug)]
pub struct Schema {
    /// As they are written.
    statements: HashSet<&'static str>,
    /// Kind and name; the definition without what does not change its meaning.
    wanted: BTreeMap<(String, String), String>,
    /// What else may be there.
    allowed: HashSet<&'static str>,
}

impl Schema {
    /// `script`: the statements that make the schema. `of_modules`: what its virtual tables make by themselves.
    pub fn new(script: &'static str, of_modules: &[&'static str]) -> Schema {
        let statements: HashSet<&'static str> = statements(script).into_iter().collect();
        let wanted = statements.iter().filter_map(|it| Some((of(it)?, plain(it)))).collect();
        let allowed = OF_SQLITE.iter().chain(of_modules).copied().collect();
        Schema { statements, wanted, allowed }
    }

    /// What is there and not ours, is ours and otherwise, or is missing, each in words. Empty: the schema is ours. The order
    /// of columns counts for nothing, since those of an upgraded database are added at the end.
    pub fn differences(&self, found: &[Object]) -> Vec<String> {
        let mut differences = Vec::new();
        let mut seen = HashSet::new();
        let mut same = 0;
        for object in found {
            let Some(sql) = object.sql.as_deref() else {
                if !(object.kind == "index" && object.name.starts_with("sqlite_autoindex_")) {
                    differences.push(format!("{} `{}`", object.kind, object.name));
                }
                continue;
            };
            if self.statements.contains(sql) {
                same += 1;
                continue;
            }
            if self.allowed.contains(sql) {
                continue;
            }
            let Some(key) = of(sql) else {
                differences.push(format!("{} `{}`", object.kind, object.name));
                continue;
            };
            match self.wanted.get(&key) {
                Some(wanted) if *wanted == plain(sql) => _ = seen.insert(key),
                Some(_) => differences.push(format!("{} `{}`, which differs from ours", key.0, key.1)),
                None => differences.push(format!("{} `{}`", key.0, key.1)),
            }
        }
        if same + seen.len() < self.wanted.len() && differences.is_empty() {
            let there: HashSet<_> = found.iter().filter_map(|it| of(it.sql.as_deref()?)).collect();
            let missing = self.wanted.keys().filter(|it| !there.contains(it));
            differences.extend(missing.map(|(kind, name)| format!("no {kind} `{name}`")));
        }
        differences
    }

    /// What is there under a name that we gave to nothing: all that can be said of a schema that was ours in an older version.
    pub fn strangers(&self, found: &[Object]) -> Vec<String> {
        let is_ours = |it: &&Object| match it.sql.as_deref() {
            None => it.kind == "index" && it.name.starts_with("sqlite_autoindex_"),
            Some(sql) => self.allowed.contains(sql) || of(sql).is_some_and(|key| self.wanted.contains_key(&key)),
        };
        let strange = found.iter().filter(|it| !is_ours(it));
        strange.map(|it| format!("{} `{}`", it.kind, it.name)).collect()
    }
}

/// The statements of a script, without what is between them.
pub fn statements(script: &'static str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, token) in tokens(script) {
        match token {
            ";" => found.extend(start.take().map(|from: usize| &script[from..at])),
            _ => _ = start.get_or_insert(at),
        }
    }
    found
}

/// Kind and name of what a statement makes.
fn of(sql: &str) -> Option<(String, String)> {
    let mut words = tokens(sql).map(|it| it.1);
    if !words.next()?.eq_ignore_ascii_case("create") {
        return None;
    }
    let mut word = words.next()?.to_ascii_lowercase();
    if ["unique", "virtual", "temp"].contains(&word.as_str()) {
        word = words.next()?.to_ascii_lowercase();
    }
    let kind = ["table", "index", "view", "trigger"].into_iter().find(|it| *it == word)?;
    Some((kind.to_string(), unquoted(words.next()?).to_string()))
}

/// The tokens of a statement, the parts of a table's body in the order of the alphabet.
fn plain(sql: &str) -> String {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    let mut tail = String::new();
    for (_, token) in tokens(sql) {
        depth -= i32::from(token == ")");
        match (depth, token) {
            (1, ",") => parts.push(String::new()),
            (0, _) => {
                tail.push_str(unquoted(token));
                tail.push(' ');
            }
            _ => {
                if let Some(part) = parts.last_mut() {
                    part.push_str(unquoted(token));
                    part.push(' ');
                }
            }
        }
        depth += i32::from(token == "(");
    }
    if of(sql).is_some_and(|it| it.0 == "table") {
        parts.sort();
    }
    format!("{tail}| {}", parts.join("| "))
}

/// A name in double quotes or brackets is the name; a text in single quotes stays one.
fn unquoted(token: &str) -> &str {
    token.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(token)
}

/// Words, numbers, quoted texts and single signs, each with its place; no white space, no comments.
fn tokens(sql: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = sql.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let first = *bytes.get(at)?;
            let rest = &sql[at..];
            let length = match first {
                _ if first.is_ascii_whitespace() => {
                    at += 1;
                    continue;
                }
                b'-' if rest.starts_with("--") => {
                    at += rest.find('\n').unwrap_or(rest.len());
                    continue;
                }
                b'/' if rest.starts_with("/*") => {
                    at += rest.find("*/").map_or(rest.len(), |it| it + 2);
                    continue;
                }
                b'\'' | b'"' | b'`' => rest[1..].find(first as char).map_or(rest.len(), |it| it + 2),
                _ if is_word(first) => rest.bytes().position(|it| !is_word(it)).unwrap_or(rest.len()),
                _ => 1,
            };
            let token = (at, &sql[at..at + length]);
            at += length;
            return Some(token);
        }
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "-- What; it is.\nCREATE TABLE a(\n  id INTEGER PRIMARY KEY, -- a; comment\n  b TEXT NOT NULL CHECK (b IN ('x;y', 'z'))\n) STRICT;\n\n\
                        CREATE INDEX a_b ON a(b);\nCREATE VIEW v AS SELECT id, b FROM a;\n";

    fn object(kind: &str, name: &str, sql: Option<&str>) -> Object {
        Object { kind: kind.into(), name: name.into(), sql: sql.map(str::to_string) }
    }

    fn made() -> Vec<Object> {
        statements(OURS).into_iter().map(|it| object("any", "any", Some(it))).collect()
    }

    #[test]
    fn a_script_is_cut_into_its_statements() {
        let starts: Vec<&str> = statements(OURS).iter().map(|it| &it[..14]).collect();
        assert_eq!(starts, ["CREATE TABLE a", "CREATE INDEX a", "CREATE VIEW v "]);
        assert!(statements(OURS)[0].ends_with("STRICT"));
    }

    #[test]
    fn our_own_schema_has_no_differences_also_when_it_was_upgraded() {
        let schema = Schema::new(OURS, &["CREATE TABLE 'a_data'(x)"]);
        let mut found = made();
        assert_eq!(schema.differences(&found), [""; 0]);
        found[0] = object(
            "table",
            "a",
            Some("CREATE TABLE \"a\"(b TEXT NOT NULL CHECK (b IN ('x;y','z')), id INTEGER PRIMARY KEY) STRICT"),
        );
        found.push(object("index", "sqlite_autoindex_a_1", None));
        found.push(object("table", "sqlite_stat1", Some("CREATE TABLE sqlite_stat1(tbl,idx,stat)")));
        found.push(object("table", "a_data", Some("CREATE TABLE 'a_data'(x)")));
        assert_eq!(schema.differences(&found), [""; 0]);
    }

    #[test]
    fn what_a_stranger_added_changed_or_took_away_is_named() {
        let schema = Schema::new(OURS, &[]);
        let with = |one: Object| [made(), vec![one]].concat();
        let trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET b = 'z'; END";
        for (found, said) in [
            (with(object("trigger", "t", Some(trigger))), "trigger `t`"),
            (with(object("table", "x", Some("CREATE TABLE x(a)"))), "table `x`"),
            (with(object("view", "w", Some("CREATE VIEW w AS SELECT 1"))), "view `w`"),
            (with(object("table", "f", Some("CREATE VIRTUAL TABLE f USING fts5(x)"))), "table `f`"),
            (with(object("table", "sqlite_x", Some("CREATE TABLE sqlite_x(a)"))), "table `sqlite_x`"),
            (with(object("trigger", "sqlite_autoindex_t", None)), "trigger `sqlite_autoindex_t`"),
            (made()[..2].to_vec(), "no view `v`"),
        ] {
            assert_eq!(schema.differences(&found), [said]);
        }
        let older = vec![object("table", "a", Some("CREATE TABLE a(id)")), object("trigger", "t", Some(trigger))];
        assert_eq!(schema.strangers(&older), ["trigger `t`"]);
        let mut changed = made();
        changed[0].sql = changed[0].sql.take().map(|it| it.replace("'z'", "'Z'"));
        assert_eq!(schema.differences(&changed), ["table `a`, which differs from ours"]);
        changed[2].sql = Some("CREATE VIEW v AS SELECT b, id FROM a".into());
        assert_eq!(schema.differences(&changed)[1], "view `v`, which differs from ours");
    }
}

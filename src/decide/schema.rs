//! Whether a database has exactly the schema that windlass created. Foreign objects are named.

use std::collections::{BTreeMap, HashSet};

/// A row of `sqlite_schema`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// `table`, `index`, `view`, `trigger`
    pub kind: String,
    pub name: String,
    /// None for an index that SQLite created for a UNIQUE or PRIMARY KEY constraint.
    pub sql: Option<String>,
}

/// Objects that SQLite itself adds, for AUTOINCREMENT and for `ANALYZE`.
const OF_SQLITE: &[&str] = &[
    "CREATE TABLE sqlite_sequence(name,seq)",
    "CREATE TABLE sqlite_stat1(tbl,idx,stat)",
    "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)",
];

/// The schema of one kind of database.
#[derive(Debug)]
pub struct Schema {
    /// The statements as written.
    statements: HashSet<&'static str>,
    /// By kind and name: the definition, without anything that does not change its meaning.
    wanted: BTreeMap<(String, String), String>,
    /// Other objects that may exist.
    allowed: HashSet<&'static str>,
}

impl Schema {
    /// `script` has the statements that create the schema; `of_modules` names what its virtual tables create
    /// themselves.
    pub fn new(script: &'static str, of_modules: &[&'static str]) -> Schema {
        let statements: HashSet<&'static str> = statements(script).into_iter().collect();
        let wanted = statements.iter().filter_map(|it| Some((of(it)?, plain(it)))).collect();
        let allowed = OF_SQLITE.iter().chain(of_modules).copied().collect();
        Schema { statements, wanted, allowed }
    }

    /// Each object that is foreign, different or missing, in words. Empty if the schema is ours. The order of columns
    /// does not matter, because an upgrade adds columns at the end.
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

    /// The objects with names that are not ours. For an older version of our schema, nothing else can be checked.
    pub fn strangers(&self, found: &[Object]) -> Vec<String> {
        let is_ours = |it: &&Object| match it.sql.as_deref() {
            None => it.kind == "index" && it.name.starts_with("sqlite_autoindex_"),
            Some(sql) => self.allowed.contains(sql) || of(sql).is_some_and(|key| self.wanted.contains_key(&key)),
        };
        let strange = found.iter().filter(|it| !is_ours(it));
        strange.map(|it| format!("{} `{}`", it.kind, it.name)).collect()
    }
}

/// The statements of a script, without the white space and comments between them.
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

/// The kind and name of the object that a statement creates.
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

/// The tokens of a statement. The parts of a table's body are sorted.
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

/// Removes double quotes or brackets from a name. A text in single quotes stays as it is.
fn unquoted(token: &str) -> &str {
    token.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(token)
}

/// Words, numbers, quoted texts and single characters, each with its position. White space and comments are left out.
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

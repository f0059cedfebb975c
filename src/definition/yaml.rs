//! YAML as a tree in which every node knows its line, and readers that refuse a value with file, line and a suggestion.

use super::{
    error::{Error, Result},
    unquoted,
};
use crate::model::{nearest, number};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Budget, NonFiniteFloatPolicy, Spanned};
use std::{fmt, ops::Range};

/// The largest file that is read, in bytes.
pub const MAX_FILE: usize = 4 << 20;

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Counted from 1.
    pub line: u64,
    pub value: Value,
    /// How a number or boolean is written in the file.
    written: Written,
}

/// The position of a value in the file, later replaced by its text.
#[derive(Debug, Clone, PartialEq)]
enum Written {
    At(Range<usize>),
    As(String),
    Unknown,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub line: u64,
    pub name: String,
}

/// Reads one YAML document. Aliases, depth and size are bounded.
pub fn read(text: &str, file: &str) -> Result<Node> {
    let source = Source { file };
    if text.len() > MAX_FILE {
        let hint = "values of that size belong in items or artifacts";
        return Err(source.refuse(1, format!("the file is larger than {} MiB", MAX_FILE >> 20), Some(hint)));
    }
    let mut budget = Budget::default();
    (budget.max_depth, budget.max_nodes, budget.max_aliases) = (64, 100_000, 1_000);
    let mut options = serde_saphyr::Options::default();
    (options.strict_booleans, options.with_snippet) = (true, false);
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = 20_000;
    // People mean `007` and `1_000` as texts.
    (options.leading_zero_numbers_as_strings, options.underscored_numbers_as_strings) = (true, true);
    // The same holds for `1e400`; see `visit_f64`.
    options.non_finite_float_policy = NonFiniteFloatPolicy::PassThrough;
    let mut read: Node = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |it| it.line());
        let (message, hint) = unquoted::template(text, line).unwrap_or_else(|| (plain(&error.to_string()), None));
        source.refuse(line, message, hint.as_deref())
    })?;
    read.take_text(text);
    if let Some(line) = line_of_infinity(&read) {
        return Err(source.refuse(line, "infinity and NaN are not allowed here", None));
    }
    match line_of_nul(&read) {
        Some(line) => {
            Err(source.refuse(line, "this string contains NUL", Some("no command or file name can have one")))
        }
        None => Ok(read),
    }
}

/// Whether the text is a number that is too large for any type.
fn is_beyond(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// The position of an infinity that was not written as a number.
fn line_of_infinity(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Number(number) if number.as_f64().is_some_and(|it| it.abs() == f64::MAX) => {
            matches!(node.written, Written::Unknown).then_some(node.line)
        }
        Value::List(nodes) => nodes.iter().find_map(line_of_infinity),
        Value::Map(entries) => entries.iter().find_map(|it| line_of_infinity(&it.1)),
        _ => None,
    }
}

/// The position of a NUL in a text or key.
fn line_of_nul(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Text(text) => text.contains('\0').then_some(node.line),
        Value::List(nodes) => nodes.iter().find_map(line_of_nul),
        Value::Map(entries) => entries
            .iter()
            .find_map(|(key, node)| if key.name.contains('\0') { Some(key.line) } else { line_of_nul(node) }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The message without the parser's position, because we print our own.
fn plain(message: &str) -> String {
    let first = message.lines().next().unwrap_or("not YAML");
    let cut = first.find(" at line ").unwrap_or(first.len());
    first[..cut].trim_start_matches("error: ").to_string()
}

/// A file that is being parsed.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub file: &'a str,
}

impl<'a> Source<'a> {
    pub fn refuse(self, line: u64, message: impl Into<String>, hint: Option<&str>) -> Error {
        let (message, hint) = (message.into(), hint.map(str::to_string));
        Error::Refused { file: self.file.to_string(), line, message, hint }
    }

    /// The fields of a mapping. Unknown fields are refused.
    pub fn fields<'n>(self, node: &'n Node, what: &str, known: &[&'static str]) -> Result<Fields<'n>> {
        let Value::Map(entries) = &node.value else {
            let hint = format!("its keys are {}", known.join(", "));
            return Err(self.refuse(node.line, format!("{what} must be a mapping"), Some(&hint)));
        };
        for (key, _) in entries {
            if !known.contains(&key.name.as_str()) {
                let hint =
                    foreign_key(&key.name, known).unwrap_or_else(|| did_you_mean(&key.name, known.iter().copied()));
                return Err(self.refuse(key.line, format!("unknown key `{}` in {what}", key.name), Some(&hint)));
            }
        }
        Ok(Fields { entries })
    }

    pub fn map<'n>(self, node: &'n Node, what: &str) -> Result<&'n [(Key, Node)]> {
        match &node.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(self.refuse(node.line, format!("`{what}` must be a mapping"), None)),
        }
    }

    pub fn list<'n>(self, node: &'n Node, what: &str) -> Result<&'n [Node]> {
        match &node.value {
            Value::List(nodes) => Ok(nodes),
            _ => Err(self.refuse(node.line, format!("`{what}` must be a list"), Some("write `[a, b]`"))),
        }
    }

    /// A text. Numbers and booleans count as written.
    pub fn text(self, node: &Node, what: &str) -> Result<String> {
        match (&node.value, &node.written) {
            (Value::Text(text), _) | (Value::Number(_) | Value::Bool(_), Written::As(text)) => return Ok(text.clone()),
            _ => (),
        }
        match &node.value {
            Value::Bool(value) => Ok(value.to_string()),
            Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
            _ => Err(self.refuse(node.line, format!("`{what}` must be a string"), Some("put it in quotes"))),
        }
    }

    /// A name: at most 100 letters, digits, `_`, `-` and `.`.
    pub fn name(self, node: &Node, what: &str) -> Result<String> {
        let name = self.text(node, what)?;
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 100 || !name.chars().all(fits) || name.starts_with(['.', '-']) {
            let message = format!("{what} `{}` is not a valid name", name.chars().take(100).collect::<String>());
            let hint = "use letters, digits, `_`, `-` and `.`, at most 100, and do not begin with `-` or `.`";
            return Err(self.refuse(node.line, message, Some(hint)));
        }
        Ok(name)
    }

    pub fn bool(self, node: &Node, what: &str) -> Result<bool> {
        match node.value {
            Value::Bool(value) => Ok(value),
            _ => Err(self.refuse(node.line, format!("`{what}` must be true or false"), None)),
        }
    }

    pub fn number(self, node: &Node, what: &str) -> Result<f64> {
        let number = match &node.value {
            Value::Number(number) => number.as_f64(),
            _ => None,
        };
        number.ok_or_else(|| self.refuse(node.line, format!("`{what}` must be a number"), None))
    }

    /// A whole number from 0 to `most`.
    pub fn count(self, node: &Node, what: &str, most: u64) -> Result<u64> {
        let count = match &node.value {
            Value::Number(number) => number.as_u64().filter(|it| *it <= most),
            _ => None,
        };
        count.ok_or_else(|| self.refuse(node.line, format!("`{what}` must be a whole number from 0 to {most}"), None))
    }

    /// A value with a unit: any type that parses from text and explains its own errors.
    pub fn unit<T: std::str::FromStr<Err = String>>(self, node: &Node, what: &str) -> Result<T> {
        let text = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(self.refuse(node.line, format!("`{what}` must be a value with a unit"), None)),
        };
        text.parse().map_err(|problem| self.refuse(node.line, format!("`{what}`: {problem}"), None))
    }
}

/// Keys of other tools, and the keys here that have the same meaning.
const FOREIGN: &[(&[&str], &str, &str)] = &[
    (&["retry", "attempts", "max_attempts", "max_retries", "retry_policy", "retryStrategy"], "retries", ""),
    (&["depends_on", "dependsOn", "dependencies", "depends", "after", "requires", "require", "upstream"], "needs", ""),
    (&["command", "cmd", "script", "exec", "bash", "sh", "commands", "args", "entrypoint", "program"], "run", ""),
    (&["shell"], "run", " with a list: `run: [bash, -c, \"...\"]`; a text runs in /bin/sh"),
    (&["env_vars", "environment", "envs", "variables", "vars"], "env", ""),
    (&["delay", "retry_delay", "retry_interval", "interval", "wait"], "backoff", ""),
    (&["timeout_seconds", "timeout_minutes", "timeout-minutes", "time_limit", "deadline"], "timeout", ""),
    (&["id", "title", "label"], "name", ""),
    (&["jobs", "tasks", "stages", "dag", "pipeline", "nodes", "workflow"], "steps", ""),
    (&["workflow_id", "dag_id"], "id", ""),
    (&["cmd", "run", "program", "exec", "args", "entrypoint"], "command", ""),
    (&["on_failure", "on_error", "onError", "catch"], "hooks", " with `item_failed` or `step_failed`"),
    (
        &["on_success", "on_complete", "on_exit", "finally", "handlers", "notify"],
        "hooks",
        " with `group_end` or `item_end`",
    ),
    (&["parallelism", "max_parallel", "queue", "pool"], "type", "; `--pool TYPE=N` says how many run at once"),
    (&["lock", "mutex", "concurrency_key", "semaphore"], "resource_key", ""),
    (&["input", "inputs", "params", "parameters", "arguments"], "with", ""),
    (&["resources", "memory", "mem_limit", "ulimits", "cpus"], "limits", ""),
    (&["memory", "mem"], "rss", ""),
    (&["action", "plugin", "operator"], "uses", ""),
    (&["cron", "on", "trigger", "triggers", "every", "interval"], "schedule", " with `cron` or `every`"),
    (&["if", "condition", "only"], "when", ""),
    (&["foreach", "with_items", "items", "matrix", "loop", "map", "fan_out", "dynamic"], "for_each", ""),
    (&["continue_on_error", "ignore_errors"], "allow_failure", ""),
    (&["finally", "always"], "after", " as `after: always`"),
];

/// Keys of other tools that have no counterpart in the file.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (
        &["schedule", "cron", "on", "trigger", "triggers", "every", "interval"],
        "a schedule goes beside `steps`: `schedule: { cron: \"0 2 * * *\" }`",
    ),
    (
        &["items", "foreach", "for_each", "with_items", "matrix", "loop"],
        "give items at submit, or write `for_each` at a step",
    ),
    (&["working_dir", "working_directory", "workdir", "cwd", "dir", "directory"], "use `--chdir DIR` at submit"),
    (&["if", "when", "condition", "only", "continue_on_error", "allow_failure", "ignore_errors"], "write it at a step"),
    (&["params", "parameters", "inputs", "vars", "variables"], "give parameters at submit: `--param NAME=TEXT`"),
    (
        &["on_failure", "on_error", "on_success", "on_exit", "finally", "catch", "notify"],
        "hooks go beside `steps`: `hooks: { step_failed: [{ name: ..., run: ... }] }`",
    ),
    (&["image", "container", "docker", "runs-on"], "commands run on this machine, as you; call `docker run` in `run:`"),
    (&["outputs", "artifacts", "output"], "the files in {{ out }} are the artifacts of a command"),
    (&["version", "description", "desc"], "write it as a comment"),
];

/// The key here that corresponds to a key of another tool, if known.
fn foreign_key(name: &str, known: &[&str]) -> Option<String> {
    let same = |it: &&str| it.eq_ignore_ascii_case(name) || it.replace('_', "-").eq_ignore_ascii_case(name);
    let found = FOREIGN.iter().find(|(names, meant, _)| known.contains(meant) && names.iter().any(&same));
    if let Some((_, meant, more)) = found {
        return Some(format!("did you mean `{meant}`{more}?"));
    }
    let steps = known.contains(&"run") || known.contains(&"steps");
    let found = ELSEWHERE.iter().find(|(names, _)| steps && names.iter().any(&same));
    found.map(|(_, hint)| hint.to_string())
}

/// A hint with the closest valid name, or with all of them.
pub fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(name) = nearest(word, known.clone()) {
        return format!("did you mean `{name}`?");
    }
    match known.collect::<Vec<_>>() {
        names if names.is_empty() => "there are none".to_string(),
        names => format!("known: {}", names.join(", ")),
    }
}

/// The fields of one mapping.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'n> {
    entries: &'n [(Key, Node)],
}

impl<'n> Fields<'n> {
    /// The field's value. A field without a value counts as absent.
    pub fn get(&self, name: &str) -> Option<&'n Node> {
        let found = self.entries.iter().find(|(key, _)| key.name == name);
        found.map(|(_, node)| node).filter(|it| it.value != Value::Null)
    }

    /// The field's value, including an explicit null.
    pub fn get_or_null(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }
}

impl Node {
    /// Records how numbers and booleans are written in the file.
    fn take_text(&mut self, file: &str) {
        if let Written::At(range) = &self.written {
            let text = file.get(range.clone()).map(str::trim);
            // Keep the text only if it means the same on its own.
            self.written = match (&self.value, text) {
                (Value::Number(_), Some(text)) if text.parse::<f64>().is_ok() => Written::As(text.to_string()),
                (Value::Bool(value), Some(text)) if text.eq_ignore_ascii_case(&value.to_string()) => {
                    Written::As(text.to_string())
                }
                _ => Written::Unknown,
            };
        }
        match &mut self.value {
            Value::List(nodes) => nodes.iter_mut().for_each(|it| it.take_text(file)),
            Value::Map(entries) => entries.iter_mut().for_each(|it| it.1.take_text(file)),
            _ => (),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => match &self.written {
                Written::As(text) if number::loses_digits(text) || is_beyond(text) => text.clone().into(),
                _ => number.clone().into(),
            },
            Value::Text(text) => text.clone().into(),
            Value::List(nodes) => nodes.iter().map(Node::json).collect(),
            Value::Map(entries) => entries.iter().map(|(key, node)| (key.name.clone(), node.json())).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Node, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let span = spanned.defined.span();
        let written = match (span.byte_offset(), span.byte_len()) {
            (Some(from), Some(length)) => Written::At(from as usize..from.saturating_add(length) as usize),
            _ => Written::Unknown,
        };
        Ok(Node { line: spanned.referenced.line(), value: spanned.value, written })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> std::result::Result<Value, E> {
        // A number too large for any type is held as the largest one, which no other text can mean. It marks that the
        // text counts.
        let value = if value.is_infinite() { f64::MAX.copysign(value) } else { value };
        let number = serde_json::Number::from_f64(value);
        number.map(Value::Number).ok_or_else(|| E::custom("infinity and NaN are not allowed here"))
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = map.next_entry::<Spanned<String>, Node>()? {
            entries.push((Key { line: key.referenced.line(), name: key.value }, node));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_line() {
        let node = read("a: 1\nb:\n  - x\n  - {c: [true]}\n", "f.yaml").unwrap();
        let Value::Map(entries) = &node.value else { panic!() };
        assert_eq!((entries[0].0.line, entries[0].1.line, entries[1].0.line), (1, 1, 2));
        let Value::List(list) = &entries[1].1.value else { panic!() };
        assert_eq!((list[0].line, list[1].line), (3, 4));
        assert_eq!(node.json(), serde_json::json!({"a": 1, "b": ["x", {"c": [true]}]}));
    }

    #[test]
    fn numbers_are_texts_as_they_are_written() {
        let text = "ü: x\nlist: [1.10, 6063e25, 007, 1_000, 123456789012345678901, 0x1F, True, -0, &a 2.50, *a]\n";
        let node = read(text, "f.yaml").unwrap();
        let Value::Map(entries) = &node.value else { panic!() };
        let Value::List(list) = &entries[1].1.value else { panic!() };
        let source = Source { file: "f.yaml" };
        let texts: Vec<String> = list.iter().map(|it| source.text(it, "x").unwrap()).collect();
        assert_eq!(
            texts,
            ["1.10", "6063e25", "007", "1_000", "123456789012345678901", "31", "True", "-0", "2.50", "2.50"]
        );
        let json = entries[1].1.json();
        assert_eq!((&json[0], &json[1], &json[2]), (&1.1.into(), &"6063e25".into(), &"007".into()));
        assert_eq!((&json[4], &json[5]), (&"123456789012345678901".into(), &31.into()));
    }

    #[test]
    fn a_number_beyond_all_numbers_is_a_text_and_infinity_is_refused() {
        let read_all = read("list: [1E400, -1e999, +1e400, &a 9e400, *a, 1.7976931348623157e308]\n", "f").unwrap();
        let Value::Map(entries) = &read_all.value else { panic!("{read_all:?}") };
        let json = entries[0].1.json();
        let texts = ["1E400", "-1e999", "+1e400", "9e400", "9e400"];
        assert_eq!(json.as_array().unwrap()[..5], texts.map(serde_json::Value::from));
        assert_eq!(json[5], f64::MAX);
        for text in [".inf", "-.inf", ".nan", "&a .inf"] {
            let Err(Error::Refused { line, message, .. }) = read(&format!("a: 1\nb: {text}\n"), "f") else {
                panic!("{text} was read")
            };
            assert!(line == 2 && message.contains("infinity and NaN are not allowed here"), "{line}: {message}");
        }
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let list = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb += &format!("a{level}: &a{level} [{list}]\n");
        }
        let refused = read(&bomb, "bomb.yaml").unwrap_err();
        assert!(matches!(&refused, Error::Refused { file, .. } if file == "bomb.yaml"), "{refused}");
        let deep = format!("a: {}x{}", "[".repeat(5000), "]".repeat(5000));
        assert!(read(&deep, "deep.yaml").is_err());
    }

    #[test]
    fn what_is_not_yaml_is_refused_with_its_line() {
        for (text, line) in [("a: 1\nb: [1, 2\n", 3), ("a: 1\na: 2\n", 2), ("a: b: c\n", 1), ("x\n---\ny\n", 2)] {
            let Err(Error::Refused { line: at, message, .. }) = read(text, "f") else { panic!("{text} was read") };
            assert!(at.abs_diff(line) <= 1, "{text:?}: line {at}: {message}");
        }
    }
}

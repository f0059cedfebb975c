//! Parameter sets: named, versioned configurations of the document stages.

use super::{
    canonical::digest,
    error::{Error, Result},
    yaml::{self, Source, did_you_mean},
};
use crate::model::{Bytes, Millis};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The stages that have parameters, in processing order.
pub const STAGES: [&str; 4] = ["parse", "chunk", "embed", "store"];

/// The id of the set that always exists.
pub const BUILTIN_PARAMETERS: &str = "default";

/// A named configuration of the document stages, with a value for every known key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterSet {
    pub id: String,
    pub name: String,
    /// The author's own notes.
    pub meta: Value,
    /// `{parse: {...}, chunk: {...}, embed: {...}, store: {...}}`: durations as text, sizes in bytes.
    pub config: Value,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Url,
    OneOf(&'static [&'static str]),
    Count { least: u64, most: u64 },
    Duration,
    Size,
    Flag,
}

/// One parameter, as the reference documents it.
pub struct Parameter {
    pub stage: &'static str,
    pub key: &'static str,
    kind: Kind,
    /// `None`: not set.
    pub default: Option<&'static str>,
    /// What it is for.
    #[cfg_attr(not(any(test, feature = "internals")), allow(dead_code))]
    pub doc: &'static str,
}

const fn parameter(
    stage: &'static str,
    key: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    doc: &'static str,
) -> Parameter {
    Parameter { stage, key, kind, default, doc }
}

const TOKENS: Kind = Kind::Count { least: 1, most: 1 << 20 };

/// Every parameter, in the order of the stages.
pub const PARAMETERS: &[Parameter] = &[
    parameter("parse", "backend", Kind::OneOf(&["builtin", "docling"]), Some("builtin"), "the reader of documents"),
    parameter("parse", "url", Kind::Url, None, "the address of a docling-serve, for `backend: docling`"),
    parameter("parse", "timeout", Kind::Duration, Some("2m"), "the time limit for one document"),
    parameter("parse", "memory", Kind::Size, Some("1GiB"), "the memory limit for one document"),
    parameter("parse", "max_bytes", Kind::Size, Some("256MiB"), "the largest file that is read"),
    parameter("parse", "max_text", Kind::Size, Some("64MiB"), "the most text that one document may expand to"),
    parameter("parse", "salvage", Kind::Flag, Some("false"), "read what is left of a truncated document"),
    parameter("chunk", "size", TOKENS, Some("400"), "the size of a chunk, in tokens"),
    parameter(
        "chunk",
        "overlap",
        Kind::Count { least: 0, most: 1 << 20 },
        Some("40"),
        "how many tokens a chunk repeats of the one before",
    ),
    parameter("chunk", "max", TOKENS, Some("512"), "the hard limit of a chunk, in tokens"),
    parameter("embed", "model", Kind::Text, Some("static"), "`static`, `hash`, or a model of the server at `url`"),
    parameter("embed", "url", Kind::Url, None, "the address of an OpenAI-compatible server, such as Ollama"),
    parameter(
        "embed",
        "dimensions",
        Kind::Count { least: 1, most: 65_536 },
        None,
        "the length of a vector, if the model leaves a choice",
    ),
    parameter("embed", "batch", Kind::Count { least: 1, most: 4_096 }, Some("64"), "chunks in one request to a server"),
    parameter("embed", "key", Kind::Text, None, "the name of the variable or secret with the server's API key"),
    parameter("embed", "timeout", Kind::Duration, Some("1m"), "the time limit for one request to a server"),
    parameter("store", "path", Kind::Text, Some("default"), "the vector database: a name, or a path to a file"),
];

impl ParameterSet {
    /// The set that always exists.
    pub fn builtin() -> ParameterSet {
        let mut config = Map::new();
        for it in PARAMETERS {
            let value = it.default.and_then(|text| it.kind.read_text(text).ok()).unwrap_or(Value::Null);
            let stage = config.entry(it.stage).or_insert_with(|| json!({}));
            stage[it.key] = value;
        }
        let name = "Built-in defaults".to_string();
        ParameterSet { id: BUILTIN_PARAMETERS.into(), name, meta: json!({}), config: Value::Object(config) }
    }

    /// Parses a parameter set in YAML. Parameters that it does not mention keep their built-in values.
    pub fn parse(text: &str, file_name: &str) -> Result<ParameterSet> {
        let source = Source { file: file_name };
        let root = yaml::read(text, file_name)?;
        let fields = source.fields(&root, "a parameter set", &["id", "name", "meta", "config"])?;
        let id = fields.get("id");
        let id =
            id.ok_or_else(|| source.refuse(root.line, "`id` is missing", Some("add a line such as `id: small`")))?;
        let mut set = ParameterSet::builtin();
        set.id = source.name(id, "id")?;
        set.name = fields.get("name").map(|it| source.text(it, "name")).transpose()?.unwrap_or_else(|| set.id.clone());
        if let Some(node) = fields.get("meta") {
            source.map(node, "meta")?;
            set.meta = node.json();
        }
        let config_line = fields.get("config").map_or(root.line, |it| it.line);
        if let Some(node) = fields.get("config") {
            let stages = source.fields(node, "`config`", &STAGES)?;
            for stage in STAGES {
                let Some(node) = stages.get(stage) else { continue };
                let known: Vec<&'static str> =
                    PARAMETERS.iter().filter(|it| it.stage == stage).map(|it| it.key).collect();
                source.fields(node, &format!("`{stage}`"), &known)?;
                for (key, value) in source.map(node, stage)? {
                    let Some(parameter) = find(stage, &key.name) else { continue };
                    let read = parameter.kind.read(&value.json());
                    let problem = |it: String| source.refuse(value.line, format!("`{stage}.{}` {it}", key.name), None);
                    set.config[stage][parameter.key] = read.map_err(problem)?;
                }
            }
        }
        set.check().map_err(|(message, hint)| source.refuse(config_line, message, Some(&hint)))?;
        Ok(set)
    }

    /// A copy with these changes. Rules across parameters are checked at the end, so the order of the assignments does
    /// not matter.
    pub fn overlay<S: AsRef<str>>(&self, assignments: impl IntoIterator<Item = S>) -> Result<ParameterSet> {
        let mut set = self.clone();
        let mut changed = Vec::new();
        for assignment in assignments {
            let parameter = set.assign(assignment.as_ref())?;
            changed.push(format!("{}.{}", parameter.stage, parameter.key));
        }
        match set.check() {
            Ok(()) => Ok(set),
            Err((message, hint)) => Err(Error::Parameter { key: changed.join(", "), message, hint: Some(hint) }),
        }
    }

    fn assign(&mut self, assignment: &str) -> Result<&'static Parameter> {
        let refuse = |key: &str, message: String, hint: Option<String>| {
            Err(Error::Parameter { key: key.to_string(), message, hint })
        };
        let Some((name, text)) = assignment.split_once('=') else {
            return refuse(assignment, "has no value".into(), Some("write `--set chunk.size=512`".into()));
        };
        let (name, text) = (name.trim(), text.trim());
        let known = PARAMETERS.iter().map(|it| format!("{}.{}", it.stage, it.key)).collect::<Vec<_>>();
        let Some(parameter) = name.split_once('.').and_then(|(stage, key)| find(stage, key)) else {
            return refuse(name, "is not known".into(), Some(did_you_mean(name, known.iter().map(String::as_str))));
        };
        let removed = text.is_empty() && parameter.default.is_none();
        let value = if removed { Ok(Value::Null) } else { parameter.kind.read_text(text) };
        match value {
            Ok(value) => self.config[parameter.stage][parameter.key] = value,
            Err(message) => return refuse(name, message, None),
        }
        Ok(parameter)
    }

    /// The version: a hash of the whole configuration, without names and notes.
    pub fn hash(&self) -> [u8; 32] {
        digest("windlass parameters 1", &self.config)
    }

    /// The hash of the configuration of all stages up to and including this one. The result of the stage depends on
    /// this and on its input. For an unknown stage, all stages are hashed.
    pub fn config_hash_through(&self, stage: &str) -> [u8; 32] {
        let last = STAGES.iter().position(|it| *it == stage).unwrap_or(STAGES.len() - 1);
        let config: Map<String, Value> =
            STAGES[..=last].iter().map(|it| (it.to_string(), self.config[*it].clone())).collect();
        digest("windlass parameters 1", &Value::Object(config))
    }

    /// Checks across keys.
    fn check(&self) -> Result<(), (String, String)> {
        let chunk = |key: &str| self.config["chunk"][key].as_u64().unwrap_or(0);
        let (size, overlap, max) = (chunk("size"), chunk("overlap"), chunk("max"));
        if overlap >= size {
            let message = format!("`chunk.overlap` ({overlap}) must be smaller than `chunk.size` ({size})");
            return Err((message, "make the overlap about a tenth of the size".into()));
        }
        if size > max {
            let message = format!("`chunk.size` ({size}) must not be larger than `chunk.max` ({max})");
            return Err((message, format!("set `chunk.max={size}` as well")));
        }
        if self.config["parse"]["backend"] == "docling" && self.config["parse"]["url"].is_null() {
            let message = "`parse.backend` docling needs `parse.url`".to_string();
            return Err((message, "set `parse.url=http://127.0.0.1:5001`".into()));
        }
        Ok(())
    }
}

fn find(stage: &str, key: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|it| it.stage == stage && it.key == key)
}

/// A URL without trailing slashes. A password in it is refused, because it would be stored and shown.
fn url(text: &str) -> Result<&str, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !["http", "https"].contains(&scheme) || host.is_empty() || text.contains(char::is_whitespace) {
        return Err("must be an address such as `http://127.0.0.1:11434`".to_string());
    }
    if host.contains('@') || rest.contains(['?', '#']) {
        return Err("must be an address without a user name, a password or a query".to_string());
    }
    Ok(text.trim_end_matches('/'))
}

impl Kind {
    fn read_text(self, text: &str) -> Result<Value, String> {
        match self {
            Kind::Count { .. } => match text.parse::<u64>() {
                Ok(count) => self.read(&count.into()),
                Err(_) => self.read(&Value::from(text)),
            },
            Kind::Flag => match text.parse::<bool>() {
                Ok(flag) => self.read(&flag.into()),
                Err(_) => self.read(&Value::from(text)),
            },
            _ => self.read(&Value::from(text)),
        }
    }

    fn read(self, value: &Value) -> Result<Value, String> {
        match (self, value) {
            (Kind::Text, Value::String(text)) if !text.is_empty() => Ok(value.clone()),
            (Kind::Text, _) => Err("must be a string".to_string()),
            (Kind::Url, _) => url(value.as_str().unwrap_or_default()).map(Value::from),
            (Kind::OneOf(names), _) => match value.as_str().filter(|it| names.contains(it)) {
                Some(name) => Ok(name.into()),
                None => Err(format!("must be one of {}", names.join(", "))),
            },
            (Kind::Count { least, most }, _) => match value.as_u64().filter(|it| (least..=most).contains(it)) {
                Some(count) => Ok(count.into()),
                None => Err(format!("must be a whole number from {least} to {most}")),
            },
            (Kind::Flag, Value::Bool(_)) => Ok(value.clone()),
            (Kind::Flag, _) => Err("must be true or false".to_string()),
            (Kind::Duration, _) => match value.as_str().unwrap_or_default().parse::<Millis>()? {
                Millis(0) => Err("must be longer than 0".to_string()),
                millis => Ok(millis.to_string().into()),
            },
            (Kind::Size, Value::Number(number)) => {
                number.as_u64().map(Value::from).ok_or_else(|| "must be a size such as `512MiB`".to_string())
            }
            (Kind::Size, _) => Ok(value.as_str().unwrap_or_default().parse::<Bytes>()?.0.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_set_is_valid_and_complete() {
        let set = ParameterSet::builtin();
        assert_eq!(set.check(), Ok(()));
        assert_eq!(set.config["chunk"], json!({"size": 400, "overlap": 40, "max": 512}));
        assert_eq!(set.config["parse"]["memory"], json!(1u64 << 30));
        for it in PARAMETERS {
            assert_eq!(set.config[it.stage][it.key].is_null(), it.default.is_none(), "{}.{}", it.stage, it.key);
        }
    }

    #[test]
    fn a_file_changes_only_what_it_mentions() {
        let text = "id: small\nmeta: {owner: me}\nconfig:\n  chunk: {size: 200}\n  parse:\n    timeout: 90s\n";
        let set = ParameterSet::parse(text, "small.yaml").unwrap();
        assert_eq!((set.id.as_str(), set.name.as_str()), ("small", "small"));
        assert_eq!(set.config["chunk"], json!({"size": 200, "overlap": 40, "max": 512}));
        assert_eq!(set.config["parse"]["timeout"], json!("1.5m"));
    }

    #[test]
    fn wrong_keys_and_values_are_refused_with_their_line() {
        for (text, line, hint) in [
            ("name: x\n", 1, Some("add a line such as `id: small`")),
            ("id: x\nconfg: {}\n", 2, Some("did you mean `config`?")),
            ("id: x\nconfig:\n  chunks: {}\n", 3, Some("did you mean `chunk`?")),
            ("id: x\nconfig:\n  chunk:\n    sise: 3\n", 4, Some("did you mean `size`?")),
            ("id: x\nconfig:\n  chunk:\n    size: 0\n", 4, None),
            ("id: x\nconfig:\n  parse: {timeout: soon}\n", 3, None),
            ("id: x\nconfig:\n  parse: {backend: magic}\n", 3, None),
            ("id: x\nconfig:\n  parse: {salvage: perhaps}\n", 3, None),
            ("id: x\nconfig:\n  chunk: {overlap: 400}\n", 3, Some("make the overlap about a tenth of the size")),
        ] {
            let Err(error) = ParameterSet::parse(text, "p.yaml") else { panic!("{text} was read") };
            assert!(error.to_string().starts_with(&format!("p.yaml:{line}: ")), "{text:?}: {error}");
            assert_eq!(error.hint(), hint, "{text:?}");
        }
    }

    #[test]
    fn addresses_are_taken_without_secrets_only() {
        let builtin = ParameterSet::builtin();
        let set = builtin.overlay(["embed.url=http://127.0.0.1:11434/v1/"]).unwrap();
        assert_eq!(set.config["embed"]["url"], json!("http://127.0.0.1:11434/v1"));
        for odd in
            ["localhost:1", "ftp://h", "http://", "http://a b", "http://me:secret@h/v1", "https://h/v1?key=secret"]
        {
            let error = builtin.overlay([format!("embed.url={odd}")]).unwrap_err();
            assert!(
                error.to_string().contains("must be an address") && !error.to_string().contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn overlays_are_checked_and_judged_together() {
        let builtin = ParameterSet::builtin();
        let set = builtin.overlay(["chunk.size=1000", "chunk.max=1200", "parse.salvage=true"]).unwrap();
        assert_eq!(set.config["chunk"]["size"], json!(1000));
        assert_eq!(set.config["parse"]["salvage"], json!(true));
        let refused = builtin.overlay(["chunk.size=1000"]).unwrap_err();
        assert_eq!(refused.hint(), Some("set `chunk.max=1000` as well"));
        assert_eq!(builtin.overlay(["chunk.siez=3"]).unwrap_err().hint(), Some("did you mean `chunk.size`?"));
        assert!(builtin.overlay(["chunk.size"]).is_err() && builtin.overlay(["chunk.size=many"]).is_err());
    }

    #[test]
    fn a_stage_depends_on_the_stages_before_it_only() {
        let (one, two) = (ParameterSet::builtin(), ParameterSet::builtin().overlay(["chunk.size=300"]).unwrap());
        assert_eq!(one.config_hash_through("parse"), two.config_hash_through("parse"));
        for stage in ["chunk", "embed", "store"] {
            assert_ne!(one.config_hash_through(stage), two.config_hash_through(stage), "{stage}");
        }
        assert_eq!(one.hash(), one.config_hash_through("store"));
        assert_eq!(one.hash(), one.overlay(["parse.timeout=120s"]).unwrap().hash(), "equal meaning, equal hash");
    }
}

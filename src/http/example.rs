//! An example of every request: a shell command that uses the variables `$at` and `$auth`.

use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Example values of parameters and fields, by name, for those without an example in the description.
const KNOWN: [(&str, &str); 16] = [
    ("batch_id", "1"),
    ("commit_sha", "3f2a9c1"),
    ("db", "default"),
    ("doc_id", "sha256-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    ("hashes", r#"{"a/winch.md": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}"#),
    ("id", "1"),
    ("key", "index:main"),
    ("name", "winches"),
    ("q", "rope"),
    ("run_group_id", "1"),
    ("source", "manuals"),
    ("source_uri", "a/winch.md"),
    ("status", "COMPLETED"),
    ("target", "default"),
    ("uri", "a/winch.md"),
    ("yaml_content", "<set.yaml"),
];

/// The `curl` command for a request.
pub fn command(document: &Value, method: &str, path: &str, operation: &Value) -> String {
    let mut target = path.to_string();
    let mut query = Vec::new();
    let body = operation["requestBody"]["content"].as_object().and_then(|it| it.iter().next());
    for it in operation["parameters"].as_array().into_iter().flatten() {
        let name = it["name"].as_str().unwrap_or_default();
        match it["in"].as_str() {
            Some("path") => target = target.replace(&format!("{{{name}}}"), &text_of(name, it)),
            Some("query") if it["required"] == true || !it["example"].is_null() => {
                query.push(format!("{name}={}", text_of(name, it)))
            }
            _ => {}
        }
    }
    if !query.is_empty() {
        let _ = write!(target, "?{}", query.join("&"));
    }
    let mut line = "curl".to_string();
    if operation["responses"]["200"]["content"]["text/event-stream"].is_object() {
        line.push_str(" -N");
    }
    let implied = if body.is_some() { "post" } else { "get" };
    if method != implied {
        let _ = write!(line, " -X {}", method.to_uppercase());
    }
    line.push_str(" -H \"$auth\"");
    if let Some((kind, content)) = body {
        let fields = fields_of(document, &content["schema"]);
        if kind == "application/json" {
            let _ = write!(line, " -H 'Content-Type: {kind}' -d '{}'", Value::Object(fields));
        } else {
            for (name, value) in fields {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
                let plain = text.chars().all(|it| it.is_ascii_alphanumeric() || "-_./@:".contains(it));
                let _ = match plain {
                    true => write!(line, " -F {name}={text}"),
                    false => write!(line, " -F '{name}={text}'"),
                };
            }
        }
    }
    format!("{line} \"$at{target}\"")
}

/// The required fields of a request, and those that have an example.
fn fields_of(document: &Value, schema: &Value) -> Map<String, Value> {
    let schema = resolved(document, schema);
    let needed = |name: &str| schema["required"].as_array().is_some_and(|it| it.contains(&name.into()));
    let fields = schema["properties"].as_object().into_iter().flatten();
    let wanted = fields.filter(|(name, it)| needed(name) || !it["example"].is_null());
    wanted.map(|(name, it)| (name.clone(), value_of(name, it))).collect()
}

/// The schema that a reference, nullable or not, leads to.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|it| it.rsplit('/').next()) {
        return &document["components"]["schemas"][name];
    }
    let choice = schema["oneOf"].as_array().and_then(|it| it.iter().find(|it| it["$ref"].is_string()));
    choice.map_or(schema, |it| resolved(document, it))
}

fn value_of(name: &str, it: &Value) -> Value {
    // Both a submission and a schedule take it.
    if name == "definition" {
        let steps = json!([{"name": "hello", "run": "echo hello {{ item }}"}]);
        return json!({"id": "hello", "schedule": {"every": "1h"}, "items_from": {"list": ["world"]}, "steps": steps});
    }
    if name == "from" {
        return json!(1_767_225_600_000_i64);
    }
    let known = || KNOWN.iter().find(|known| known.0 == name).map(|known| json!(known.1));
    let schema = if it["schema"].is_object() { &it["schema"] } else { it };
    [&it["example"], &schema["example"], &schema["enum"][0]]
        .into_iter()
        .find(|it| !it.is_null())
        .cloned()
        .or_else(known)
        .unwrap_or_else(|| json!(name))
}

fn text_of(name: &str, it: &Value) -> String {
    let value = value_of(name, it);
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

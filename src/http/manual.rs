//! `docs/http.md`, generated from the OpenAPI description.

use super::{api::ErrorBody, describe::ANYWHERE, example};
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write};
use utoipa::{ToSchema, openapi::OpenApi};

/// The description as Markdown: `docs/http.md` is this text.
pub fn manual(description: &OpenApi) -> String {
    let document = serde_json::to_value(description).unwrap_or_default();
    let mut text = MANUAL_HEAD.to_string();
    for (tag, title) in TAGS {
        let mut rows = String::new();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let tags = operation["tags"].as_array();
                if tags.is_some_and(|it| it.iter().any(|it| it == tag)) {
                    describe_operation(&mut rows, &document, (method, path), operation);
                }
            }
        }
        if !rows.is_empty() {
            let _ = write!(text, "\n## {title}\n{rows}");
        }
    }
    text.push_str(&shapes_of(&document));
    text
}

/// The types of all requests and responses, including nested ones.
fn shapes_of(document: &Value) -> String {
    let operations = || document["paths"].as_object().into_iter().flatten().flat_map(|it| it.1.as_object()).flatten();
    let reached = |mut ahead: Vec<String>| {
        let mut found = BTreeSet::new();
        while let Some(name) = ahead.pop() {
            let schema = &document["components"]["schemas"][&name];
            if found.insert(name) {
                ahead.extend(references(schema));
            }
        }
        found
    };
    let taken = reached(operations().flat_map(|it| references(&it.1["requestBody"])).collect());
    let mut text = "\n## Types\n\n\
        Fields of a request are optional unless marked as required.\n"
        .to_string();
    for name in reached(operations().flat_map(|it| references(it.1)).collect()) {
        let schema = &document["components"]["schemas"][&name];
        let _ = write!(text, "\n### {name}\n\n");
        describe_schema(&mut text, schema, taken.contains(&name));
    }
    text
}

/// The names of the schemas that a part of the description refers to.
fn references(part: &Value) -> Vec<String> {
    match part {
        Value::Object(it) => match it.get("$ref").and_then(Value::as_str) {
            Some(name) => vec![name.rsplit('/').next().unwrap_or_default().to_string()],
            None => it.values().flat_map(references).collect(),
        },
        Value::Array(it) => it.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// `taken`: the type occurs in a request, so required fields are marked.
fn describe_schema(text: &mut String, schema: &Value, taken: bool) {
    if let Some(said) = schema["description"].as_str() {
        let _ = write!(text, "{}\n\n", said.replace('\n', " "));
    }
    let parts = schema["allOf"].as_array().map_or(vec![schema], |it| it.iter().collect());
    let named: Vec<String> = parts.iter().filter(|it| it["$ref"].is_string()).map(|it| shape(it)).collect();
    if !named.is_empty() {
        let _ = write!(text, "The fields of {}, and:\n\n", named.join(" and "));
    }
    let mut rows = String::new();
    for part in parts {
        for (name, field) in part["properties"].as_object().into_iter().flatten() {
            let said = field["description"].as_str().unwrap_or("").replace('\n', " ");
            let separator = if said.is_empty() { "" } else { ". " };
            let needed = taken && part["required"].as_array().is_some_and(|it| it.contains(&name.as_str().into()));
            let needed = if needed { ", required" } else { "" };
            let _ = writeln!(rows, "| `{name}` | {}{needed}{separator}{said} |", shape(field));
        }
    }
    match rows.is_empty() {
        true => drop(writeln!(text, "{}", shape(schema))),
        false => drop(write!(text, "| field | |\n|---|---|\n{rows}")),
    }
}

const MANUAL_HEAD: &str = "# The HTTP interface\n\n\
    `windlass serve` answers on `http://127.0.0.1:8787`. This page is generated from the description at\n\
    `/openapi.json` (OpenAPI 3.1); `/docs` shows the same in a browser. The fields of every type are [at the end](#types); those of\n\
    windlass's own API are the ones of `--json` (see [json.md](json.md)).\n\n\
    The examples are for a shell with these variables:\n\n\
    ```sh\n\
    at=http://127.0.0.1:8787\n\
    auth=\"Authorization: Bearer $(cat ~/.local/share/windlass/serve.token)\"\n\
    ```\n\n\
    - Everything but `/health`, `/openapi.json` and the files of the page needs the token: `Authorization: Bearer TOKEN` or\n\
    \x20 `X-API-Key: TOKEN`. It is the setting `api_token`, otherwise the content of the file `serve.token` in the home. A browser sends a\n\
    \x20 session instead, in `X-Windlass-Session` (see [POST /api/v1/session/open](#post-apiv1sessionopen)).\n\
    - An error is `{\"error\": text, \"status_code\": number}`, with a `hint` if there is one: 400 and 422 invalid request, 401 the\n\
    \x20 token is required, 403 origin not allowed, 404 not found, 405 method not supported, 408 the body took longer than a minute,\n\
    \x20 409 locked or in conflict, 413 larger than the setting `http.body` or another limit, 414 and 431 the address or the header\n\
    \x20 fields are larger than 40 KiB, 415 another media type is required, 500 internal error, 503 busy or stopping: try again,\n\
    \x20 507 the disk is full. Every request can answer 401, 403, 405, 408, 414, 431, 500, 503 and 507; they are not repeated below.\n\
    \x20 A request that is not HTTP, or whose head is larger than 64 KiB, gets a bare 400, 414 or 431.\n\
    - A response may come before the whole request was sent. The server reads the rest of a small body (256 KiB) and keeps the\n\
    \x20 connection open; otherwise the response has `Connection: close`.\n\
    - Lists are paged by key: `next` of one page is `before` or `after` of the next.\n\
    - Use a proxy in front for TLS.\n";

/// Tags in the order of the page, and their titles.
const TAGS: &[(&str, &str)] = &[
    ("groups", "Groups"),
    ("runs", "Runs"),
    ("steps", "Steps"),
    ("schedules", "Schedules and watched directories"),
    ("events", "Events"),
    ("search", "Search"),
    ("machine", "Workers and queues"),
    ("locks", "Locks"),
    ("daemon", "The daemon"),
    ("page", "The page"),
    ("ingestion", "Ingestion"),
];

fn describe_operation(text: &mut String, document: &Value, (method, path): (&str, &str), operation: &Value) {
    let _ = write!(text, "\n### {} {path}\n\n", method.to_uppercase());
    for part in ["summary", "description"] {
        if let Some(said) = operation[part].as_str().filter(|it| !it.is_empty()) {
            let _ = write!(text, "{}.\n\n", said.trim_end_matches('.'));
        }
    }
    let _ = write!(text, "```sh\n{}\n```\n\n", example::command(document, method, path, operation));
    let mut takes = String::new();
    for it in operation["parameters"].as_array().into_iter().flatten() {
        let said = it["description"].as_str().unwrap_or("").replace('\n', " ");
        let needed = if it["required"] == true { ", needed" } else { "" };
        let place = it["in"].as_str().unwrap_or("");
        let _ = writeln!(takes, "| `{}` | {place}{needed} | {said} |", it["name"].as_str().unwrap_or(""));
    }
    if !takes.is_empty() {
        let _ = write!(text, "| parameter | in | |\n|---|---|---|\n{takes}\n");
    }
    for (kind, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let _ = write!(text, "Takes {} as `{kind}`.\n\n", shape(&content["schema"]));
    }
    let mut answers = String::new();
    let mut refusals: Vec<&str> = Vec::new();
    let error = serde_json::json!({"$ref": format!("#/components/schemas/{}", ErrorBody::name())});
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        if status.starts_with(['4', '5']) && answer["content"]["application/json"]["schema"] == error {
            refusals.extend((!ANYWHERE.iter().any(|it| it.0 == status)).then_some(status.as_str()));
            continue;
        }
        let said = answer["description"].as_str().unwrap_or("").replace('\n', " ");
        let mut shapes: Vec<String> = Vec::new();
        for content in answer["content"].as_object().into_iter().flat_map(|it| it.values()) {
            shapes.push(shape(&content["schema"]));
        }
        let separator = if shapes.is_empty() || said.is_empty() { "" } else { ": " };
        let _ = writeln!(answers, "- {status} {}{separator}{said}", shapes.join(", "));
    }
    text.push_str(&answers);
    if !refusals.is_empty() {
        let _ = writeln!(text, "- errors: {}", refusals.join(", "));
    }
}

/// The name of a schema, or its kind.
fn shape(schema: &Value) -> String {
    let all = |parts: &Value, word: &str| {
        let parts: Vec<String> = parts.as_array().into_iter().flatten().map(shape).collect();
        parts.join(word)
    };
    if let Some(name) = schema["$ref"].as_str().and_then(|it| it.rsplit('/').next()) {
        return format!("[`{name}`](#{})", name.to_lowercase());
    }
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .map(|it| format!("`{}`", it.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(" or ");
    }
    for (key, word) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
        if schema[key].is_array() {
            return all(&schema[key], word);
        }
    }
    if let Some(inner) = schema["additionalProperties"].as_object() {
        return format!("object of {}", shape(&Value::Object(inner.clone())));
    }
    if let Some(fields) = schema["properties"].as_object() {
        let fields: Vec<String> = fields.iter().map(|(name, it)| format!("`{name}`: {}", shape(it))).collect();
        return format!("{{{}}}", fields.join(", "));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    match (kinds.as_slice(), schema["items"].is_object()) {
        ([], _) => "any JSON".to_string(),
        ([first @ "array", rest @ ..], true) => {
            let whole = format!("{first} of {}", shape(&schema["items"]));
            [&[whole.as_str()], rest].concat().join(" or ")
        }
        (kinds, _) => kinds.join(" or "),
    }
}

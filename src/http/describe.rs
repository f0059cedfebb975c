//! The description of everything that is served: what the handlers can't say of themselves, and the manual made from it.

use super::own::ErrorBody;
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

/// Adds title, version and how a client shows who it is.
pub(super) fn complete(mut description: OpenApi) -> OpenApi {
    description.info.title = "windlass".to_string();
    description.info.version = env!("CARGO_PKG_VERSION").to_string();
    description.info.description = Some(
        "A durable workflow engine for one machine. Changes need the token, as `Authorization: Bearer TOKEN` or in \
         `X-API-Key`; it is the setting `api_token`, else it lies in the file `serve.token` in the home directory."
            .to_string(),
    );
    description.info.license = None;
    let schemes = &mut description.components.get_or_insert_default().security_schemes;
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    schemes.insert("token".to_string(), bearer);
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
    schemes.insert("key".to_string(), key);
    // Only responses name it, and these do not bring their schemas along.
    let schemas = &mut description.components.get_or_insert_default().schemas;
    schemas.insert(ErrorBody::name().to_string(), ErrorBody::schema());
    for (path, item) in &mut description.paths.paths {
        for (method, operation) in
            [("get", &mut item.get), ("put", &mut item.put), ("post", &mut item.post), ("delete", &mut item.delete)]
        {
            let Some(operation) = operation else { continue };
            operation.operation_id = Some(operation_id(method, path));
            tell_refusals(operation, path == "/health");
        }
    }
    // The router's sign for "the rest of the path" is none of OpenAPI's.
    let paths = std::mem::take(&mut description.paths.paths);
    description.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    let nothing: [&str; 0] = [];
    description.security =
        Some(vec![SecurityRequirement::new("token", nothing), SecurityRequirement::new("key", nothing)]);
    description
}

/// Statuses that any request may be refused with, and why. The manual tells them once.
const ANYWHERE: [(&str, &str); 9] = [
    ("401", "A token is needed."),
    ("403", "The request comes from where it may not."),
    ("405", "There is something at this address, but not for this method."),
    ("408", "The body took too long to come."),
    ("414", "The address is too long."),
    ("431", "The header fields are too long."),
    ("500", "A fault inside windlass; its log tells more."),
    ("503", "The database is busy, or windlass is stopping; try again."),
    ("507", "The disk is full."),
];

/// `get_batch_status`: no two addresses have the same, and it stays as it is while the address does.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.trim_start_matches("/api/v1").split(|it: char| !it.is_ascii_alphanumeric());
    let words: Vec<&str> = std::iter::once(method).chain(words).filter(|it| !it.is_empty()).collect();
    words.join("_")
}

/// Every error has the one shape, also where a handler names only its status.
fn tell_refusals(operation: &mut Operation, open: bool) {
    let mut known: Vec<(&str, &str)> = if open { vec![ANYWHERE[1]] } else { ANYWHERE.to_vec() };
    if operation.parameters.is_some() || operation.request_body.is_some() {
        known.push(("400", "The request can't be understood."));
    }
    if operation.request_body.is_some() {
        known.push(("413", "The body is too large."));
        known.push(("415", "The body is of a type that is not taken."));
    }
    let responses = &mut operation.responses.responses;
    for (status, why) in known {
        let made = || ResponseBuilder::new().description(why).build().into();
        responses.entry(status.to_string()).or_insert_with(made);
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
            && response.content.is_empty()
        {
            let schema = Ref::from_schema_name(ErrorBody::name());
            response.content.insert("application/json".to_string(), ContentBuilder::new().schema(Some(schema)).build());
        }
    }
}

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
                    describe_operation(&mut rows, method, path, operation);
                }
            }
        }
        if !rows.is_empty() {
            let _ = write!(text, "\n## {title}\n{rows}");
        }
    }
    text.push_str(&shapes_of(&document, "ingestion"));
    text
}

/// The documents that operations with this tag take and give, with those inside them. Of windlass's own tells `json.md`.
fn shapes_of(document: &Value, tag: &str) -> String {
    let operations = document["paths"].as_object().into_iter().flatten().flat_map(|it| it.1.as_object()).flatten();
    let tagged =
        operations.map(|it| it.1).filter(|it| it["tags"].as_array().is_some_and(|it| it.contains(&tag.into())));
    let mut found = BTreeSet::new();
    let mut ahead: Vec<String> = tagged.flat_map(references).collect();
    while let Some(name) = ahead.pop() {
        let schema = &document["components"]["schemas"][&name];
        if name != ErrorBody::name() && found.insert(name) {
            ahead.extend(references(schema));
        }
    }
    let mut text = "\n## What they take and give\n".to_string();
    for name in found {
        let schema = &document["components"]["schemas"][&name];
        let _ = write!(text, "\n### {name}\n\n");
        describe_schema(&mut text, schema);
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

fn describe_schema(text: &mut String, schema: &Value) {
    if let Some(said) = schema["description"].as_str() {
        let _ = write!(text, "{}\n\n", said.replace('\n', " "));
    }
    if let Some(fields) = schema["properties"].as_object() {
        let _ = write!(text, "| field | |\n|---|---|\n");
        for (name, field) in fields {
            let said = field["description"].as_str().unwrap_or("").replace('\n', " ");
            let separator = if said.is_empty() { "" } else { ". " };
            let _ = writeln!(text, "| `{name}` | {}{separator}{said} |", shape(field));
        }
        return;
    }
    let _ = writeln!(text, "{}", shape(schema));
}

const MANUAL_HEAD: &str = "# The HTTP interface\n\n\
    `windlass serve` answers on `http://127.0.0.1:8787`. This page is made from the description that it serves itself at\n\
    `/openapi.json` (OpenAPI 3.1); `/docs` shows the same in a browser. The fields of windlass's own documents are those of\n\
    `--json` (see [json.md](json.md)).\n\n\
    - Changes need the token: `Authorization: Bearer $(cat ~/.local/share/windlass/serve.token)`, or the same in `X-API-Key`;\n\
    \x20 with the setting `api_token` it is that one.\n\
    - An error is `{\"error\": text, \"status_code\": number}`, with a `hint` where there is one: 400 and 422 the request can't\n\
    \x20 be understood, 401 the token is needed, 403 it comes from where it may not, 404 there is no such thing, 405 not with this\n\
    \x20 method, 408 the body took longer than a minute to come, 409 locked or in conflict, 413 larger than the setting\n\
    \x20 `http.body` or another bound, 414 and 431 the address or the header fields have more than 40 KiB, 415 another media\n\
    \x20 type is needed, 500 a fault inside, 503 busy or stopping: try again, 507 the disk is full. 401, 403, 405, 408, 414, 431,\n\
    \x20 500, 503 and 507 can be the answer to anything and are not repeated below.\n\
    \x20 What is not HTTP at all, or has a head of more than 64 KiB, gets a bare 400, 414 or 431.\n\
    - An answer may come before the request was sent whole. What is left of a small body (256 KiB) is taken, and the connection\n\
    \x20 goes on; else the answer says `Connection: close`.\n\
    - Lists are paged by key: `next` of one page is `before` or `after` of the next.\n\
    - TLS belongs to a proxy in front.\n";

/// Tags in the order in which they are told, and their titles.
const TAGS: &[(&str, &str)] = &[
    ("groups", "Groups"),
    ("runs", "Runs"),
    ("steps", "Steps"),
    ("events", "Events"),
    ("search", "Search"),
    ("machine", "Workers and queues"),
    ("locks", "Locks"),
    ("daemon", "The daemon"),
    ("page", "The page"),
    ("ingestion", "Ingestion"),
];

fn describe_operation(text: &mut String, method: &str, path: &str, operation: &Value) {
    let _ = write!(text, "\n### {} {path}\n\n", method.to_uppercase());
    for part in ["summary", "description"] {
        if let Some(said) = operation[part].as_str().filter(|it| !it.is_empty()) {
            let _ = write!(text, "{}.\n\n", said.trim_end_matches('.'));
        }
    }
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
        return format!("`{name}`");
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

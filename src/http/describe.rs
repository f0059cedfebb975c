//! The description of everything that is served: what the handlers can't say of themselves, and the manual made from it.

use super::own::ErrorBody;
use serde_json::Value;
use std::fmt::Write;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        OpenApi,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

/// Adds title, version and how a client shows who it is.
pub(super) fn complete(mut description: OpenApi) -> OpenApi {
    description.info.title = "windlass".to_string();
    description.info.version = env!("CARGO_PKG_VERSION").to_string();
    description.info.description = Some(
        "A durable workflow engine for one machine. Changes need the token, as `Authorization: Bearer TOKEN` or in \
         `X-API-Key`; it lies in the file `serve.token` in the home directory."
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
    // The router's sign for "the rest of the path" is none of OpenAPI's.
    let paths = std::mem::take(&mut description.paths.paths);
    description.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    let nothing: [&str; 0] = [];
    description.security =
        Some(vec![SecurityRequirement::new("token", nothing), SecurityRequirement::new("key", nothing)]);
    description
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
    text
}

const MANUAL_HEAD: &str = "# The HTTP interface\n\n\
    `windlass serve` answers on `http://127.0.0.1:8787`. This page is made from the description that it serves itself at\n\
    `/openapi.json` (OpenAPI 3.1); `/docs` shows the same in a browser. The fields of windlass's own documents are those of\n\
    `--json` (see [json.md](json.md)).\n\n\
    - Changes need the token: `Authorization: Bearer $(cat ~/.local/share/windlass/serve.token)`, or the same in `X-API-Key`.\n\
    - An error is `{\"error\": text, \"status_code\": number}`, with a `hint` where there is one: 400 and 422 the request can't\n\
    \x20 be understood, 401 the token is needed, 403 it comes from where it may not, 404 there is no such thing, 409 locked or in\n\
    \x20 conflict, 413 too large, 415 another media type is needed, 503 busy or stopping: try again.\n\
    \x20 What is not HTTP at all gets a bare 400 or 431.\n\
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
    ("batch", "Ingestion: batches"),
    ("document", "Ingestion: documents"),
    ("source", "Ingestion: state of sources"),
    ("workflow", "Ingestion: workflows"),
    ("stats", "Ingestion: statistics"),
    ("lancedb", "Ingestion: vector databases"),
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
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        if status.starts_with(['4', '5']) {
            refusals.push(status);
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
    if let Some(name) = schema["$ref"].as_str().and_then(|it| it.rsplit('/').next()) {
        return format!("`{name}`");
    }
    match (schema["type"].as_str(), schema["items"].is_object()) {
        (Some("array"), true) => format!("array of {}", shape(&schema["items"])),
        (Some(kind), _) => kind.to_string(),
        _ => "any JSON".to_string(),
    }
}

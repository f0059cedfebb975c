//! Completes the OpenAPI description with the parts that the handlers can't provide.

use super::api::ErrorBody;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

/// Adds title, version and authentication.
pub(super) fn complete(mut description: OpenApi) -> OpenApi {
    description.info.title = "windlass".to_string();
    description.info.version = env!("CARGO_PKG_VERSION").to_string();
    description.info.description = Some(
        "A durable workflow engine for one machine. Changes need the token, as `Authorization: Bearer TOKEN` or in \
         `X-API-Key`; it is the setting `api_token`, else the one in the file `serve.token` in the home directory."
            .to_string(),
    );
    description.info.license = None;
    let schemes = &mut description.components.get_or_insert_default().security_schemes;
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    schemes.insert("token".to_string(), bearer);
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
    schemes.insert("key".to_string(), key);
    // Only responses refer to it, and they do not register their schemas.
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
    // OpenAPI does not know the router's syntax for the rest of a path.
    let paths = std::mem::take(&mut description.paths.paths);
    description.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    let nothing: [&str; 0] = [];
    description.security =
        Some(vec![SecurityRequirement::new("token", nothing), SecurityRequirement::new("key", nothing)]);
    description
}

/// Statuses that any request can get, and why. The manual lists them once.
pub(super) const ANYWHERE: [(&str, &str); 9] = [
    ("401", "A token is required."),
    ("403", "The request's origin is not allowed."),
    ("405", "The address does not support this method."),
    ("408", "The body arrived too slowly."),
    ("414", "The address is too long."),
    ("431", "The header fields are too long."),
    ("500", "An internal error; see the log."),
    ("503", "The database is busy, or windlass is stopping; try again."),
    ("507", "The disk is full."),
];

/// `get_batch_status`: unique per endpoint, and unchanged while the path is.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.trim_start_matches("/api/v1").split(|it: char| !it.is_ascii_alphanumeric());
    let words: Vec<&str> = std::iter::once(method).chain(words).filter(|it| !it.is_empty()).collect();
    words.join("_")
}

/// Every error has the same shape, even if a handler names only its status.
fn tell_refusals(operation: &mut Operation, open: bool) {
    let mut known: Vec<(&str, &str)> = if open { vec![ANYWHERE[1]] } else { ANYWHERE.to_vec() };
    if operation.parameters.is_some() || operation.request_body.is_some() {
        known.push(("400", "The request is invalid."));
    }
    if operation.request_body.is_some() {
        known.push(("413", "The body is too large."));
        known.push(("415", "The type of the body is not supported."));
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

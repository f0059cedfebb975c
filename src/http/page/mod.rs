//! The page, served from the binary: HTML, a style sheet and a few scripts. It loads nothing from other servers.
//!
//! May import: everything on the floors below, and of this room `App`, `Failure`, `Caller`. Never: reads a file from
//! disk; puts foreign text into HTML (the scripts insert it as text).

use crate::http::App;
use axum::{
    body::Bytes,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, io::Write, sync::OnceLock};
use utoipa_axum::router::OpenApiRouter;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Only our own files are loaded and run; no site may frame the page; `style` attributes in markup have no effect.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Name, media type, content.
type Asset = (&'static str, &'static str, &'static str);

const PAGE: Asset = ("index.html", HTML, include_str!("index.html"));
const DOCS: Asset = ("docs.html", HTML, include_str!("docs.html"));

/// Everything under `/assets/`.
const ASSETS: &[Asset] = &[
    ("page.css", "text/css; charset=utf-8", include_str!("page.css")),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ("app.js", SCRIPT, include_str!("app.js")),
    ("connection.js", SCRIPT, include_str!("connection.js")),
    ("wire.js", SCRIPT, include_str!("wire.js")),
    ("dom.js", SCRIPT, include_str!("dom.js")),
    ("groups.js", SCRIPT, include_str!("groups.js")),
    ("runs.js", SCRIPT, include_str!("runs.js")),
    ("graph.js", SCRIPT, include_str!("graph.js")),
    ("health.js", SCRIPT, include_str!("health.js")),
    ("machine.js", SCRIPT, include_str!("machine.js")),
    ("start.js", SCRIPT, include_str!("start.js")),
    ("timeline.js", SCRIPT, include_str!("timeline.js")),
    ("schedules.js", SCRIPT, include_str!("schedules.js")),
    ("resources.js", SCRIPT, include_str!("resources.js")),
    ("session.js", SCRIPT, include_str!("session.js")),
    ("search.js", SCRIPT, include_str!("search.js")),
    ("docs.js", SCRIPT, include_str!("docs.js")),
];

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .route("/", get(index))
        .route("/docs", get(async |headers: HeaderMap| served(&DOCS, &headers)))
        .route("/assets/{name}", get(asset))
}

/// The page. Its scripts decide by the URL what to show.
pub async fn index(headers: HeaderMap) -> Response {
    served(&PAGE, &headers)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|it| it.0 == name) {
        Some(found) => served(found, &headers),
        None => crate::http::Failure::not_found("the page has no such file").into_response(),
    }
}

/// A file, or 304 if the browser has it. Browsers ask each time, so a new version is seen immediately.
fn served((name, media_type, content): &Asset, headers: &HeaderMap) -> Response {
    let takes_gzip = headers.get(header::ACCEPT_ENCODING).and_then(|it| it.to_str().ok());
    let takes_gzip = takes_gzip.is_some_and(|it| it.split(',').any(|it| it.trim() == "gzip"));
    let packed = packed().get(name).filter(|_| takes_gzip);
    let kind = if packed.is_some() { "gzip" } else { "plain" };
    let tag = format!("\"{}-{kind}\"", hex::encode(&Sha256::digest(content)[..12]));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|it| it.as_bytes() == tag.as_bytes());
    let typed = [(header::CONTENT_TYPE, *media_type)];
    let mut response = match (known, packed) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, Some(packed)) => (typed, [(header::CONTENT_ENCODING, "gzip")], packed.clone()).into_response(),
        (false, None) => (typed, *content).into_response(),
    };
    let fixed: [(HeaderName, &'static str); 6] = [
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Every file, compressed for browsers, by name. Made on first use.
fn packed() -> &'static HashMap<&'static str, Bytes> {
    static PACKED: OnceLock<HashMap<&'static str, Bytes>> = OnceLock::new();
    let pack = |(name, _, content): &Asset| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content.as_bytes()).ok()?;
        Some((*name, encoder.finish().ok()?.into()))
    };
    PACKED.get_or_init(|| [&PAGE, &DOCS].into_iter().chain(ASSETS).filter_map(pack).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    use axum::body::HttpBody;

    fn all() -> impl Iterator<Item = &'static Asset> {
        [&PAGE, &DOCS].into_iter().chain(ASSETS)
    }

    #[test]
    fn the_page_is_small() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("deflate, gzip, br"));
        let sent = |it| served(it, &headers).into_body().size_hint().exact().unwrap();
        let bytes: u64 = all().map(sent).sum();
        assert!(bytes < 50_000, "{bytes} bytes");
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_no_script_or_style_is_inline() {
        for (name, media_type, content) in all() {
            let urls = content.match_indices("//").map(|(at, _)| &content[at.saturating_sub(6)..at]);
            let foreign: Vec<&str> = urls.filter(|it| it.ends_with("https:") || it.ends_with("http:")).collect();
            // The SVG namespace is not a link.
            let namespaces = content.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(foreign.len(), namespaces, "{name} names another place");
            assert!(!content.contains("innerHTML") && !content.contains("insertAdjacentHTML"), "{name}");
            if *media_type == HTML {
                assert!(
                    !content.contains("<script>") && !content.contains("<style") && !content.contains(" on"),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn a_browser_that_has_a_file_is_told_so() {
        let first = served(&PAGE, &HeaderMap::new());
        assert!(first.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(served(&PAGE, &headers).status(), StatusCode::NOT_MODIFIED);
    }
}

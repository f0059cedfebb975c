//! The fields of a request: its query, and a body in either form encoding. Fields are kept in memory, within limits; a
//! file is streamed into an artifact.

use crate::{
    artifact::Incoming,
    http::{App, Failure, Result, budget::Charge},
    ingest::upload,
    model::number::keep_digits,
};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Multipart, Request, multipart::Field},
    http::{header, request::Parts},
};
use http_body_util::{BodyExt, Limited};
use percent_encoding::percent_decode;
use serde_json::{Map, Value};
use std::{borrow::Cow, collections::HashMap, str::FromStr, sync::Arc};

/// The limit for all fields of a request, in bytes. The hashes of a large source are one field.
const FIELDS_MAX: usize = 32 << 20;
/// The limit for a name, in bytes.
const NAME_MAX: usize = 1 << 10;
/// The most fields of a request; no client sends that many.
const COUNT_MAX: usize = 1_000;
/// A body up to this size is read in microseconds.
const QUICK: usize = 64 << 10;
/// The size of the pieces in which a file is passed on, in bytes.
const PIECE: usize = 256 << 10;

/// The fields of a request. If one is sent twice, the last one wins.
#[derive(Debug, Default)]
pub struct Fields {
    values: HashMap<String, String>,
    size: usize,
}

/// A file uploaded with a request. It is written but not yet kept, so that a slow client does not block a sweep.
pub struct Upload {
    pub file_name: Option<String>,
    pub content_type: Option<String>,
    pub incoming: Incoming,
}

impl Fields {
    /// A required field.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| Failure::bad_request(format!("`{name}` is missing")))
    }

    /// A field that lists show later; at most 1 KiB.
    pub fn name(&self, name: &str) -> Result<&str> {
        let text = self.text(name)?;
        match text.len() <= NAME_MAX {
            true => Ok(text),
            false => Err(Failure::bad_request(format!("`{name}` may have at most {NAME_MAX} bytes"))),
        }
    }

    /// An empty field counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|it| !it.is_empty())
    }

    pub fn parse<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>> {
        let wrong = |text: &str| Failure::bad_request(format!("`{name}` is `{}`, not {what}", short(text)));
        self.get(name).map(|text| text.trim().parse().map_err(|_| wrong(text))).transpose()
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>> {
        self.parse(name, "a whole number")
    }

    pub fn needed_number(&self, name: &str) -> Result<i64> {
        self.text(name)?;
        Ok(self.number(name)?.unwrap_or_default())
    }

    /// A boolean, parsed as Pydantic does: `true`, `1`, `yes`, `on`, and their opposites.
    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false" | "0" | "no" | "off" | "f" | "n") => Ok(false),
            Some("true" | "1" | "yes" | "on" | "t" | "y") => Ok(true),
            Some(other) => Err(Failure::bad_request(format!("`{name}` is `{}`, not true or false", short(other)))),
        }
    }

    /// A field that is a JSON object; `null` counts as absent.
    pub fn object(&self, name: &str) -> Result<Option<Map<String, Value>>> {
        let wrong = |_| Failure::bad_request(format!("`{name}` is not a JSON object"));
        let read = |text: &str| serde_json::from_slice::<Option<Map<String, Value>>>(&keep_digits(text.as_bytes()));
        let object = self.get(name).map(read).transpose().map_err(wrong)?.flatten();
        // JSON writes NUL as `\u0000`, so the text of the field does not contain it.
        match object.iter().flatten().any(|(key, value)| key.contains('\0') || has_nul(value)) {
            true => Err(Failure::bad_request(format!("`{name}` contains NUL"))),
            false => Ok(object),
        }
    }

    fn add(&mut self, name: String, value: String) -> Result<()> {
        self.size += name.len() + value.len();
        if self.size > FIELDS_MAX || self.values.len() >= COUNT_MAX {
            return Err(Failure::new(413, "the fields of the request are too large"));
        }
        if name.contains('\0') || value.contains('\0') {
            return Err(Failure::bad_request(format!("`{}` contains NUL", short(&name.replace('\0', "\u{fffd}")))));
        }
        self.values.insert(name, value);
        Ok(())
    }

    /// `a=1&b=x+y%20z`
    fn add_encoded(&mut self, text: &[u8]) -> Result<()> {
        for pair in text.split(|it| *it == b'&').filter(|it| !it.is_empty()) {
            let (name, value) = match pair.iter().position(|it| *it == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &pair[..0]),
            };
            self.add(decoded(name, true)?, decoded(value, true)?)?;
        }
        Ok(())
    }
}

/// The JSON parser limits the depth.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Percent-decoding. With `plus`, a `+` is a space, as in forms. Bytes that are not UTF-8 are refused;
/// `form_urlencoded` would replace them.
fn decoded(text: &[u8], plus: bool) -> Result<String> {
    let blanks: Vec<u8>;
    let text = match plus {
        true => {
            blanks = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
            &blanks
        }
        false => text,
    };
    let decoded = percent_decode(text).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| Failure::bad_request("a field of the request is not UTF-8"))
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The query of a request.
pub struct Queried(pub Fields);

impl FromRequestParts<App> for Queried {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Queried> {
        Ok(Queried(of_query(parts)?))
    }
}

fn of_query(parts: &Parts) -> Result<Fields> {
    let mut fields = Fields::default();
    fields.add_encoded(parts.uri.query().unwrap_or_default().as_bytes())?;
    Ok(fields)
}

/// The fields of a request's query and body: urlencoded, multipart, or none. The body takes precedence.
pub struct Sent(pub Fields);

impl FromRequest<App> for Sent {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Sent> {
        Ok(Sent(read(request, app, false).await?.0))
    }
}

/// The same, with a file in the part `file`.
pub struct UploadForm(pub Fields, pub Option<Upload>);

impl FromRequest<App> for UploadForm {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<UploadForm> {
        let (fields, upload) = read(request, app, true).await?;
        Ok(UploadForm(fields, upload))
    }
}

async fn read(request: Request, app: &App, takes_file: bool) -> Result<(Fields, Option<Upload>)> {
    let (parts, body) = request.into_parts();
    let mut fields = of_query(&parts)?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "multipart/form-data" => {
            let upload = multipart(Request::from_parts(parts, body), app, takes_file, &mut fields).await?;
            Ok((fields, upload))
        }
        "" | "application/x-www-form-urlencoded" | "application/octet-stream" => {
            let bytes = whole(body).await?;
            if !bytes.is_empty() && essence != "application/x-www-form-urlencoded" {
                return Err(Failure::new(415, "the body is not a form").hint("send multipart/form-data"));
            }
            let size = bytes.len();
            let decode = move || fields.add_encoded(&bytes).map(|()| (fields, None));
            // Work that takes milliseconds must not block the server's thread.
            if size > QUICK { app.blocking(move |_| decode()).await } else { decode() }
        }
        other => Err(Failure::new(415, format!("`{}` is not a form", short(other))).hint("send multipart/form-data")),
    }
}

async fn whole(body: Body) -> Result<Bytes> {
    let read = Limited::new(body, FIELDS_MAX).collect().await;
    read.map(|it| it.to_bytes()).map_err(|error| match is_too_long(&*error) {
        true => Failure::new(413, "the body of the request is too large"),
        false => Failure::bad_request("the request body ended early"),
    })
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

async fn multipart(request: Request, app: &App, takes_file: bool, fields: &mut Fields) -> Result<Option<Upload>> {
    let charge = request.extensions().get::<Arc<Charge>>().cloned();
    let mut parts = Multipart::from_request(request, app)
        .await
        .map_err(|error| Failure::new(error.status().as_u16(), error.body_text()))?;
    let (mut upload, keep) = (None, charge.filter(|_| takes_file));
    if let Some(charge) = &keep {
        charge.stream();
    }
    while let Some(part) = parts.next_field().await.map_err(wrong)? {
        let Some(name) = part.name().map(str::to_string) else { continue };
        if name == "file" && takes_file {
            upload = file(part, app).await?;
        } else {
            let value = text(part, keep.as_deref()).await?;
            fields.add(name, value)?;
        }
    }
    Ok(upload)
}

fn wrong(error: axum::extract::multipart::MultipartError) -> Failure {
    match error.status().as_u16() {
        _ if is_too_long(&error) => Failure::new(413, "the body of the request is larger than the setting `http.body`"),
        // A body that can't be read was not sent completely, or not as declared.
        500.. => Failure::bad_request("the request body ended early"),
        status => Failure::new(status, error.body_text()),
    }
}

async fn text(mut part: Field<'_>, keep: Option<&Charge>) -> Result<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(wrong)? {
        if bytes.len() + chunk.len() > FIELDS_MAX {
            return Err(Failure::new(413, "a field of the request is too large"));
        }
        if keep.is_some_and(|it| !it.keep(chunk.len())) {
            return Err(Failure::unavailable("too many large requests at once", 1));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Failure::bad_request("a field of the request is not UTF-8"))
}

/// None for an empty file field, as browsers send it.
async fn file(mut part: Field<'_>, app: &App) -> Result<Option<Upload>> {
    // Clients percent-encode the name.
    let file_name = part.file_name().map(|it| decoded(it.as_bytes(), false)).transpose()?;
    if file_name.as_ref().is_some_and(|it| it.contains('\0')) {
        return Err(Failure::bad_request("the name of the file contains NUL"));
    }
    let content_type = part.content_type().map(str::to_string);
    let mut incoming = app.blocking(|engine| upload::receive(engine.artifacts())).await?;
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        let chunk = part.chunk().await.map_err(wrong)?;
        let ended = chunk.is_none();
        piece.extend_from_slice(&chunk.unwrap_or_default());
        if (ended && !piece.is_empty()) || piece.len() >= PIECE {
            let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE));
            incoming = app.blocking(move |_| incoming.write(&full).map(|()| incoming)).await?;
        }
        if ended {
            break;
        }
    }
    if incoming.size() == 0 && file_name.as_deref().unwrap_or_default().is_empty() {
        return Ok(None);
    }
    Ok(Some(Upload { file_name, content_type, incoming }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        let mut fields = Fields::default();
        fields.add_encoded(text.as_bytes()).unwrap();
        fields
    }

    #[test]
    fn urlencoded_fields_are_read_as_python_writes_them() {
        let fields = fields("uri=a%26b%2Fc&source=x+y%20z&empty=&n=+7&flag=True&odd=100%&b&uri=last");
        assert_eq!(fields.get("uri"), Some("last"));
        assert_eq!(fields.get("source"), Some("x y z"));
        assert_eq!((fields.get("empty"), fields.get("b"), fields.get("missing")), (None, None, None));
        assert_eq!(fields.number("n"), Ok(Some(7)));
        assert_eq!(fields.get("odd"), Some("100%"));
        assert_eq!(fields.flag("flag"), Ok(true));
        assert_eq!(fields.text("empty").unwrap_err().status.as_u16(), 400);
    }

    #[test]
    fn what_is_no_number_or_flag_is_a_bad_request() {
        let fields = fields("n=seven&flag=perhaps");
        assert_eq!(fields.number("n").unwrap_err().message, "`n` is `seven`, not a whole number");
        assert_eq!(fields.flag("flag").unwrap_err().status.as_u16(), 400);
        assert!(Fields::default().add_encoded(b"x=%ff").is_err());
    }
}

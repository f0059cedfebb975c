//! Mail (RFC 5322 and MIME): subject, who and when, the text of the message, the names of what is attached.

mod transfer;

use super::html;
use crate::{
    ingest::{
        charset,
        parse::{ParseError, ParseOptions, check_size},
    },
    model::ParsedDocument,
};
use transfer::{base64, quoted_printable, words};

/// Multiparts inside each other; a forwarded mail of a forwarded mail adds two.
const DEPTH_MAX: usize = 20;
/// Parts of one message.
const PARTS_MAX: usize = 1000;

pub(super) fn read(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let message = Part::split(bytes);
    let mut reading = Reading { options, text: String::new(), attached: Vec::new(), parts: 0, warnings: Vec::new() };
    reading.take(&message, 0)?;
    let mut markdown = String::new();
    let subject = message.decoded("subject").filter(|it| !it.is_empty());
    if let Some(subject) = &subject {
        markdown.push_str(&format!("# {subject}\n\n"));
    }
    for (field, label) in [("from", "From"), ("to", "To"), ("cc", "Cc"), ("date", "Date")] {
        if let Some(value) = message.decoded(field).filter(|it| !it.is_empty()) {
            markdown.push_str(&format!("{label}: {value}\n"));
        }
    }
    if !reading.attached.is_empty() {
        markdown.push_str(&format!("Attached: {}\n", reading.attached.join(", ")));
        reading.warnings.push(format!("{} attachments were not read", reading.attached.len()));
    }
    markdown.push('\n');
    markdown.push_str(reading.text.trim());
    Ok(ParsedDocument { title: subject, markdown, warnings: reading.warnings, ..ParsedDocument::default() })
}

struct Reading<'a> {
    options: &'a ParseOptions,
    text: String,
    attached: Vec<String>,
    parts: usize,
    warnings: Vec<String>,
}

impl Reading<'_> {
    fn take(&mut self, part: &Part, depth: usize) -> Result<(), ParseError> {
        self.parts += 1;
        if depth > DEPTH_MAX {
            return Err(ParseError::TooDeep { what: format!("parts of the message, more than {DEPTH_MAX} times") });
        }
        if self.parts > PARTS_MAX {
            return Err(ParseError::TooLarge {
                what: "number of parts of the message".into(),
                size: self.parts as u64,
                limit: PARTS_MAX as u64,
            });
        }
        let kind = part.kind();
        if let Some(boundary) = part.parameter("content-type", "boundary").filter(|_| kind.starts_with("multipart/")) {
            let parts = part.parts(&boundary);
            if kind == "multipart/alternative" {
                return self.best(&parts, depth);
            }
            return parts.iter().try_for_each(|it| self.take(it, depth + 1));
        }
        if let Some(name) = part.file_name() {
            self.attached.push(name);
            return Ok(());
        }
        match kind.as_str() {
            "message/rfc822" => self.take(&Part::split(part.body), depth + 1),
            "text/html" => {
                let bytes = part.content();
                let declared = part.parameter("content-type", "charset");
                let text = match &declared {
                    Some(charset) => charset::decode(&bytes, Some(charset)),
                    None => charset::decode_html(&bytes),
                };
                let page = html::read(&text.text, self.options.max_text)?;
                self.push(&page.markdown)
            }
            "text/plain" | "" => {
                let bytes = part.content();
                let text = charset::decode(&bytes, part.parameter("content-type", "charset").as_deref());
                self.push(&escaped(&text.text))
            }
            other => {
                self.attached.push(other.to_string());
                Ok(())
            }
        }
    }

    /// Of the same text in several forms: the plain one, unless it is blank.
    fn best(&mut self, parts: &[Part], depth: usize) -> Result<(), ParseError> {
        let is_plain = |it: &&Part| it.kind() == "text/plain" && !it.content().iter().all(u8::is_ascii_whitespace);
        match parts.iter().find(is_plain).or(parts.last()) {
            Some(part) => self.take(part, depth + 1),
            None => Ok(()),
        }
    }

    fn push(&mut self, text: &str) -> Result<(), ParseError> {
        self.text.push_str(text.trim_end());
        self.text.push_str("\n\n");
        check_size("the text of the message", self.text.len() as u64, self.options.max_text as u64)
    }
}

/// Plain text in which no line looks like a heading or a fence.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if ["#", "```", "~~~"].iter().any(|it| line.starts_with(it)) {
            out.push('\\');
        }
        out.push_str(line);
    }
    out
}

/// A message or a part of one.
struct Part<'a> {
    /// Names in lower case, values unfolded.
    header: Vec<(String, String)>,
    body: &'a [u8],
}

impl<'a> Part<'a> {
    fn split(bytes: &'a [u8]) -> Part<'a> {
        let mut header: Vec<(String, String)> = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|it| *it == b'\n').map_or(rest.len(), |it| it + 1);
            let line = String::from_utf8_lossy(&rest[..end]);
            rest = &rest[end..];
            if line.trim().is_empty() {
                break;
            }
            match (line.starts_with([' ', '\t']), header.last_mut(), line.split_once(':')) {
                (true, Some((_, value)), _) => {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                (_, _, Some((name, value))) => {
                    header.push((name.trim().to_ascii_lowercase(), value.trim().to_string()))
                }
                // Such as the `From ` line of a mailbox.
                _ => (),
            }
        }
        Part { header, body: rest }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.header.iter().find(|it| it.0 == name).map(|it| it.1.as_str())
    }

    fn decoded(&self, name: &str) -> Option<String> {
        Some(words(self.field(name)?).split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn kind(&self) -> String {
        let value = self.field("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// A parameter such as `boundary="x"`; the encoded form `name*=utf-8''x` too.
    fn parameter(&self, field: &str, wanted: &str) -> Option<String> {
        self.field(field)?.split(';').skip(1).find_map(|it| {
            let (name, value) = it.split_once('=')?;
            let name = name.trim().trim_end_matches('*');
            let value = value.trim().trim_matches('"');
            let value = value.split_once("''").map_or(value, |it| it.1);
            name.eq_ignore_ascii_case(wanted).then(|| value.to_string())
        })
    }

    fn file_name(&self) -> Option<String> {
        let name = self.parameter("content-disposition", "filename").or_else(|| self.parameter("content-type", "name"));
        let is_attached =
            self.field("content-disposition").is_some_and(|it| it.to_ascii_lowercase().starts_with("attachment"));
        match name {
            Some(name) => Some(words(&name)),
            None => is_attached.then(|| self.kind()),
        }
    }

    fn content(&self) -> Vec<u8> {
        match self.field("content-transfer-encoding").unwrap_or_default().to_ascii_lowercase().as_str() {
            "base64" => base64(self.body),
            "quoted-printable" => quoted_printable(self.body),
            _ => self.body.to_vec(),
        }
    }

    /// The parts between lines of the boundary.
    fn parts(&self, boundary: &str) -> Vec<Part<'a>> {
        let mark = format!("--{boundary}");
        let (mut parts, mut start, mut at) = (Vec::new(), None, 0);
        for line in self.body.split_inclusive(|it| *it == b'\n') {
            if line.starts_with(mark.as_bytes()) && parts.len() < PARTS_MAX {
                if let Some(start) = start {
                    parts.push(Part::split(&self.body[start..at]));
                }
                let is_last = line[mark.len()..].starts_with(b"--");
                start = (!is_last).then_some(at + line.len());
            }
            at += line.len();
        }
        parts.extend(start.map(|it| Part::split(&self.body[it..])));
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_with_who_when_and_what() {
        let mail = "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: ann@example.org\r\nSubject: =?utf-8?B?V2luY2gg?=\r\n =?utf-8?B?w7ZsZW4=?=\r\n\
            Date: Mon, 2 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b 1\"\r\n\r\npreamble\r\n--b 1\r\n\
            Content-Type: multipart/alternative; boundary=in\r\n\r\n--in\r\nContent-Type: text/plain; charset=koi8-r\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\n# grease=\r\n the =C3=CF=C2=C1=CB=C1\r\n--in\r\nContent-Type: text/html\r\n\r\n<p>grease</p>\r\n--in--\r\n\
            --b 1\r\nContent-Type: application/pdf; name=\"card.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b 1--\r\n";
        let document = read(mail.as_bytes(), &ParseOptions::default()).unwrap();
        assert_eq!(document.title.as_deref(), Some("Winch ölen"));
        assert_eq!(
            document.markdown,
            "# Winch ölen\n\nFrom: Jürgen <j@example.org>\nTo: ann@example.org\nDate: Mon, 2 Nov 2026 10:00:00 +0100\nAttached: card.pdf\n\n\\# grease the цобака"
        );
        assert_eq!(document.warnings, ["1 attachments were not read"]);
    }

    #[test]
    fn messages_inside_messages_end_somewhere() {
        let mail = "Content-Type: message/rfc822\n\n".repeat(1000) + "text";
        assert_eq!(read(mail.as_bytes(), &ParseOptions::default()).unwrap_err().code(), "too_deep");
        let html = "Subject: x\nContent-Type: text/html\n\n<h1>Hello</h1><p>there";
        assert_eq!(read(html.as_bytes(), &ParseOptions::default()).unwrap().markdown, "# x\n\n\n# Hello\n\nthere");
    }
}

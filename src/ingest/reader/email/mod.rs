//! Mail (RFC 5322 and MIME): subject, addresses, date, the text of the message, the names of attachments.
//!
//! `mail-parser` reads header fields: encoded words, addresses, parameters. The walk over the parts is our own, because
//! it limits their depth, their number and the time that hostile ones take.

mod transfer;

use super::html;
use crate::{
    ingest::{
        charset,
        parse_error::{ParseError, check_size},
        parse_options::ParseOptions,
    },
    model::ParsedDocument,
};
use mail_parser::{Addr, Address, Group, HeaderName, HeaderValue, Message, MessageParser, MimeHeaders};
use std::borrow::Cow;
use transfer::{base64, quoted_printable};

/// The maximum nesting of multiparts. Each level of forwarding adds two.
const DEPTH_MAX: usize = 20;
/// The maximum number of parts of one message.
const PARTS_MAX: usize = 1000;
/// How much of a part's header is read, in bytes.
const HEADER_MAX: usize = 256 << 10;

pub(super) fn read(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let fields = fields();
    let message = Part::split(bytes, &fields);
    let mut reading =
        Reading { options, fields: &fields, text: String::new(), attached: Vec::new(), parts: 0, warnings: Vec::new() };
    reading.take(&message, 0)?;
    let mut markdown = String::new();
    let subject = message.field(HeaderName::Subject);
    if let Some(subject) = &subject {
        markdown.push_str(&format!("# {subject}\n\n"));
    }
    for (name, label) in SHOWN {
        if let Some(value) = message.field(name) {
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

/// Fields that are written above the text.
const SHOWN: [(HeaderName<'static>, &str); 4] =
    [(HeaderName::From, "From"), (HeaderName::To, "To"), (HeaderName::Cc, "Cc"), (HeaderName::Date, "Date")];

/// The fields that matter, and how to read each. The date stays as its sender wrote it.
fn fields() -> MessageParser {
    MessageParser::new()
        .with_mime_headers()
        .header_text(HeaderName::Subject)
        .header_text(HeaderName::Date)
        .header_address(HeaderName::From)
        .header_address(HeaderName::To)
        .header_address(HeaderName::Cc)
        .default_header_ignore()
}

struct Reading<'a> {
    options: &'a ParseOptions,
    fields: &'a MessageParser,
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
        if let Some(boundary) = part.parameter("boundary").filter(|_| kind.starts_with("multipart/")) {
            let parts = part.parts(boundary, self.fields);
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
            "message/rfc822" => self.take(&Part::split(&part.content(), self.fields), depth + 1),
            "text/html" => {
                let bytes = part.content();
                let text = match part.parameter("charset") {
                    Some(charset) => charset::decode(&bytes, Some(charset)),
                    None => charset::decode_html(&bytes),
                };
                let page = html::read(&text.text, self.options.max_text)?;
                self.push(&page.markdown)
            }
            "text/plain" | "" => {
                let bytes = part.content();
                let text = charset::decode(&bytes, part.parameter("charset"));
                self.push(&escaped(&text.text))
            }
            other => {
                self.attached.push(other.to_string());
                Ok(())
            }
        }
    }

    /// If the text is there in several forms, uses the plain one, unless it is blank.
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

/// Plain text, escaped so that no line looks like a heading or a fence.
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
    header: Option<Message<'static>>,
    body: &'a [u8],
}

impl<'a> Part<'a> {
    fn split(bytes: &'a [u8], fields: &MessageParser) -> Part<'a> {
        let mut end = 0;
        for line in bytes.split_inclusive(|it| *it == b'\n') {
            end += line.len();
            if line.trim_ascii().is_empty() {
                break;
            }
        }
        // The library reads a field only up to the end of its line.
        let header = [&bytes[..end.min(HEADER_MAX)], b"\n"].concat();
        Part { header: fields.parse_headers(&header).map(Message::into_owned), body: &bytes[end..] }
    }

    /// A field for people, on one line; `None` if it is blank.
    fn field(&self, name: HeaderName<'static>) -> Option<String> {
        let text = match self.header.as_ref()?.header(name)? {
            HeaderValue::Text(text) => text.to_string(),
            HeaderValue::Address(addresses) => people(addresses),
            _ => return None,
        };
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(line).filter(|it| !it.is_empty())
    }

    /// The content type, such as `text/plain`, in lower case; empty if there is none.
    fn kind(&self) -> String {
        let Some(kind) = self.header.as_ref().and_then(|it| it.content_type()) else { return String::new() };
        match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_string(),
        }
    }

    /// A parameter of the content type.
    fn parameter(&self, name: &str) -> Option<&str> {
        self.header.as_ref()?.content_type()?.attribute(name)
    }

    fn file_name(&self) -> Option<String> {
        let header = self.header.as_ref()?;
        let is_attached = header.content_disposition().is_some_and(|it| it.is_attachment());
        match header.attachment_name() {
            Some(name) => Some(name.to_string()),
            None => is_attached.then(|| self.kind()),
        }
    }

    fn content(&self) -> Cow<'a, [u8]> {
        let encoding = self.header.as_ref().and_then(|it| it.content_transfer_encoding()).unwrap_or_default();
        match encoding.to_ascii_lowercase().as_str() {
            "base64" => base64(self.body).into(),
            "quoted-printable" => quoted_printable(self.body).into(),
            _ => self.body.into(),
        }
    }

    /// The parts between the boundary lines.
    fn parts(&self, boundary: &str, fields: &MessageParser) -> Vec<Part<'a>> {
        let mark = format!("--{boundary}");
        let (mut parts, mut start, mut at) = (Vec::new(), None, 0);
        for line in self.body.split_inclusive(|it| *it == b'\n') {
            if line.starts_with(mark.as_bytes()) && parts.len() < PARTS_MAX {
                if let Some(start) = start {
                    parts.push(Part::split(&self.body[start..at], fields));
                }
                let is_last = line[mark.len()..].starts_with(b"--");
                start = (!is_last).then_some(at + line.len());
            }
            at += line.len();
        }
        parts.extend(start.map(|it| Part::split(&self.body[it..], fields)));
        parts
    }
}

/// `Ann <ann@example.org>, crew: bo@example.org`
fn people(addresses: &Address) -> String {
    let list = |list: &[Addr]| list.iter().map(person).collect::<Vec<_>>().join(", ");
    match addresses {
        Address::List(all) => list(all),
        Address::Group(groups) => {
            let group = |it: &Group| match it.name.as_deref() {
                Some(name) => format!("{name}: {}", list(&it.addresses)),
                None => list(&it.addresses),
            };
            groups.iter().map(group).collect::<Vec<_>>().join(", ")
        }
    }
}

fn person(person: &Addr) -> String {
    match (person.name(), person.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (name, address) => name.or(address).unwrap_or_default().to_string(),
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

    fn with_attachment(disposition: &str) -> String {
        let mail = format!(
            "Subject: x\nContent-Type: multipart/mixed; charset=\"a;b\"; boundary=\"b;1\"\n\n--b;1\n\nwords\n--b;1\n\
             Content-Type: application/pdf\nContent-Disposition: {disposition}\n\nAAAA\n--b;1--\n"
        );
        read(mail.as_bytes(), &ParseOptions::default()).unwrap().markdown
    }

    #[test]
    fn a_semicolon_inside_quotes_parts_no_parameters() {
        let read = with_attachment("attachment; filename=\"parts; all of them.pdf\"");
        assert_eq!(read, "# x\n\nAttached: parts; all of them.pdf\n\nwords");
    }

    #[test]
    fn names_of_attachments_are_decoded_also_where_they_come_in_pieces() {
        let read = with_attachment("attachment; filename*=utf-8''Stra%C3%9Fe%20%26%20Weg.pdf");
        assert_eq!(read, "# x\n\nAttached: Straße & Weg.pdf\n\nwords");
        let read = with_attachment(
            "attachment; filename*0*=iso-8859-1''Gr%FC%DFe;\n filename*1=\" aus Ulm\"; filename*2=.pdf",
        );
        assert_eq!(read, "# x\n\nAttached: Grüße aus Ulm.pdf\n\nwords");
    }

    #[test]
    fn people_are_shown_by_name_and_address() {
        let mail = "From: \"=?utf-8?q?J=C3=BCrgen?=\" <j@example.org>\nTo: \"Ann, of Ulm\" <ann@example.org>,\n bo@example.org\n\
            Cc: crew: cy@example.org, Di <di@example.org>;\n\nwords";
        let document = read(mail.as_bytes(), &ParseOptions::default()).unwrap();
        assert_eq!(
            document.markdown,
            "From: Jürgen <j@example.org>\nTo: Ann, of Ulm <ann@example.org>, bo@example.org\n\
             Cc: crew: cy@example.org, Di <di@example.org>\n\nwords"
        );
    }

    #[test]
    fn a_header_that_is_cut_keeps_its_beginning() {
        let long = format!("From: a@example.org\nSubject: winch{}\n\nwords", " winch".repeat(HEADER_MAX));
        let document = read(long.as_bytes(), &ParseOptions::default()).unwrap();
        assert!(document.title.unwrap().starts_with("winch winch") && document.markdown.ends_with("words"));
        assert_eq!(read(b"Subject: winch", &ParseOptions::default()).unwrap().title.as_deref(), Some("winch"));
    }

    #[test]
    fn hostile_headers_take_little_time() {
        let begun = std::time::Instant::now();
        for piece in
            ["=?", "=?utf-8?q?", "=?utf-8?b?YQ", "\"", "(", "<", "a,", "a;b*=c'd'e;", "b*0*=c'd'e;", ";x=\"", ":"]
        {
            for name in ["Subject", "From", "Content-Type", "Content-Disposition"] {
                let mail = format!("{name}: {}\n\nwords", piece.repeat((4 << 20) / piece.len()));
                drop(read(mail.as_bytes(), &ParseOptions::default()));
            }
        }
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    }

    #[test]
    fn messages_inside_messages_end_somewhere() {
        let mail = "Content-Type: message/rfc822\n\n".repeat(1000) + "text";
        assert_eq!(read(mail.as_bytes(), &ParseOptions::default()).unwrap_err().code(), "too_deep");
        let html = "Subject: x\nContent-Type: text/html\n\n<h1>Hello</h1><p>there";
        assert_eq!(read(html.as_bytes(), &ParseOptions::default()).unwrap().markdown, "# x\n\n\n# Hello\n\nthere");
    }
}

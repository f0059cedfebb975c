//! Recognises formats by the first words of a text.

/// Media types that are also used elsewhere.
pub(super) const HTML: &str = "text/html";
pub(super) const MARKDOWN: &str = "text/markdown";
pub(super) const PLAIN: &str = "text/plain";
pub(super) const SOURCE: &str = "text/x-source";

/// The beginning of a text.
pub struct Words<'a> {
    /// In lower case, without byte order mark, leading blanks and comments.
    pub text: &'a str,
    /// The last non-blank byte of the whole content.
    pub last: Option<u8>,
    /// The media type that the name implies.
    pub named: Option<&'static str>,
}

pub(super) fn is_page(words: &Words) -> bool {
    const STARTS: &[&str] = &["<!doctype html", "<html", "<head", "<body", "<title"];
    let is_xhtml = || is_xml(words) && (words.text.contains("<html") || words.text.contains("<!doctype html"));
    STARTS.iter().any(|it| words.text.starts_with(it)) || is_xhtml()
}

pub(super) fn is_xml(words: &Words) -> bool {
    words.text.starts_with("<?xml")
}

/// Whether the text begins with at least three header fields of a mail before an empty line, one of which names a
/// sender or a path.
pub(super) fn is_message(words: &Words) -> bool {
    const FIELDS: &str = "from: to: subject: date: message-id: mime-version: received: return-path: delivered-to: cc: \
        content-type: dkim-signature:";
    if matches!(words.named, Some(SOURCE | HTML | MARKDOWN)) {
        return false;
    }
    let header: Vec<&str> = words.text.lines().take_while(|line| !line.trim().is_empty()).collect();
    let found = header.iter().filter(|line| FIELDS.split_whitespace().any(|field| line.starts_with(field))).count();
    let first = header.first().is_some_and(|line| line.starts_with("from ") || is_field(line));
    let says_from = |line: &&str| ["from:", "received:", "return-path:"].iter().any(|field| line.starts_with(field));
    found >= 3 && first && header.iter().any(says_from)
}

fn is_field(line: &str) -> bool {
    line.split_once(':').is_some_and(|it| !it.0.is_empty() && it.0.bytes().all(|byte| byte.is_ascii_graphic()))
}

pub(super) fn is_json(words: &Words) -> bool {
    let framed =
        matches!((words.text.as_bytes().first(), words.last), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')));
    matches!(words.named, None | Some(PLAIN)) && framed && words.text.contains("\":")
}

pub(super) fn is_json_lines(words: &Words) -> bool {
    let is_object = |line: &&str| line.starts_with('{') && line.ends_with('}');
    is_json(words) && words.text.lines().take(3).filter(is_object).count() >= 2
}

/// Whether the name implies no type. Text without any sign is plain.
pub(super) fn is_unnamed(words: &Words) -> bool {
    words.named.is_none()
}

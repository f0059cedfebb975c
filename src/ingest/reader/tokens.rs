//! A flat stream of HTML or XML tokens in one pass over the text. It follows the tokenizer of the HTML standard as far
//! as text extraction needs it. It never looks back, so its time is linear for any input.

use std::borrow::Cow;

#[derive(Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// Text as written, with references not yet decoded.
    Text(&'a str),
    /// Text without references.
    Literal(&'a str),
    Open(Tag<'a>),
    Close(String),
}

/// A start tag. The attributes are the raw text between the name and `>`.
#[derive(Debug, PartialEq)]
pub(super) struct Tag<'a> {
    /// In lower case.
    pub name: String,
    attributes: &'a str,
    /// The content of an element that contains plain text, such as `title` or `script`.
    pub raw: Option<&'a str>,
}

/// Elements that contain plain text up to their end tag.
const RAW: &[&str] = &["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"];

/// No relevant name is longer. Longer ones are cut, so that names stay cheap.
const NAME_MAX: usize = 32;

pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
    is_xml: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn html(text: &'a str) -> Tokens<'a> {
        Tokens { text, at: 0, is_xml: false }
    }

    /// XML by the same rules: names are in lower case with their prefix, and no element contains plain text. Malformed
    /// XML is read as far as possible. Entities that a document declares are not expanded.
    pub(super) fn xml(text: &'a str) -> Tokens<'a> {
        Tokens { text, at: 0, is_xml: true }
    }

    /// Moves past the next `needle`, or to the end if there is none, and returns the text before it.
    fn until(&mut self, needle: &str) -> &'a str {
        let rest = &self.text[self.at..];
        let (text, skip) = match rest.find(needle) {
            Some(found) => (&rest[..found], found + needle.len()),
            None => (rest, rest.len()),
        };
        self.at += skip;
        text
    }

    /// `at` is on `<`. Returns `None` if this `<` opens nothing and is text.
    fn markup(&mut self) -> Option<Option<Token<'a>>> {
        let rest = &self.text[self.at + 1..];
        match rest.as_bytes().first()? {
            b'!' | b'?' => {
                self.at += 1;
                if rest.starts_with("!--") {
                    self.at += "!".len();
                    self.until("-->");
                } else if rest.starts_with("![CDATA[") && self.is_xml {
                    self.at += "![CDATA[".len();
                    return Some(Some(Token::Literal(self.until("]]>"))));
                } else {
                    self.until(">");
                }
                Some(None)
            }
            b'/' => {
                if !rest.as_bytes().get(1)?.is_ascii_alphabetic() {
                    return None;
                }
                self.at += 2;
                let inside = self.until(">");
                Some(Some(Token::Close(name_of(inside).0)))
            }
            first if first.is_ascii_alphabetic() => {
                self.at += 1;
                let (name, length) = name_of(&self.text[self.at..]);
                self.at += length;
                let attributes = self.attributes();
                let raw = (!self.is_xml && RAW.contains(&name.as_str())).then(|| self.raw(&name));
                Some(Some(Token::Open(Tag { name, attributes, raw })))
            }
            _ => None,
        }
    }

    /// Moves past the `>` that ends the tag. A `>` inside quotes does not count.
    fn attributes(&mut self) -> &'a str {
        let start = self.at;
        let mut quote = None;
        let mut before = b' ';
        for (index, byte) in self.text.as_bytes()[start..].iter().enumerate() {
            match quote {
                Some(open) if open == *byte => quote = None,
                Some(_) => (),
                None if *byte == b'>' => {
                    self.at = start + index + 1;
                    return &self.text[start..start + index];
                }
                None if matches!(byte, b'"' | b'\'') && before == b'=' => quote = Some(*byte),
                None => (),
            }
            if !byte.is_ascii_whitespace() {
                before = *byte;
            }
        }
        self.at = self.text.len();
        &self.text[start..]
    }

    /// Returns the text up to the end tag of `name`, and leaves the end tag in the stream.
    fn raw(&mut self, name: &str) -> &'a str {
        let start = self.at;
        loop {
            let rest = &self.text[self.at..];
            let Some(found) = rest.find("</") else {
                self.at = self.text.len();
                return &self.text[start..];
            };
            let end = self.at + found;
            if name_of(&self.text[end + 2..]).0 == name {
                self.at = end;
                return &self.text[start..end];
            }
            self.at = end + 2;
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let start = self.at;
        let mut search = start;
        loop {
            let Some(found) = self.text[search..].find('<') else {
                self.at = self.text.len();
                return (start < self.at).then(|| Token::Text(&self.text[start..]));
            };
            let open = search + found;
            if open > start {
                // If this is markup, return the text before it first.
                self.at = open;
                match self.opens_markup() {
                    true => return Some(Token::Text(&self.text[start..open])),
                    false => search = open + 1,
                }
                continue;
            }
            self.at = open;
            match self.markup() {
                Some(Some(token)) => return Some(token),
                Some(None) => return self.next_flat(),
                None => search = open + 1,
            }
        }
    }
}

impl<'a> Tokens<'a> {
    fn opens_markup(&self) -> bool {
        match &self.text.as_bytes()[self.at + 1..] {
            [b'!' | b'?', ..] => true,
            [b'/', next, ..] => next.is_ascii_alphabetic(),
            [first, ..] => first.is_ascii_alphabetic(),
            [] => false,
        }
    }

    /// The token after a comment. Returns empty text for the comment, so that a million comments don't need a million
    /// stack frames.
    fn next_flat(&mut self) -> Option<Token<'a>> {
        Some(Token::Text(""))
    }
}

fn name_of(text: &str) -> (String, usize) {
    let length =
        text.bytes().position(|it| it.is_ascii_whitespace() || matches!(it, b'/' | b'>')).unwrap_or(text.len());
    let mut end = length.min(NAME_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (text[..end].to_ascii_lowercase(), length)
}

impl<'a> Tag<'a> {
    /// The decoded value of the attribute; empty if it has no value.
    pub(super) fn attribute(&self, wanted: &str) -> Option<Cow<'a, str>> {
        let mut rest = self.attributes;
        loop {
            rest = rest.trim_start_matches(|it: char| it.is_ascii_whitespace() || it == '/');
            if rest.is_empty() {
                return None;
            }
            let end = rest
                .char_indices()
                .skip(1)
                .find(|(_, it)| it.is_ascii_whitespace() || matches!(it, '=' | '/'))
                .map_or(rest.len(), |it| it.0);
            let name = &rest[..end];
            rest = rest[end..].trim_start_matches(|it: char| it.is_ascii_whitespace());
            let mut value = "";
            if let Some(after) = rest.strip_prefix('=') {
                (value, rest) = value_of(after.trim_start_matches(|it: char| it.is_ascii_whitespace()));
            }
            if name.eq_ignore_ascii_case(wanted) {
                // Here `&copy=1` is part of an address.
                return Some(htmlize::unescape_attribute(value));
            }
        }
    }

    pub(super) fn is_self_closing(&self) -> bool {
        self.attributes.ends_with('/')
    }
}

fn value_of(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(inside) = text.strip_prefix(quote) {
            return inside.split_once(quote).unwrap_or((inside, ""));
        }
    }
    text.split_at(text.find(|it: char| it.is_ascii_whitespace()).unwrap_or(text.len()))
}

/// Replaces character references as browsers do, and leaves everything else unchanged.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    htmlize::unescape(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(html: &str) -> Vec<String> {
        Tokens::html(html)
            .filter_map(|it| match it {
                Token::Text("") => None,
                Token::Text(text) => Some(text.to_string()),
                Token::Open(tag) => {
                    Some(format!("<{}{}", tag.name, tag.raw.map(|it| format!("={it}")).unwrap_or_default()))
                }
                Token::Close(name) => Some(format!("/{name}")),
                Token::Literal(text) => Some(format!("[{text}]")),
            })
            .collect()
    }

    #[test]
    fn xml_has_literal_text_and_no_raw_elements() {
        let html = "<Title>a<b/></Title><![CDATA[<x>&amp;]]>";
        let found: Vec<Token> = Tokens::xml(html).collect();
        assert!(matches!(&found[0], Token::Open(tag) if tag.name == "title" && tag.raw.is_none()));
        assert!(matches!(&found[2], Token::Open(tag) if tag.is_self_closing()));
        assert_eq!(found.last(), Some(&Token::Literal("<x>&amp;")));
    }

    #[test]
    fn tags_text_and_comments_are_told_apart() {
        assert_eq!(names("a<B x='>'>b</b >c"), ["a", "<b", "b", "/b", "c"]);
        assert_eq!(names("1 < 2 <!-- <p> -->&amp;<?x?>."), ["1 < 2 ", "&amp;", "."]);
        assert_eq!(names("<script>if (a</b>1) </SCRIPT>x"), ["<script=if (a</b>1) ", "/script", "x"]);
        assert_eq!(names("<!doctype html>a<"), ["a<"]);
        assert_eq!(names("x <a href='never closed"), ["x ", "<a"]);
    }

    #[test]
    fn attributes_are_found_in_any_dress() {
        let html = "<a CLASS=\"x y\" hidden id=z href='a&amp;b' data-x = 1 />";
        let Some(Token::Open(tag)) = Tokens::html(html).next() else { panic!("no tag") };
        for (name, value) in [("class", "x y"), ("hidden", ""), ("id", "z"), ("href", "a&b"), ("data-x", "1")] {
            assert_eq!(tag.attribute(name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(tag.attribute("nosuch"), None);
        let Some(Token::Open(link)) = Tokens::html("<a href='?a=1&copy=2&amp;b=&jcy;'>").next() else {
            panic!("no tag")
        };
        assert_eq!(link.attribute("href").as_deref(), Some("?a=1&copy=2&b=й"));
        assert!(tag.is_self_closing());
    }

    #[test]
    fn references_are_decoded_as_browsers_do() {
        assert_eq!(decode("a &lt;b&gt; &amp;amp; &#x263A;&#8212;&#150; &nbsp"), "a <b> &amp; ☺—– \u{a0}");
        assert_eq!(decode("R&D &nosuch; &#xD800; &;&"), "R&D &nosuch; \u{fffd} &;&");
        assert_eq!(decode("&CounterClockwiseContourIntegral;&jcy;&NotEqualTilde;&eacute &notit;"), "∳й≂̸é ¬it;");
        let long = "&".repeat(1000);
        assert_eq!(decode(&long), long);
    }
}

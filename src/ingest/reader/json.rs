//! JSON as lines of `path: value`, written while parsing. No tree is built, so memory is proportional to the text.

use super::{plain, writer::fence_for};
use crate::{
    ingest::{
        parse_error::{ParseError, check_size},
        parse_options::ParseOptions,
    },
    model::ParsedDocument,
};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// In bytes; a longer string gets its own lines.
const SHORT: usize = 400;

pub(super) fn read(text: &str, options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let mut lines = Lines { limit: options.max_text, ..Lines::default() };
    let mut json = serde_json::Deserializer::from_str(text);
    let result = Node(&mut lines).deserialize(&mut json).and_then(|()| json.end());
    settle(result, lines, text)
}

/// Reads one JSON value per line. An invalid line is kept unchanged.
pub(super) fn read_lines(text: &str, options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let mut document = ParsedDocument::default();
    let mut broken = 0;
    for line in text.lines().filter(|it| !it.trim().is_empty()) {
        let one = read(line, options)?;
        broken += usize::from(!one.warnings.is_empty());
        document.markdown.push_str(one.markdown.trim_end());
        document.markdown.push_str("\n\n");
        check_size("the text of the JSON", document.markdown.len() as u64, options.max_text as u64)?;
    }
    if broken > 0 {
        document.warnings.push(format!("{broken} lines are not JSON and were read as text"));
    }
    Ok(document)
}

fn settle(result: serde_json::Result<()>, lines: Lines, text: &str) -> Result<ParsedDocument, ParseError> {
    let document = |markdown, warnings| ParsedDocument { markdown, warnings, ..ParsedDocument::default() };
    if let Some((what, size, limit)) = lines.too_large {
        return Err(ParseError::TooLarge { what: what.into(), size: size as u64, limit: limit as u64 });
    }
    match result {
        Ok(()) => Ok(document(lines.out, Vec::new())),
        Err(error) if error.to_string().starts_with("recursion limit") => {
            Err(ParseError::TooDeep { what: "JSON values, more than 128 times".into() })
        }
        // An invalid file that can be found is better than none.
        Err(_) if text.trim().is_empty() => Ok(plain::read("")),
        Err(error) => {
            let fence = fence_for(text);
            Ok(document(
                format!("{fence}\n{}\n{fence}\n", text.trim_end()),
                vec![format!("not well-formed JSON ({error}): read as text")],
            ))
        }
    }
}

/// A longer path of keys is useless for finding a value, in bytes.
const LONGEST_PATH: usize = 4096;

#[derive(Default)]
struct Lines {
    out: String,
    path: String,
    limit: usize,
    /// The part that was too large, its size, and the limit.
    too_large: Option<(&'static str, usize, usize)>,
}

impl Lines {
    fn value<E: serde::de::Error>(&mut self, value: &str) -> Result<(), E> {
        if value.trim().is_empty() {
            return Ok(());
        }
        if !self.path.is_empty() {
            self.out.push_str(self.path.trim_start_matches('.'));
            self.out.push_str(": ");
        }
        if value.len() <= SHORT {
            value.split_whitespace().for_each(|word| {
                self.out.push_str(word);
                self.out.push(' ');
            });
        } else {
            self.out.push_str("\n\n");
            for line in value.lines() {
                self.out.push_str(if line.starts_with(['#', '`', '~']) { "\\" } else { "" });
                self.out.push_str(line);
                self.out.push('\n');
            }
        }
        self.out.push('\n');
        match self.out.len() > self.limit {
            true => Err(self.refuse("the text of the JSON", self.out.len(), self.limit)),
            false => Ok(()),
        }
    }

    fn refuse<E: serde::de::Error>(&mut self, what: &'static str, size: usize, limit: usize) -> E {
        self.too_large = Some((what, size, limit));
        E::custom(what)
    }
}

struct Node<'a>(&'a mut Lines);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.0.value(if value { "true" } else { "false" })
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.0.value(&value.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.0.value(&value.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.0.value(&value.to_string())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.0.value(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let lines = self.0;
        let length = lines.path.len();
        // Items of an outer list become passages of their own.
        let parted = lines.path.matches(['.', '[']).count() <= 1;
        for index in 0.. {
            lines.path.push_str(&format!("[{index}]"));
            let more = items.next_element_seed(Node(lines))?;
            lines.path.truncate(length);
            if more.is_none() {
                break;
            }
            if parted && !lines.out.ends_with("\n\n") {
                lines.out.push('\n');
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let lines = self.0;
        let length = lines.path.len();
        while let Some(key) = fields.next_key::<String>()? {
            let long = length + key.len();
            if long > LONGEST_PATH {
                return Err(lines.refuse("a path of keys in the JSON", long, LONGEST_PATH));
            }
            lines.path.push('.');
            lines.path.extend(key.split_whitespace());
            fields.next_value_seed(Node(lines))?;
            lines.path.truncate(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_below_their_paths() {
        let document = read(
            r#"{"name": "winch", "parts": [{"id": 1, "of": ["drum", null]}, {"id": 2.5}], "ok": true}"#,
            &ParseOptions::default(),
        );
        let expected = "name: winch \nparts[0].id: 1 \nparts[0].of[0]: drum \n\nparts[1].id: 2.5 \n\nok: true \n";
        assert_eq!(document.unwrap().markdown, expected);
    }

    #[test]
    fn broken_json_is_read_as_text_and_deep_json_is_refused() {
        let document = read("{\"a\": winch}", &ParseOptions::default()).unwrap();
        assert!(document.markdown.contains("winch") && document.warnings[0].contains("not well-formed JSON"));
        let deep = "[".repeat(100_000);
        assert_eq!(read(&deep, &ParseOptions::default()).unwrap_err().code(), "too_deep");
        let large = format!("[{}1]", "1,".repeat(1000));
        let options = ParseOptions { max_text: 100, ..ParseOptions::default() };
        let refused = read(&large, &options).unwrap_err();
        assert_eq!(refused.code(), "too_large");
        let said = refused.to_string();
        assert!(said.contains("the text of the JSON is 10") && said.contains("the limit is 100"), "{said}");
        let long_key = format!("{{\"{}\": 1}}", "k".repeat(5000));
        let said = read(&long_key, &ParseOptions::default()).unwrap_err().to_string();
        assert!(said.contains("a path of keys in the JSON is 5000 bytes, the limit is 4096"), "{said}");
    }

    #[test]
    fn each_line_of_json_lines_is_a_paragraph() {
        let document = read_lines("{\"a\":1}\n\nbroken\n{\"a\":2}\n", &ParseOptions::default()).unwrap();
        assert_eq!(document.markdown, "a: 1\n\n```\nbroken\n```\n\na: 2\n\n");
        assert_eq!(document.warnings, ["1 lines are not JSON and were read as text"]);
    }
}

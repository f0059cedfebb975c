//! Source code and configuration: one code block, marked with its language.

use super::writer::fence_for;
use crate::model::ParsedDocument;
use std::path::Path;

pub(super) fn read(text: &str, name: &str) -> ParsedDocument {
    let text = text.trim_end();
    if text.is_empty() {
        return ParsedDocument::default();
    }
    let path = Path::new(name);
    let language = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let language: String = language.chars().filter(char::is_ascii_alphanumeric).collect();
    let fence = fence_for(text);
    let title = path.file_name().map(|it| it.to_string_lossy().into_owned());
    ParsedDocument { title, markdown: format!("{fence}{language}\n{text}\n{fence}\n"), ..ParsedDocument::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_fenced_with_its_language() {
        let document = read("fn main() {}\n\n", "src/main.rs");
        assert_eq!(document.markdown, "```rs\nfn main() {}\n```\n");
        assert_eq!(document.title.as_deref(), Some("main.rs"));
        assert_eq!(read(" \n", "a.py").markdown, "");
    }
}

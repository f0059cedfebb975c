//! Markdown, unchanged except for front matter and underlined (setext) headings.

use crate::model::ParsedDocument;

pub(super) fn read(text: &str) -> ParsedDocument {
    let (matter, body) = front_matter(text);
    ParsedDocument { title: matter.and_then(title), markdown: atx(body), ..ParsedDocument::default() }
}

/// The YAML between `---` lines at the very start, and the rest of the text.
fn front_matter(text: &str) -> (Option<&str>, &str) {
    let inside = text.strip_prefix("---\n");
    let parts = inside.and_then(|it| it.split_once("\n---\n"));
    match parts {
        Some((matter, body)) if matter.lines().all(is_matter) => (Some(matter), body),
        _ => (None, text),
    }
}

fn is_matter(line: &str) -> bool {
    line.is_empty() || line.contains(':') || line.starts_with([' ', '\t', '-', '#'])
}

fn title(matter: &str) -> Option<String> {
    let value = matter.lines().find_map(|it| it.strip_prefix("title:"))?.trim();
    let bare = value.trim_matches(|it| matches!(it, '"' | '\''));
    (!bare.is_empty()).then(|| bare.to_string())
}

/// Turns headings underlined with `===` or `---` into `#` and `##`, so that there is only one form to handle.
fn atx(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut fence: Option<&str> = None;
    let mut before_blank = true;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let bare = line.trim();
        let sign = ["```", "~~~"].into_iter().find(|it| bare.starts_with(it));
        match fence {
            Some(open) if sign == Some(open) => fence = None,
            None if sign.is_some() => fence = sign,
            _ => (),
        }
        let level = match lines.peek().map(|it| it.trim_end()) {
            Some(next) if next.len() >= 3 && next.bytes().all(|it| it == b'=') => Some("# "),
            Some(next) if next.len() >= 3 && next.bytes().all(|it| it == b'-') => Some("## "),
            _ => None,
        };
        let can_be =
            fence.is_none() && before_blank && !bare.is_empty() && !bare.starts_with(['#', '|', '-', '>', '`', '*']);
        match level.filter(|_| can_be && !line.starts_with("    ")) {
            Some(level) => {
                lines.next();
                out.push_str(level);
                out.push_str(bare);
                out.push('\n');
                before_blank = true;
            }
            None => {
                out.push_str(line);
                before_blank = bare.is_empty();
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underlined_headings_become_atx_and_rules_stay() {
        let text = "Top\n===\n\ntext\n\nSub\n---\n\n---\n\n```\ncode\n---\n```\n\n| a |\n|---|\nlast";
        assert_eq!(atx(text), "# Top\n\ntext\n\n## Sub\n\n---\n\n```\ncode\n---\n```\n\n| a |\n|---|\nlast");
    }

    #[test]
    fn front_matter_gives_the_title_and_is_no_text() {
        let document = read("---\ntitle: \"The winch\"\ntags: [a]\n---\n# One\n");
        assert_eq!(document.title.as_deref(), Some("The winch"));
        assert_eq!(document.markdown, "# One\n");
        assert_eq!(read("---\nno matter here\n---\nx").markdown, "---\nno matter here\n---\nx");
    }
}

//! Which characters of a text are markup.

/// How much of a text is treated as markup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::search) enum Signs {
    /// Nothing: the text is as its author typed it.
    None,
    /// Only fences, which our reader adds around source code.
    Fences,
    /// The markup that our readers write. A lone `*` or `_` is the author's own character.
    Readers,
    /// All common Markdown.
    All,
}

impl Signs {
    pub(in crate::search) fn of(media_type: &str) -> Signs {
        match media_type {
            "text/plain" => Signs::None,
            "text/x-source" => Signs::Fences,
            "text/markdown" => Signs::All,
            _ => Signs::Readers,
        }
    }
}

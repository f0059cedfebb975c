//! Which signs of a text are markup.

/// How much of a text's signs are markup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::search) enum Signs {
    /// None: the text is as its author typed it.
    None,
    /// Fences alone, which our reader put round program text.
    Fences,
    /// Those that our readers write, in which a lone `*` or `_` is a letter of the author's.
    Readers,
    /// Everything that people write in Markdown.
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

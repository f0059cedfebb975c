//! The position of the scanner in a command.

/// A place where values are refused, and what to write instead.
pub(super) type Place = (&'static str, &'static str);

pub(super) type Letters<'t> = std::iter::Peekable<std::str::Chars<'t>>;

pub(super) const VARIABLE: &str = "pass the value in a variable (`env: { NAME: \"{{ ... }}\" }`) and use \"$NAME\"";
pub(super) const DOCUMENT: Place = ("after a here document (`<<`)", VARIABLE);

/// The kind of text that the scanner is in. Frames nest: `"$( "..." )"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Single,
    Double,
    /// The text of a here document, which is read like double quotes
    Body,
    /// `${`; true if the shell does arithmetic in it, as in `${x:n}` and `${x[n]}`.
    Braces(bool),
    /// `$[`, and the subscript of `x[`
    Brackets,
    /// `$((` and `((`, one frame for each parenthesis; true for the outer one of `((`, which is a command.
    Arithmetic(bool),
    /// `$(`, `<(` and `>(`
    Substitution,
    /// A plain `(`
    Group,
    /// `[[`
    Condition,
    /// `(` inside `[[`
    Nested,
    /// `x=(`
    Array,
    /// `@(` and similar: a pattern inside a word
    Pattern,
    /// From `case` to `esac`. The `)` of its patterns closes nothing.
    Case,
}

/// A here document that has not begun yet.
#[derive(Debug)]
pub(super) struct Document {
    pub end: String,
    /// Nothing in it is expanded.
    pub is_quoted: bool,
    /// `<<-`, which strips leading tabs
    pub strips: bool,
    /// The number of open frames.
    pub depth: usize,
}

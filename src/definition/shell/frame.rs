//! The place of the scanner in a command.

/// Where a value must not stand, and what to write instead.
pub(super) type Place = (&'static str, &'static str);

pub(super) type Letters<'t> = std::iter::Peekable<std::str::Chars<'t>>;

pub(super) const VARIABLE: &str = "pass the value in a variable (`env: { NAME: \"{{ ... }}\" }`) and use \"$NAME\"";
pub(super) const DOCUMENT: Place = ("after a here document (`<<`)", VARIABLE);

/// Where the scanner is. Frames nest: `"$( "..." )"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Single,
    Double,
    /// The text of a here document, which is read like one in double quotes
    Body,
    /// `${`; true where the shell computes in it, as in `${x:n}` and `${x[n]}`.
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
    /// `@(` and its like, a pattern in a word
    Pattern,
    /// From `case` to `esac`: the `)` of its patterns closes nothing.
    Case,
}

/// A here document that has not begun yet.
#[derive(Debug)]
pub(super) struct Document {
    pub end: String,
    /// Nothing in it is expanded.
    pub is_quoted: bool,
    /// `<<-`, whose lines begin behind tabs
    pub strips: bool,
    /// How many frames were open.
    pub depth: usize,
}

//! A filter as a tree, and the reasons to refuse one.

use crate::model::Kind;
use serde::{Serialize, Serializer};
use std::fmt;

pub(super) const LENGTH_MAX: usize = 4096;
pub(super) const COMPARISONS_MAX: usize = 64;
pub(super) const DEPTH_MAX: usize = 32;

/// A condition on chunks. Parse it with [`str::parse`]; its printed form parses to the same filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    pub(super) root: Node,
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::vector) enum Node {
    /// At least two.
    All(Vec<Node>),
    /// At least two.
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare(Column, Comparison, Literal),
}

/// A column to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vector) enum Column {
    Source,
    Uri,
    Title,
    MediaType,
    /// Counted from 1.
    Page,
    /// A key of the document's metadata, written `meta.KEY`.
    Meta(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vector) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// `%` matches any text, `_` any letter. ASCII letters match in either case.
    Like,
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::vector) enum Literal {
    Text(String),
    Number(f64),
}

/// Why a filter was refused. `at` counts bytes from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FilterError {
    #[error("the filter ends early: expected {expected}")]
    Short { expected: &'static str },
    #[error("the filter has `{found}` at byte {at}: expected {expected}")]
    Unexpected { at: usize, found: String, expected: &'static str },
    #[error("the filter compares an unknown column `{name}`")]
    UnknownColumn { name: String },
    #[error("the filter compares `{column}` with {literal}, which is not a {wanted}")]
    WrongType { column: String, literal: String, wanted: &'static str },
    #[error(
        "the filter is too large (at most {} bytes, {} comparisons, {} levels)",
        LENGTH_MAX,
        COMPARISONS_MAX,
        DEPTH_MAX
    )]
    TooLarge,
    #[error("only chunks can be filtered by page, not documents")]
    PageOfDocument,
}

impl FilterError {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }

    pub fn hint(&self) -> Option<&'static str> {
        match self {
            FilterError::UnknownColumn { .. } => Some("use source, uri, title, page, media_type or meta.KEY"),
            FilterError::Short { .. } | FilterError::Unexpected { .. } => {
                Some("write it like `source = \"x\" and (page < 10 or title like \"%draft%\")`")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nodes, word) = match self {
            Node::Compare(column, comparison, literal) => return write!(f, "{column} {comparison} {literal}"),
            Node::Not(node) => return write!(f, "not ({node})"),
            Node::All(nodes) => (nodes, " and "),
            Node::Any(nodes) => (nodes, " or "),
        };
        for (at, node) in nodes.iter().enumerate() {
            let before = if at == 0 { "" } else { word };
            match node {
                Node::Compare(..) | Node::Not(_) => write!(f, "{before}{node}")?,
                _ => write!(f, "{before}({node})")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Column::Source => f.write_str("source"),
            Column::Uri => f.write_str("uri"),
            Column::Title => f.write_str("title"),
            Column::MediaType => f.write_str("media_type"),
            Column::Page => f.write_str("page"),
            Column::Meta(key) => write!(f, "meta.{key}"),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Like => "like",
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Text(text) => write!(f, "\"{}\"", text.replace('"', "\"\"")),
            Literal::Number(number) => write!(f, "{number}"),
        }
    }
}

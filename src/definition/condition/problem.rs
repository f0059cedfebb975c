//! Why a condition is refused.

/// The problem, and a suggestion.
pub type Problem = (String, Option<String>);

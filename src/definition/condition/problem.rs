//! Why a condition is refused.

/// What is wrong, and what would be right.
pub type Problem = (String, Option<String>);

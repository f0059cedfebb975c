//! Quoting for POSIX shells.

/// Quotes a text as one word that every POSIX shell reads as exactly this text.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

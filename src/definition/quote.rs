//! Values as words of a shell.

/// One shell word that stands for exactly this text, for every POSIX shell.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

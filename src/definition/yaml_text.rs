//! YAML as people write it: block style, with quotes only where needed.

use serde_json::Value;

/// A JSON value as block-style YAML, ending with a newline.
pub fn yaml_text(value: &Value) -> String {
    let mut text = String::new();
    write_node(&mut text, value, 0);
    text
}

fn write_node(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                text.push_str(&format!("{indent}{}:", scalar(key)));
                write_value(text, value, depth);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                text.push_str(&format!("{indent}-"));
                match value {
                    // The first key goes next to the dash.
                    Value::Object(map) if !map.is_empty() => {
                        let mut inner = String::new();
                        write_node(&mut inner, value, depth + 1);
                        text.push_str(&format!(" {}", inner.trim_start_matches(' ')));
                    }
                    _ => write_value(text, value, depth),
                }
            }
        }
        other => text.push_str(&format!("{indent}{other}\n")),
    }
}

/// Writes the text after a key or a dash.
fn write_value(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            write_node(text, value, depth + 1);
        }
        Value::Array(list) if list.iter().any(|it| it.is_object() || it.is_array()) => {
            text.push('\n');
            write_node(text, value, depth + 1);
        }
        Value::Array(list) => {
            let words: Vec<String> = list.iter().map(flow).collect();
            text.push_str(&format!(" [{}]\n", words.join(", ")));
        }
        Value::String(it) if fits_block(it) => {
            let indent = "  ".repeat(depth + 1);
            let lines = it.strip_suffix('\n').unwrap_or(it).split('\n');
            text.push_str(if it.ends_with('\n') { " |\n" } else { " |-\n" });
            for line in lines {
                let line = if line.is_empty() { "\n".to_string() } else { format!("{indent}{line}\n") };
                text.push_str(&line);
            }
        }
        Value::String(it) => text.push_str(&format!(" {}\n", scalar(it))),
        other => text.push_str(&format!(" {other}\n")),
    }
}

/// A value inside a list in brackets.
fn flow(value: &Value) -> String {
    match value {
        Value::String(it) if it.contains([',', '[', ']', '{', '}']) && is_plain(it) => format!("'{it}'"),
        Value::String(it) => scalar(it),
        other => other.to_string(),
    }
}

fn scalar(text: &str) -> String {
    match text {
        _ if is_plain(text) => text.to_string(),
        _ if !text.contains('\'') && text.chars().all(|it| !it.is_control()) => format!("'{text}'"),
        // As JSON. YAML also requires escapes for some control characters that JSON leaves unescaped.
        _ => Value::from(text).to_string().chars().map(escaped).collect(),
    }
}

fn escaped(letter: char) -> String {
    match letter.is_control() {
        true => format!("\\u{:04x}", letter as u32),
        false => letter.to_string(),
    }
}

/// Whether YAML reads the unquoted text as this text.
fn is_plain(text: &str) -> bool {
    let begins = text.chars().next().is_some_and(|it| it.is_ascii_alphabetic() || it == '/' || it == '_');
    let fits = |it: char| it.is_ascii_alphanumeric() || "/._- ".contains(it);
    let means_else = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    begins
        && text.chars().all(fits)
        && !text.ends_with(' ')
        && !text.contains(" -")
        && !means_else.iter().any(|it| it.eq_ignore_ascii_case(text))
}

/// Whether a text reads best as a block: it has several lines, or quotes.
fn fits_block(text: &str) -> bool {
    let many = text.contains('\n') || (text.contains('\'') && text.contains('"'));
    many && !text.starts_with([' ', '\n'])
        && !text.ends_with("\n\n")
        && !text.lines().any(|it| it.ends_with(' ') || it.starts_with('\t'))
        && text.chars().all(|it| it == '\n' || it == '\t' || !it.is_control())
}

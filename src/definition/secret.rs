//! What looks like a secret is not shown: values with such a name, and what follows such a flag in a command. What is
//! stored stays as it is.

use serde_json::{Map, Value};

/// Stands where a value of `env` would be.
pub const MASK: &str = "***";

/// Words of a name that say that its value is a secret.
const WORDS: [&str; 11] = [
    "key",
    "apikey",
    "token",
    "secret",
    "secrets",
    "password",
    "passwords",
    "passwd",
    "auth",
    "authorization",
    "credential",
];
const PLURAL: &str = "credentials";

/// Words that are a secret's behind a scheme: `Authorization: Bearer x`.
const SCHEMES: [&str; 5] = ["bearer", "basic", "token", "digest", "apikey"];

/// Whether a name looks like that of a secret: one of its words is `token`, `password` or the like. Words are parted by
/// what is no letter, and by capitals: `api_key`, `X-Auth-Token`, `dbPassword`.
pub fn is_secret_name(name: &str) -> bool {
    words(name).iter().any(|it| WORDS.contains(&it.as_str()) || it == PLURAL)
}

fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && lower) {
            words.push(String::new());
        }
        lower = letter.is_lowercase();
        if letter.is_alphanumeric() {
            words.last_mut().into_iter().for_each(|it| it.extend(letter.to_lowercase()));
        }
    }
    words
}

/// A value with what looks like a secret masked, at any depth. What is no text, number or list of them says nothing of
/// itself: `true`, `null`, and `{{ }}`.
pub fn masked(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.iter().map(|(name, it)| (name.clone(), of_name(name, it))).collect()),
        Value::Array(list) => list_of(list),
        Value::String(text) => Value::String(masked_text(text)),
        other => other.clone(),
    }
}

fn of_name(name: &str, value: &Value) -> Value {
    // Any value in `env` may be a secret.
    match (is_secret_name(name) && !is_resource_key(name)) || (name == "env" && value.is_object()) {
        true => hidden(value),
        false => masked(value),
    }
}

/// Keys of a workflow that have nothing to do with secrets.
fn is_resource_key(name: &str) -> bool {
    ["resource_key", "key_env", "idempotency_key"].contains(&name)
}

fn hidden(value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() || is_expression(text) => value.clone(),
        Value::String(_) | Value::Number(_) => Value::String(MASK.to_string()),
        Value::Array(list) => list.iter().map(hidden).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(name, it)| (name.clone(), hidden(it))).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// Whether a text is one `{{ }}` and no more.
fn is_expression(text: &str) -> bool {
    text.starts_with("{{") && text.ends_with("}}") && text.matches("{{").count() == 1
}

/// The words of a command: what follows a flag is the next word.
fn list_of(list: &[Value]) -> Value {
    let mut after_flag = false;
    let shown = list.iter().map(|it| {
        let hide = std::mem::take(&mut after_flag);
        match it {
            Value::String(text) if hide && !text.starts_with('-') => hidden(it),
            Value::String(text) => {
                after_flag = is_secret_flag(text);
                Value::String(masked_text(text))
            }
            other => masked(other),
        }
    });
    shown.collect()
}

/// `--token`, `--api-key`: a flag whose value is the next word.
fn is_secret_flag(word: &str) -> bool {
    word.starts_with("--") && !word.contains(['=', ' ']) && is_secret_name(word)
}

/// A command or another text with its secrets masked: behind `--token X`, `--password=X`, `API_KEY=X`, and in
/// `Authorization: Bearer X`. All else stays as it is, white space and quotes too.
pub fn masked_text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut hide = Hide::No;
    let mut rest = text;
    while let Some(start) = rest.find(|it: char| !it.is_whitespace()) {
        shown.push_str(&rest[..start]);
        rest = &rest[start..];
        let word = &rest[..word_end(rest)];
        rest = &rest[word.len()..];
        let (before, bare, after) = unquoted(word);
        hide = match hide {
            Hide::Next if is_scheme(bare) => {
                shown.push_str(word);
                Hide::Next
            }
            Hide::Next if !bare.is_empty() && !word.starts_with('-') => {
                shown.push_str(&format!("{before}{MASK}{after}"));
                Hide::No
            }
            _ => {
                let (said, next) = of_word(word);
                shown.push_str(&said);
                next
            }
        };
    }
    shown.push_str(rest);
    shown
}

#[derive(Clone, Copy)]
enum Hide {
    No,
    Next,
}

fn is_scheme(word: &str) -> bool {
    SCHEMES.iter().any(|it| it.eq_ignore_ascii_case(word))
}

/// Where a word ends: at white space that is not inside `{{ }}`, or inside of the quotes of a secret.
fn word_end(text: &str) -> usize {
    let (mut at, mut quote) = (0, None);
    while at < text.len() {
        let left = &text[at..];
        if let Some(inside) = left.strip_prefix("{{").and_then(|it| it.find("}}")) {
            at += inside + 4;
            continue;
        }
        let Some(letter) = left.chars().next() else { break };
        match quote {
            Some(open) if letter == open => quote = None,
            None if letter.is_whitespace() => break,
            None if (letter == '\'' || letter == '"') && opens(&text[..at]) => quote = Some(letter),
            _ => (),
        }
        at += letter.len_utf8();
    }
    at
}

/// Whether the text before a quote is the name of a secret: `--password=`.
fn opens(before: &str) -> bool {
    let name = unquoted(before).1.strip_suffix('=');
    name.is_some_and(|it| is_name(it) && is_secret_name(it))
}

/// The quotes and brackets at both ends of a word, and what is between.
fn unquoted(word: &str) -> (&str, &str, &str) {
    let is_mark = |it: char| "'\"`();|,".contains(it);
    let bare = word.trim_matches(is_mark);
    let start = word.find(bare).unwrap_or(0);
    (&word[..start], bare, &word[start + bare.len()..])
}

/// A word as it is shown, and whether the next one is a secret.
fn of_word(word: &str) -> (String, Hide) {
    let (before, bare, after) = unquoted(word);
    if let Some((name, value)) = bare.split_once('=')
        && is_name(name)
        && is_secret_name(name)
        && !value.is_empty()
        && !is_expression(value)
        && !value.starts_with('$')
    {
        let (open, inner, _) = unquoted(value);
        let close = if after.is_empty() { open } else { "" };
        let mask = if inner.is_empty() { value } else { MASK };
        return (format!("{before}{name}={open}{mask}{close}{after}"), Hide::No);
    }
    let header = bare.strip_suffix(':').is_some_and(|it| is_name(it) && is_secret_name(it));
    if let Some((name, value)) = bare.split_once(':')
        && !value.is_empty()
        && !value.starts_with('/')
        && is_header(name)
    {
        return (format!("{before}{name}:{MASK}{after}"), Hide::No);
    }
    match header || (is_secret_flag(bare) && after.is_empty()) {
        true => (word.to_string(), Hide::Next),
        false => (word.to_string(), Hide::No),
    }
}

/// The names of headers that carry secrets, written without a space behind the colon.
fn is_header(name: &str) -> bool {
    name.contains('-') && !name.starts_with('-') && is_name(name) && is_secret_name(name)
        || name.eq_ignore_ascii_case("authorization")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|it| it.is_ascii_alphanumeric() || "-_.".contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_secrets_are_known_by_their_words() {
        for name in [
            "key",
            "api_key",
            "API_KEY",
            "token",
            "X-Auth-Token",
            "dbPassword",
            "passwd",
            "client.secret",
            "auth",
            "aws_credentials",
            "Authorization",
            "--token",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["monkey", "tokenizer", "author", "keyboard", "secretary", "path", "keep", ""] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn commands_are_shown_without_their_secrets() {
        for (text, shown) in [
            ("curl --token abc https://h/x", "curl --token *** https://h/x"),
            ("curl --password=abc -o x", "curl --password=*** -o x"),
            ("curl --password='a b' -o x", "curl --password='***' -o x"),
            ("curl -H 'Authorization: Bearer abc' h", "curl -H 'Authorization: Bearer ***' h"),
            ("curl -H \"Authorization: Basic abc==\" h", "curl -H \"Authorization: Basic ***\" h"),
            ("curl -H 'X-Api-Key: abc' h", "curl -H 'X-Api-Key: ***' h"),
            ("curl -H X-Api-Key:abc h", "curl -H X-Api-Key:*** h"),
            ("API_KEY=abc run", "API_KEY=*** run"),
            ("API_KEY=$KEY run --token \"$T\"", "API_KEY=$KEY run --token \"***\""),
            ("sort -k 2 monkey=1  in\n\tout\n", "sort -k 2 monkey=1  in\n\tout\n"),
            ("tool --token --verbose", "tool --token --verbose"),
            ("tool --token={{ env.T }} x", "tool --token={{ env.T }} x"),
            ("tokenize --key", "tokenize --key"),
            ("cp key: https://h:80/", "cp key: ***"),
            ("", ""),
        ] {
            assert_eq!(masked_text(text), shown);
        }
    }

    #[test]
    fn values_are_shown_without_their_secrets() {
        let value = json!({
            "to": "/x", "api_key": "abc", "pin": 4, "auth": { "user": "ann", "on": true }, "secrets": ["a", 2], "max_tokens": 256,
            "token": "{{ params.t }}", "resource_key": "db:x",
            "run": ["curl", "--token", "abc", "--depth", "3", "Authorization: Bearer abc"],
        });
        assert_eq!(
            masked(&value),
            json!({
                "to": "/x", "api_key": "***", "pin": 4, "auth": { "user": "***", "on": true }, "secrets": ["***", "***"], "max_tokens": 256,
                "token": "{{ params.t }}", "resource_key": "db:x",
                "run": ["curl", "--token", "***", "--depth", "3", "Authorization: Bearer ***"],
            })
        );
    }
}

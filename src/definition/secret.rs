//! Masks what looks like a secret: values under such a name, and the word after such a flag in a command. Only the
//! display is masked, not what is stored.

use serde_json::{Map, Value};

/// Replaces a value of `env` that is not shown.
pub const MASK: &str = "***";

/// A name with one of these words has a secret value.
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
/// So does a name with a word that ends like this: `PGPASSWORD`.
const ENDS: [&str; 6] = ["password", "passwd", "passphrase", "secret", "apikey", "sshpass"];
/// These words mark a secret only after another word: `DB_PASS`, `MYSQL_PWD`. `PWD` alone is a directory.
const LAST: [&str; 3] = ["pass", "pwd", "pw"];

/// Programs with an option `-u` that takes a user and password.
const WITH_USER: [&str; 1] = ["curl"];
/// Programs with an option `-p` that takes a password in the same word.
const WITH_PASSWORD: [&str; 7] =
    ["mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump", "mariadb-admin", "sshpass"];
/// Prefixes of the secrets of well-known services.
const SIGNS: [&str; 9] = ["ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk-", "AKIA"];

/// Authentication schemes that precede a secret: `Authorization: Bearer x`.
const SCHEMES: [&str; 5] = ["bearer", "basic", "token", "digest", "apikey"];

/// Whether a name looks like that of a secret: one of its words is `token`, `password` or similar. Words end at
/// capitals and at characters that are neither letters nor digits: `api_key`, `X-Auth-Token`, `dbPassword`.
pub fn is_secret_name(name: &str) -> bool {
    let words: Vec<String> = words(name).into_iter().filter(|it| !it.is_empty()).collect();
    let is_last = words.len() > 1 && words.last().is_some_and(|it| LAST.contains(&it.as_str()));
    let is_secret =
        |it: &String| WORDS.contains(&it.as_str()) || it == PLURAL || ENDS.iter().any(|end| it.ends_with(end));
    is_last || words.iter().any(is_secret)
}

/// Whether a variable is shown without its value, because its name or value looks like a secret.
pub fn is_secret_variable(name: &str, value: &str) -> bool {
    is_secret_name(name) || has_sign(value) || masked_text(value) != value
}

fn has_sign(value: &str) -> bool {
    SIGNS.iter().any(|it| value.starts_with(it))
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

/// Masks secrets in a value, at any depth. Booleans, null and a single `{{ }}` are never masked, because they reveal
/// nothing.
pub fn masked(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.iter().map(|(name, it)| (name.clone(), of_name(name, it))).collect()),
        Value::Array(list) => list_of(list),
        Value::String(text) => Value::String(masked_text(text)),
        other => other.clone(),
    }
}

fn of_name(name: &str, value: &Value) -> Value {
    match (is_secret_name(name) && !is_resource_key(name), value) {
        (true, _) => hidden(value),
        (false, Value::String(text)) if has_sign(text) => hidden(value),
        (false, _) => masked(value),
    }
}

/// Workflow keys that look like secret names but are not.
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

/// Whether a text is exactly one `{{ }}`.
fn is_expression(text: &str) -> bool {
    text.starts_with("{{") && text.ends_with("}}") && text.matches("{{").count() == 1
}

/// Masks the words of a command, where the value of a flag is the next word.
fn list_of(list: &[Value]) -> Value {
    let (mut after_flag, mut after_user) = (false, false);
    let mut tool = Tool::default();
    let shown = list.iter().map(|it| {
        let (hide, user) = (std::mem::take(&mut after_flag), std::mem::take(&mut after_user));
        match it {
            Value::String(text) if hide && !text.starts_with('-') => hidden(it),
            Value::String(text) if user && text.contains(':') && !text.contains("{{") => {
                Value::String(user_alone(text))
            }
            Value::String(text) => {
                if let Some(shown) = tool.meet(text) {
                    return Value::String(shown);
                }
                after_flag = is_secret_flag(text);
                after_user = tool.takes_user(text);
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

/// Masks the secrets in a command or other text: after `--token X`, `--password=X`, `API_KEY=X` and `Authorization:
/// Bearer X`. Everything else is unchanged, including white space and quotes.
pub fn masked_text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut hide = Hide::No;
    let mut tool = Tool::default();
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
            Hide::User if bare.contains(':') && !bare.contains("{{") => {
                shown.push_str(&format!("{before}{}{after}", user_alone(bare)));
                Hide::No
            }
            _ => match tool.meet(bare) {
                Some(said) => {
                    shown.push_str(&format!("{before}{said}{after}"));
                    Hide::No
                }
                None => {
                    let (said, next) = of_word(word);
                    shown.push_str(&without_password(&said));
                    if tool.takes_user(bare) { Hide::User } else { next }
                }
            },
        };
        if after.contains([';', '|', ')']) {
            tool = Tool::default();
        }
    }
    shown.push_str(rest);
    shown
}

#[derive(Clone, Copy)]
enum Hide {
    No,
    Next,
    /// The next word is a user, possibly with a password.
    User,
}

/// The program whose options are being read, if it has options that carry passwords.
#[derive(Default)]
struct Tool {
    user: bool,
    password: bool,
}

impl Tool {
    /// Advances by one word. Returns the masked word if option and password are one word.
    fn meet(&mut self, word: &str) -> Option<String> {
        let program = word.rsplit('/').next().unwrap_or(word);
        self.user |= WITH_USER.contains(&program);
        self.password |= WITH_PASSWORD.contains(&program);
        let (option, value) = word.split_at_checked(2)?;
        let is_known = !value.is_empty() && !value.starts_with('$') && !value.contains("{{");
        match option {
            "-p" if self.password && is_known => Some(format!("-p{MASK}")),
            "-u" if self.user && is_known && value.contains(':') => Some(format!("-u{}", user_alone(value))),
            _ => None,
        }
    }

    fn takes_user(&self, word: &str) -> bool {
        self.user && ["-u", "--user", "-U", "--proxy-user"].contains(&word)
    }
}

/// Turns `ann:pw` into `ann:***`.
fn user_alone(text: &str) -> String {
    match text.split_once(':') {
        Some((user, password)) if !password.is_empty() && !password.starts_with('$') => format!("{user}:{MASK}"),
        _ => text.to_string(),
    }
}

/// Masks the passwords of the URLs in a word: `https://ann:***@host/`.
fn without_password(word: &str) -> String {
    let mut shown = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find("://").map(|it| it + 3) {
        shown.push_str(&rest[..at]);
        rest = &rest[at..];
        let authority = &rest[..rest.find(['/', '?', '#', '\'', '"', ' ']).unwrap_or(rest.len())];
        let Some((user, host)) = authority.rsplit_once('@') else { continue };
        let is_known = !user.contains("{{") && !user.contains('$');
        shown.push_str(&if is_known { user_alone(user) } else { user.to_string() });
        rest = &rest[authority.len() - host.len() - 1..];
    }
    shown.push_str(rest);
    shown
}

fn is_scheme(word: &str) -> bool {
    SCHEMES.iter().any(|it| it.eq_ignore_ascii_case(word))
}

/// The end of a word: white space that is outside `{{ }}` and outside the quotes of a secret.
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

/// Whether the text before a quote names a secret: `--password=`.
fn opens(before: &str) -> bool {
    let name = unquoted(before).1.strip_suffix('=');
    name.is_some_and(|it| is_name(it) && is_secret_name(it))
}

/// The quotes and brackets at both ends of a word, and the text between them.
fn unquoted(word: &str) -> (&str, &str, &str) {
    let is_mark = |it: char| "'\"`();|,".contains(it);
    let bare = word.trim_matches(is_mark);
    let start = word.find(bare).unwrap_or(0);
    (&word[..start], bare, &word[start + bare.len()..])
}

/// A word as it is shown, and whether the next word is a secret.
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

/// Headers that carry secrets and may be written without a space after the colon.
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
            "PGPASSWORD",
            "DB_PASS",
            "MYSQL_PWD",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in
            ["monkey", "tokenizer", "author", "keyboard", "secretary", "path", "keep", "PWD", "MODE", "pass", ""]
        {
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
            ("PGPASSWORD=pw4 psql", "PGPASSWORD=*** psql"),
            ("curl https://user:pw1@host/ -o x", "curl https://user:***@host/ -o x"),
            (
                "git clone 'ssh://git@host/a:b' https://{{ item }}:x@h",
                "git clone 'ssh://git@host/a:b' https://{{ item }}:x@h",
            ),
            ("curl -s -u me:pw3 h; id -u a:b", "curl -s -u me:*** h; id -u a:b"),
            ("curl --user 'me:pw3' -ume:pw h", "curl --user 'me:***' -ume:*** h"),
            ("docker run -u 10:20 -p80:80 x", "docker run -u 10:20 -p80:80 x"),
            ("/usr/bin/mysql -u me -ppw5 db", "/usr/bin/mysql -u me -p*** db"),
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
            "dump": ["mysqldump", "-ppw5", "db"], "get": ["curl", "-u", "me:pw3", "h"],
            "env": { "MODE": "fast", "GH": "ghp_1", "DB_PASS": "x" },
        });
        assert_eq!(
            masked(&value),
            json!({
                "to": "/x", "api_key": "***", "pin": 4, "auth": { "user": "***", "on": true }, "secrets": ["***", "***"], "max_tokens": 256,
                "token": "{{ params.t }}", "resource_key": "db:x",
                "run": ["curl", "--token", "***", "--depth", "3", "Authorization: Bearer ***"],
                "dump": ["mysqldump", "-p***", "db"], "get": ["curl", "-u", "me:***", "h"],
                "env": { "MODE": "fast", "GH": "***", "DB_PASS": "***" },
            })
        );
    }
}

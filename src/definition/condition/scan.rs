//! The tokens of a condition.

use super::problem::Problem;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Int(i64),
    Double(f64),
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Longer operators first, because the first match wins.
const SIGNS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "?", ":", "(", ")", "[", "]", "{", "}", ",", ".", "+", "-", "*",
    "/", "%",
];

pub(super) fn scan(source: &str) -> Result<Vec<Token>, Problem> {
    let mut rest = source;
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            found.push(Token::End);
            return Ok(found);
        };
        let (token, length) = match first {
            '"' | '\'' => text(rest, first)?,
            '0'..='9' => number(rest)?,
            _ if first.is_ascii_alphabetic() || first == '_' => name(rest),
            _ => match SIGNS.iter().find(|it| rest.starts_with(**it)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => return Err(unknown(first)),
            },
        };
        found.push(token);
        rest = &rest[length..];
    }
}

fn unknown(first: char) -> Problem {
    let hint = match first {
        '=' => Some("compare with `==`".to_string()),
        '&' => Some("write `&&`".to_string()),
        '|' => Some("write `||`".to_string()),
        _ => None,
    };
    (format!("`{first}` has no meaning here"), hint)
}

fn name(rest: &str) -> (Token, usize) {
    let length = rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(rest.len());
    (Token::Name(rest[..length].to_string()), length)
}

fn number(rest: &str) -> Result<(Token, usize), Problem> {
    let digits = |from: usize| {
        let more = rest[from..].find(|it: char| !it.is_ascii_digit());
        more.map_or(rest.len(), |it| from + it)
    };
    let mut length = digits(0);
    let mut whole = true;
    if rest[length..].starts_with('.') && rest[length + 1..].starts_with(|it: char| it.is_ascii_digit()) {
        (length, whole) = (digits(length + 1), false);
    }
    if rest[length..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[length + 1..].starts_with(['+', '-']));
        let end = digits(length + 1 + sign);
        if end > length + 1 + sign {
            (length, whole) = (end, false);
        }
    }
    if rest[length..].starts_with(|it: char| it.is_ascii_alphanumeric() || it == '_') {
        return Err((format!("`{}` is not a number", &rest[..=length]), None));
    }
    let text = &rest[..length];
    let token = match whole {
        true => text.parse().map(Token::Int).ok(),
        false => text.parse().ok().filter(|it: &f64| it.is_finite()).map(Token::Double),
    };
    token.map(|it| (it, length)).ok_or_else(|| (format!("the number {text} is too large"), None))
}

fn text(rest: &str, quote: char) -> Result<(Token, usize), Problem> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if letter == quote => return Ok((Token::Text(text), at + 1)),
            '\\' => {
                let escaped = letters.next().map_or('\\', |it| it.1);
                text.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '\\' | '"' | '\'' => escaped,
                    other => {
                        let hint = r#"`\n`, `\t`, `\r`, `\\`, `\"` and `\'` are"#;
                        return Err((format!("`\\{other}` is not a valid escape"), Some(hint.into())));
                    }
                });
            }
            other => text.push(other),
        }
    }
    Err(("a quote is not closed".into(), None))
}

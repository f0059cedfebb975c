//! The parameters of `windlass/webhook`.

use crate::settings::is_secret_file_name;
use serde_json::{Map, Value};

/// The step kind that sends an HTTP request.
pub const KIND: &str = "windlass/webhook";
pub const HINT: &str = "write `with: { url: \"https://...\" }`, or `url: { secret: NAME }`";

const FIELDS: [&str; 5] = ["url", "text", "body", "headers", "secret"];

/// A literal text, or the name of the secret that contains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    Plain(String),
    Secret(String),
}

/// A request to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    pub url: Word,
    /// The message, sent in the field `text`, which Slack, Mattermost and Teams read. None: a message that describes
    /// the event.
    pub text: Option<String>,
    /// The whole body, instead of `text`.
    pub body: Option<Value>,
    pub headers: Vec<(String, Word)>,
    /// The name of the secret that signs the body.
    pub secret: Option<String>,
}

impl Webhook {
    /// Parses `with`; on error, returns the problem. Templates in it need not be rendered yet.
    pub fn of(with: &Value) -> Result<Webhook, String> {
        let empty = Map::new();
        let fields = with.as_object().unwrap_or(&empty);
        if let Some(unknown) = fields.keys().find(|it| !FIELDS.contains(&it.as_str())) {
            return Err(format!("unknown field `{unknown}` in `with`; it has {}", FIELDS.join(", ")));
        }
        let text = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("`{name}` must be a text")),
        };
        let url = word("url", fields.get("url").unwrap_or(&Value::Null))?;
        if let Word::Plain(plain) = &url
            && !["http://", "https://", "{{"].iter().any(|it| plain.starts_with(it))
        {
            return Err("`url` must begin with `https://` or `http://`".to_string());
        }
        let headers = match fields.get("headers") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(map)) => {
                map.iter().map(|(name, it)| Ok((name.clone(), word(name, it)?))).collect::<Result<_, String>>()?
            }
            Some(_) => return Err("`headers` must be names with values".to_string()),
        };
        let (text, secret) = (text("text")?, text("secret")?);
        if secret.as_ref().is_some_and(|it| !is_secret_file_name(it)) {
            return Err("`secret` must be the name of a secret".to_string());
        }
        let body = fields.get("body").filter(|it| !it.is_null()).cloned();
        if body.is_some() && text.is_some() {
            return Err("`text` is a part of the usual body: give `text` or `body`".to_string());
        }
        Ok(Webhook { url, text, body, headers, secret })
    }

    /// The names of the secrets that it needs.
    pub fn secrets(&self) -> Vec<String> {
        let words = self.headers.iter().map(|it| &it.1).chain([&self.url]);
        let named = words.filter_map(|it| match it {
            Word::Secret(name) => Some(name.clone()),
            Word::Plain(_) => None,
        });
        named.chain(self.secret.clone()).collect()
    }
}

fn word(field: &str, value: &Value) -> Result<Word, String> {
    match value {
        Value::String(text) => Ok(Word::Plain(text.clone())),
        Value::Number(number) => Ok(Word::Plain(number.to_string())),
        Value::Object(map) if map.len() == 1 => match map.get("secret").and_then(Value::as_str) {
            Some(name) if is_secret_file_name(name) => Ok(Word::Secret(name.to_string())),
            _ => Err(format!("`{field}` must be a text or `{{ secret: NAME }}`")),
        },
        Value::Null => Err(format!("`{field}` is missing")),
        _ => Err(format!("`{field}` must be a text or `{{ secret: NAME }}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_said_and_secrets_are_named() {
        let full = json!({"url": {"secret": "SLACK"}, "headers": {"x": "1", "y": {"secret": "Y"}}, "secret": "SIGN"});
        assert_eq!(Webhook::of(&full).unwrap().secrets(), ["Y", "SLACK", "SIGN"]);
        for (with, wanted) in [
            (json!(null), "`url` is missing"),
            (json!({"url": "slack"}), "must begin with"),
            (json!({"url": "https://h", "uri": 1}), "unknown field `uri`"),
            (json!({"url": {"secret": "../x"}}), "must be a text or"),
            (json!({"url": "https://h", "text": "a", "body": {}}), "give `text` or `body`"),
            (json!({"url": "https://h", "secret": "a b"}), "name of a secret"),
            (json!({"url": "https://h", "headers": []}), "names with values"),
        ] {
            let said = Webhook::of(&with).unwrap_err();
            assert!(said.contains(wanted), "{said}");
        }
        assert!(Webhook::of(&json!({"url": "{{ params.url }}"})).is_ok());
    }
}

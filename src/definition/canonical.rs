//! The canonical form of a value and its hash: equal meaning, equal bytes.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Compact JSON with the keys of every object in byte order (as in RFC 8785, but numbers as serde_json prints them).
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// SHA-256 over `domain`, a NUL and the canonical JSON. The domain keeps hashes of different things apart.
pub fn digest(domain: &str, value: &Value) -> [u8; 32] {
    digest_of_text(domain, &canonical_json(value))
}

/// The same for JSON that is already canonical.
pub fn digest_of_text(domain: &str, text: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(domain.as_bytes());
    hasher.update([0]);
    hasher.update(text.as_bytes());
    hasher.finalize().into()
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|it| it.0.as_bytes());
            text.push('{');
            for (at, (key, inner)) in entries.into_iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(inner, text);
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for (at, inner) in list.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                write(inner, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let (left, right) =
            (json!({"b": [1, {"z": 0, "a": "é\n"}], "a": null}), json!({"a": null, "b": [1, {"a": "é\n", "z": 0}]}));
        assert_eq!(canonical_json(&left), canonical_json(&right));
        assert_eq!(canonical_json(&left), r#"{"a":null,"b":[1,{"a":"é\n","z":0}]}"#);
        assert_eq!(digest("x", &left), digest("x", &right));
        assert_ne!(digest("x", &left), digest("y", &left));
    }
}

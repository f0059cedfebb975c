//! Keeps numbers in JSON that would otherwise lose digits.

use std::borrow::Cow;

/// The same JSON, with quotes around every number that would lose digits when parsed: an id of 21 digits, `6063e25`.
///
/// A number that can be represented stays a number: `1.10` becomes 1.1. Text that is not JSON is returned unchanged.
pub fn keep_digits(text: &[u8]) -> Cow<'_, [u8]> {
    let mut kept: Option<Vec<u8>> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_string(text, at),
            b'-' | b'0'..=b'9' => {
                let end = at + text[at..].iter().take_while(|it| is_part(**it)).count();
                let number = std::str::from_utf8(&text[at..end]).unwrap_or_default();
                if loses_digits(number) {
                    let kept = kept.get_or_insert_default();
                    kept.extend_from_slice(&text[copied..at]);
                    kept.push(b'"');
                    kept.extend_from_slice(&text[at..end]);
                    kept.push(b'"');
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    match kept {
        None => Cow::Borrowed(text),
        Some(mut kept) => {
            kept.extend_from_slice(&text[copied..]);
            Cow::Owned(kept)
        }
    }
}

/// Whether parsing and printing this JSON number would change its value.
pub fn loses_digits(number: &str) -> bool {
    let is_short = number.len() < 16 && !number.contains(['e', 'E']);
    if is_short || number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() || !is_number(number) {
        return false;
    }
    let nearest = number.parse::<f64>().unwrap_or(f64::INFINITY);
    if !nearest.is_finite() || normal(number) != normal(&format!("{nearest:e}")) {
        return true;
    }
    // Programs print one digit before the point. A number with more, such as a hash, must be read exactly or not at
    // all.
    let whole = number.trim_start_matches('-').split(['.', 'e', 'E']).next().unwrap_or_default();
    whole.len() > 1 && serde_json::from_str::<f64>(number).ok() != Some(nearest)
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

/// The position after the quote that ends the string starting here.
fn end_of_string(text: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// Whether this is a number by the JSON grammar.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    digits(whole) && digits(fraction) && digits(exponent) && (whole == "0" || !whole.starts_with('0'))
}

/// The sign, the digits without leading and trailing zeros, and the power of ten of the last digit.
fn normal(number: &str) -> (bool, String, i64) {
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |it| (true, it));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let short = digits.trim_end_matches('0');
    let power = exponent.parse::<i64>().unwrap_or(i64::MAX / 2) - fraction.len() as i64;
    let power = power + (digits.len() - short.len()) as i64;
    match short.trim_start_matches('0') {
        "" => (negative, String::new(), 0),
        short => (negative, short.to_string(), power),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_would_lose_digits_becomes_a_text() {
        for (json, kept) in [
            (r#"{"id": 123456789012345678901}"#, r#"{"id": "123456789012345678901"}"#),
            ("[6063e25, -123456789012345678901,1]", r#"["6063e25", "-123456789012345678901",1]"#),
            ("0.1234567890123456789012", r#""0.1234567890123456789012""#),
            ("1e400", r#""1e400""#),
        ] {
            assert_eq!(keep_digits(json.as_bytes()), kept.as_bytes(), "{json}");
        }
        for same in [
            r#"{"a": 1.10, "b": 1e3, "c": [18446744073709551615, -9223372036854775808], "d": 0.1}"#,
            r#"{"123456789012345678901": "\"123456789012345678901"}"#,
            "1.0 2.50 1e-05 10e3 100000000000000000000000 0.30000000000000004 -7.450580596923828e-9",
            "no JSON 12345678901234567890123-x",
            "\"open 123456789012345678901",
        ] {
            assert_eq!(keep_digits(same.as_bytes()), same.as_bytes());
        }
    }
}

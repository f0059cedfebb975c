//! The encodings of mail: base64, quoted-printable, and encoded words in header fields (RFC 2045 and 2047).

use crate::ingest::charset;

/// Bytes that are no base64 are skipped, as RFC 2045 asks.
pub(super) fn base64(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0_u32, 0);
    for letter in text {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => continue,
        };
        held = (held << 6 | u32::from(value)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}

pub(super) fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'=', [b'\r', b'\n', tail @ ..]) | (b'=', [b'\n', tail @ ..]) => rest = tail,
            (b'=', [high, low, tail @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = tail;
                }
                _ => bytes.push(b'='),
            },
            _ => bytes.push(*first),
        }
    }
    bytes
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter).to_digit(16).map(|it| it as u8)
}

/// Decodes `=?charset?q?text?=` and the like. Blanks between two of them are none.
pub(super) fn words(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find("=?") {
        let between = &rest[..at];
        match word(&rest[at + 2..]) {
            Some((text, after)) => {
                out.push_str(between);
                out.push_str(&text);
                let next = after.trim_start();
                rest = if next.starts_with("=?") { next } else { after };
            }
            None => {
                out.push_str(&rest[..at + 2]);
                rest = &rest[at + 2..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The longest encoded word that is looked at, in bytes. RFC 2047 allows 75.
const WORD_MAX: usize = 1000;

fn word(text: &str) -> Option<(String, &str)> {
    let mut end = text.len().min(WORD_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut parts = text[..end].splitn(3, '?');
    let (charset, encoding, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let (inside, _) = rest.split_once("?=")?;
    let bytes = match encoding {
        "q" | "Q" => quoted_printable(inside.replace('_', " ").as_bytes()),
        "b" | "B" => base64(inside.as_bytes()),
        _ => return None,
    };
    let used = charset.len() + encoding.len() + inside.len() + "???=".len();
    let charset = charset.split('*').next();
    Some((charset::decode(&bytes, charset).text.into_owned(), &text[used..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_undone() {
        assert_eq!(base64(b"V2lu\r\nY2g="), b"Winch");
        assert_eq!(quoted_printable(b"a=3Db=\r\nc=zz="), b"a=bc=zz=");
        assert_eq!(words("=?utf-8?q?a_b?= =?iso-8859-1?Q?=FC?= c =?x"), "a bü c =?x");
        assert_eq!(words(&"=?".repeat(1000)), "=?".repeat(1000));
    }
}

//! Transfer encodings of mail (RFC 2045), decoded in spite of damage. `mail-parser` gives up at an invalid byte, so
//! none of the text could be found.

use mail_parser::decoders::base64::base64_decode;

/// Skips bytes that are not base64, as RFC 2045 asks. Ignores everything after the end mark.
pub(super) fn base64(text: &[u8]) -> Vec<u8> {
    let digits = text.iter().copied().take_while(|it| *it != b'=');
    let digits: Vec<u8> = digits.filter(|it| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/')).collect();
    base64_decode(&digits).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_undone_around_what_is_broken() {
        assert_eq!(base64(b"V2lu\r\nY2g="), b"Winch");
        assert_eq!(base64(b"V2lu!Y2g=\n-- \nThe list"), b"Winch");
        assert_eq!(base64(b"V2luY2"), b"Winc");
        assert_eq!(quoted_printable(b"a=3Db=\r\nc=zz="), b"a=bc=zz=");
    }
}

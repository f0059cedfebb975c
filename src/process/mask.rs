//! Takes secrets out of a stream, also where one arrives in pieces.

use std::borrow::Cow;

/// Stands in the place of a secret.
const MASK: &[u8] = b"***";

/// The secrets of one stream, and what may be the beginning of one.
#[derive(Debug, Clone, Default)]
pub(super) struct Masker {
    /// The longest first; none is empty.
    secrets: Vec<Vec<u8>>,
    held: Vec<u8>,
}

impl Masker {
    pub fn new(secrets: &[String]) -> Masker {
        let mut secrets: Vec<Vec<u8>> =
            secrets.iter().filter(|it| !it.is_empty()).map(|it| it.as_bytes().into()).collect();
        secrets.sort_by_key(|it| std::cmp::Reverse(it.len()));
        Masker { secrets, held: Vec::new() }
    }

    /// The next bytes without secrets. Bytes that may be the beginning of one come with a later call.
    pub fn feed<'b>(&mut self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        if self.secrets.is_empty() { bytes.into() } else { self.masked(bytes, false).into() }
    }

    /// The held bytes, at the end of the stream.
    pub fn finish(&mut self) -> Vec<u8> {
        self.masked(&[], true)
    }

    fn masked(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(bytes);
        let mut shown = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if !last && self.secrets.iter().any(|it| it.len() > rest.len() && it.starts_with(rest)) {
                self.held = rest.to_vec();
                break;
            }
            match self.secrets.iter().find(|it| rest.starts_with(it)) {
                Some(secret) => {
                    shown.extend_from_slice(MASK);
                    at += secret.len();
                }
                None => {
                    shown.push(text[at]);
                    at += 1;
                }
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_in_whatever_pieces_it_arrives() {
        let secrets = ["abcabd".to_string(), "abc".to_string(), String::new()];
        let text = b"x abcabd y abcab abc abcabcabd ab";
        for piece in 1..=text.len() {
            let mut masker = Masker::new(&secrets);
            let mut shown: Vec<u8> = text.chunks(piece).flat_map(|it| masker.feed(it).into_owned()).collect();
            shown.extend(masker.finish());
            assert_eq!(String::from_utf8(shown).unwrap(), "x *** y ***ab *** ****** ab", "in pieces of {piece}");
        }
        assert_eq!(&*Masker::new(&[]).feed(b"abc"), b"abc");
    }
}

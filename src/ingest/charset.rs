//! Decodes bytes to text: by a byte order mark, then by the declared charset, then by a guess from the bytes.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use std::borrow::Cow;

/// How far into a page to look for its `<meta charset>`, in bytes.
const DECLARATION_WITHIN: usize = 4096;
/// How many bytes the guess is based on. More would only take longer.
const GUESS_ON: usize = 256 << 10;

/// A decoded text with line ends converted to `\n`.
pub struct Text<'a> {
    pub text: Cow<'a, str>,
    /// The charset's name, such as `KOI8-R`.
    pub charset: &'static str,
    /// Whether bytes were replaced with U+FFFD because the charset does not define them.
    pub damaged: bool,
}

/// Decodes a text. `declared` is a charset declared outside of it, such as in a mail header.
pub fn decode<'a>(bytes: &'a [u8], declared: Option<&str>) -> Text<'a> {
    let declared = declared.and_then(|it| Encoding::for_label(it.trim().as_bytes()));
    let (encoding, skip) = match Encoding::for_bom(bytes) {
        Some((encoding, length)) => (encoding, length),
        None => (without_mark(bytes, declared), 0),
    };
    let (text, damaged) = encoding.decode_without_bom_handling(&bytes[skip..]);
    Text { text: unix_lines(text), charset: encoding.name(), damaged }
}

/// Decodes a page, which may declare its charset in a `meta` element or an XML declaration.
pub fn decode_html(bytes: &[u8]) -> Text<'_> {
    let declared = declaration(bytes);
    decode(bytes, declared.as_deref())
}

fn without_mark(bytes: &[u8], declared: Option<&'static Encoding>) -> &'static Encoding {
    if let Some(wide) = wide(bytes) {
        return wide;
    }
    // Valid UTF-8 never occurs by chance, so this overrides any declaration.
    if Encoding::utf8_valid_up_to(bytes) == bytes.len() {
        return UTF_8;
    }
    // A page with a declaration that can be read as bytes can't be in UTF-16.
    if let Some(encoding) = declared.filter(|it| *it != UTF_16LE && *it != UTF_16BE && *it != UTF_8) {
        return encoding;
    }
    let head = &bytes[..bytes.len().min(GUESS_ON)];
    if mostly_utf8(head) {
        return UTF_8;
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Allow);
    detector.feed(head, head.len() == bytes.len());
    detector.guess(None, chardetng::Utf8Detection::Allow)
}

/// UTF-16 without a byte order mark: about every other byte is zero.
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(4096) & !1];
    if head.len() < 4 || !bytes.len().is_multiple_of(2) {
        return None;
    }
    let zeros = |odd: usize| head.iter().skip(odd).step_by(2).filter(|it| **it == 0).count();
    let (even, odd, pairs) = (zeros(0), zeros(1), head.len() / 2);
    match () {
        () if odd * 10 >= pairs * 7 && even * 10 <= pairs => Some(UTF_16LE),
        () if even * 10 >= pairs * 7 && odd * 10 <= pairs => Some(UTF_16BE),
        () => None,
    }
}

/// UTF-8 with some damage: far more valid multi-byte sequences than invalid bytes.
fn mostly_utf8(head: &[u8]) -> bool {
    let (mut good, mut bad) = (0_usize, 0_usize);
    for chunk in head.utf8_chunks() {
        good += chunk.valid().chars().filter(|it| !it.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    good > bad * 8
}

fn declaration(bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(DECLARATION_WITHIN)]).to_ascii_lowercase();
    let rest = match head.find("charset") {
        Some(at) => &head[at + "charset".len()..],
        None if head.starts_with("<?xml") => &head[head.find("encoding")? + "encoding".len()..],
        None => return None,
    };
    let value = rest.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
    let end =
        value.find(|it: char| !(it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | ':'))).unwrap_or(value.len());
    (end > 0).then(|| value[..end].to_string())
}

fn unix_lines(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::{KOI8_R, SHIFT_JIS, WINDOWS_1251, WINDOWS_1252};

    #[test]
    fn a_text_is_read_in_the_charset_it_was_written_in() {
        let russian = "Собачка падает в храповик после каждого поворота, и барабан не скользит назад.";
        for encoding in [UTF_8, KOI8_R, WINDOWS_1251] {
            let (bytes, ..) = encoding.encode(russian);
            let text = decode(&bytes, None);
            assert_eq!((text.text.as_ref(), text.damaged), (russian, false), "{}", text.charset);
        }
        let japanese = "これは日本語の文章です。巻き上げ機の使い方を説明します。";
        assert_eq!(decode(&SHIFT_JIS.encode(japanese).0, None).text, japanese);
        let german = "Größe über alles: das Öl läuft über die Räder.";
        assert_eq!(decode(&WINDOWS_1252.encode(german).0, None).text, german);
    }

    #[test]
    fn marks_and_zero_bytes_tell_utf_16() {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        assert_eq!(decode(&wide("\u{feff}winch и трос"), None).text, "winch и трос");
        assert_eq!(decode(&wide("a winch without a mark"), None).text, "a winch without a mark");
        assert_eq!(decode(b"\xef\xbb\xbfa\r\nb\rc", None).text, "a\nb\nc");
    }

    #[test]
    fn a_page_may_name_its_charset_but_not_against_its_bytes() {
        let page = |text: &str| WINDOWS_1251.encode(text).0.into_owned();
        let html = "<meta http-equiv=Content-Type content='text/html; charset=windows-1251'><p>ж";
        assert_eq!(decode_html(&page(html)).text, html);
        let lying = "<meta charset=\"koi8-r\"><p>größer";
        assert_eq!(decode_html(lying.as_bytes()).text, lying);
        assert_eq!(decode(b"a\xffb", Some("utf-16le")).text, "aÿb");
    }

    #[test]
    fn a_damaged_byte_does_not_turn_utf_8_into_something_else() {
        let mut bytes = "ровно двадцать букв и ещё немного".as_bytes().to_vec();
        bytes.push(0xff);
        let text = decode(&bytes, None);
        assert_eq!((text.charset, text.damaged), ("UTF-8", true));
    }
}

//! Strings in the document's structure: titles, annotations and field values.

/// Decodes a string of the document's structure: UTF-16 or UTF-8 with a byte order mark, otherwise PDFDocEncoding,
/// which is close to Latin-1.
pub fn text_of(bytes: &[u8]) -> String {
    let units = |pair: &[u8], big: bool| match big {
        true => u16::from_be_bytes([pair[0], pair[1]]),
        false => u16::from_le_bytes([pair[0], pair[1]]),
    };
    let text = match bytes {
        [0xfe, 0xff, rest @ ..] => {
            String::from_utf16_lossy(&rest.chunks_exact(2).map(|it| units(it, true)).collect::<Vec<_>>())
        }
        [0xff, 0xfe, rest @ ..] => {
            String::from_utf16_lossy(&rest.chunks_exact(2).map(|it| units(it, false)).collect::<Vec<_>>())
        }
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => bytes.iter().map(|it| latin(*it)).collect(),
    };
    // Escape characters enclose a language code.
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_string();
    parts.skip(1).step_by(2).fold(first, |text, part| text + part)
}

/// PDFDocEncoding, where it differs from Latin-1.
fn latin(byte: u8) -> char {
    const HIGH: [char; 33] = [
        '•', '†', '‡', '…', '—', '–', 'ƒ', '⁄', '‹', '›', '−', '‰', '„', '“', '”', '‘', '’', '‚', '™', 'ﬁ', 'ﬂ', 'Ł',
        'Œ', 'Š', 'Ÿ', 'Ž', 'ı', 'ł', 'œ', 'š', 'ž', ' ', '€',
    ];
    match byte {
        0x80..=0xa0 => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_structure_are_decoded() {
        assert_eq!(text_of(b"\xfe\xff\0A\x20\xac"), "A€");
        assert_eq!(text_of(b"\xff\xfeA\0"), "A");
        assert_eq!(text_of(b"\xef\xbb\xbf\xc3\xa9"), "é");
        assert_eq!(text_of(b"a\x84b\xe9"), "a—bé");
        assert_eq!(text_of(b"\xfe\xff\0\x1b\0d\0e\0\x1b\0A"), "A");
    }
}

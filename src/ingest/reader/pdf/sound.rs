//! Checks a file before it is read: whether it is complete, and not nested too deeply.

/// Why the file must be truncated: its header declares a larger size, or the end marker is missing.
pub(super) fn cut_off(bytes: &[u8]) -> Option<String> {
    let has = |wanted: &[u8]| bytes.windows(wanted.len()).rev().any(|it| it == wanted);
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]);
    if let Some(at) = head.find("/Linearized") {
        let digits = head[at..].split_once("/L ").map(|it| it.1.trim_start());
        let length = digits.and_then(|it| it.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok());
        if let Some(length) = length.filter(|it| *it > bytes.len()) {
            return Some(format!("it has {} of {length} bytes", bytes.len()));
        }
    }
    (!has(b"%%EOF") && !has(b"startxref")).then(|| format!("its end is missing after {} bytes", bytes.len()))
}

/// The nesting depth of arrays and dictionaries, ignoring streams and strings.
pub(super) fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut string, mut at) = (0_usize, 0, 0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        let rest = &bytes[at..];
        at += 1;
        match byte {
            b'\\' if string > 0 => at += 1,
            b'(' => string += 1,
            b')' => string = string.saturating_sub(1),
            // The end of an object closes everything. A damaged string must not hide the rest.
            b'e' if rest.starts_with(b"endobj") => (depth, string) = (0, 0),
            b's' if rest.starts_with(b"stream") => {
                (depth, string) = (0, 0);
                at += rest.windows(9).position(|it| it == b"endstream").unwrap_or(rest.len());
            }
            _ if string > 0 => (),
            b'[' | b'<' => depth += 1,
            b']' | b'>' => depth = depth.saturating_sub(1),
            _ => (),
        }
        deepest = deepest.max(depth);
    }
    deepest / 2
}

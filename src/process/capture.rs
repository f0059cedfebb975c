//! Keeps the newest bytes of a stream of any length.

use crate::model::{
    Bytes,
    bounded::{TRACEBACK, bounded},
};

/// How many of the newest bytes of each stream of an attempt are kept.
pub(super) const CAPTURE: Bytes = Bytes::mib(1);

/// Space for the line that says how much was cut.
const CUT: usize = 48;

/// The output of a child on one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// The last bytes, at most the requested number.
    pub newest: Vec<u8>,
    /// Everything that was printed, in bytes.
    pub total: u64,
}

impl Captured {
    /// Adds bytes and discards the oldest. Uses up to twice `limit`, so that discarding is rare.
    pub(super) fn push(&mut self, bytes: &[u8], limit: Bytes) {
        self.total += bytes.len() as u64;
        self.newest.extend_from_slice(bytes);
        if self.newest.len() as u64 > limit.0.saturating_mul(2) {
            self.trim(limit);
        }
    }

    pub(super) fn trim(&mut self, limit: Bytes) {
        let surplus = (self.newest.len() as u64).saturating_sub(limit.0) as usize;
        self.newest.drain(..surplus);
    }

    /// Adds the traceback of a failure, cut to a bounded length.
    pub(super) fn note(&mut self, traceback: &str) {
        if traceback.trim_end().is_empty() {
            return;
        }
        let text = bounded(traceback.trim_end().to_string(), TRACEBACK);
        self.push(format!("{text}\n").as_bytes(), CAPTURE);
        self.trim(CAPTURE);
    }

    /// The last lines as text, at most `limit` bytes. Begins at the start of a line if one fits. Invalid UTF-8 is
    /// replaced.
    pub fn last_lines(&self, limit: usize) -> String {
        let tail = &self.newest[self.newest.len().saturating_sub(limit)..];
        let mut text = String::from_utf8_lossy(tail).into_owned();
        if text.len() > limit {
            // Replacement characters are longer than the bytes that they replace.
            let start = (text.len() - limit..text.len()).find(|it| text.is_char_boundary(*it)).unwrap_or(text.len());
            text.drain(..start);
        }
        let cut = tail.len() < self.newest.len() || self.total > self.newest.len() as u64;
        match text.find('\n') {
            Some(end) if cut && end + 1 < text.len() => text.split_off(end + 1),
            _ => text,
        }
    }

    /// Like `last_lines`, with a first line that says how much was cut, if anything.
    pub fn tail(&self, limit: usize) -> String {
        if self.total <= limit.min(self.newest.len()) as u64 {
            return self.last_lines(limit);
        }
        let lines = self.last_lines(limit.saturating_sub(CUT));
        format!("[... {} bytes cut ...]\n{lines}", self.total.saturating_sub(lines.len() as u64))
    }

    /// The last non-blank line, cut to a few hundred bytes, for a message.
    pub fn last_line(&self) -> String {
        let text = self.last_lines(4096);
        let line = text.lines().rev().map(str::trim).find(|it| !it.is_empty()).unwrap_or_default();
        bounded(line.to_string(), 300)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(parts: &[&[u8]], limit: u64) -> Captured {
        let mut captured = Captured::default();
        parts.iter().for_each(|it| captured.push(it, Bytes(limit)));
        captured.trim(Bytes(limit));
        captured
    }

    #[test]
    fn the_newest_bytes_are_kept_and_all_are_counted() {
        let long: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for piece in [1, 7, 64, 10_000] {
            let parts: Vec<&[u8]> = long.chunks(piece).collect();
            let kept = captured(&parts, 100);
            assert_eq!(kept.newest, long[9_900..], "in pieces of {piece}");
            assert_eq!(kept.total, 10_000);
        }
        assert!(captured(&[b"abc"], 0).newest.is_empty());
    }

    #[test]
    fn last_lines_begin_at_a_line_and_are_valid_text() {
        assert_eq!(captured(&[b"one\ntwo\nthree\n"], 100).last_lines(100), "one\ntwo\nthree\n");
        assert_eq!(captured(&[b"one\ntwo\nthree\n"], 100).last_lines(8), "three\n");
        assert_eq!(captured(&[b"one\ntwo\nthree\n"], 8).last_lines(100), "three\n");
        assert_eq!(captured(&["ääää".as_bytes()], 100).last_lines(3), "ä");
        let broken = captured(&[&[0xff; 1000]], 1000).last_lines(100);
        assert!(broken.len() <= 100 && broken.starts_with('\u{fffd}'), "{broken}");
        assert_eq!(captured(&[], 100).last_lines(100), "");
    }

    #[test]
    fn a_tail_says_how_much_was_cut() {
        assert_eq!(captured(&[b"one\ntwo\n"], 100).tail(100), "one\ntwo\n");
        let lines: String = (0..1000).map(|it| format!("line {it}\n")).collect();
        let tail = captured(&[lines.as_bytes()], 5000).tail(200);
        let (first, rest) = tail.split_once('\n').unwrap();
        assert_eq!(first, format!("[... {} bytes cut ...]", lines.len() - rest.len()));
        assert!(tail.len() <= 200 && lines.ends_with(rest) && rest.starts_with("line "), "{tail}");
    }

    #[test]
    fn the_last_line_is_not_blank_and_short() {
        assert_eq!(captured(&[b"first\n  second \n\n \n"], 100).last_line(), "second");
        let long = captured(&["ä".repeat(400).as_bytes()], 1000).last_line();
        assert!(long.len() <= 300 && long.starts_with("ää") && long.contains("bytes cut"), "{long}");
        assert_eq!(captured(&[b"\n"], 100).last_line(), "");
    }
}

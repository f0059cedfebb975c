//! Cuts text from outside that is longer than anyone would read.

/// The maximum length of a failure's message, in bytes.
pub const MESSAGE: usize = 4 << 10;
/// The maximum length of a failure code such as `encrypted`, in bytes.
pub const CODE: usize = 64;
/// The maximum length of a traceback, in bytes.
pub const TRACEBACK: usize = 64 << 10;

/// The text if it has at most `most` bytes; otherwise its beginning and its end, around a mark that says how much was
/// cut.
pub fn bounded(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let mark = |cut: usize| format!(" [... {cut} bytes cut ...] ");
    let room = most.saturating_sub(mark(text.len()).len());
    let head = (0..=room / 4).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let tail = text.len() - (room - room / 4);
    let tail = (tail..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    // If there is no space for a mark, only the end is cut.
    match room {
        0 => text[..(0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)].to_string(),
        _ => format!("{}{}{}", &text[..head], mark(tail - head), &text[tail..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end_and_says_how_much_is_missing() {
        assert_eq!(bounded("short".to_string(), 5), "short");
        let text = format!("begin{}end", "x".repeat(1_000));
        let cut = bounded(text.clone(), 100);
        assert!(cut.len() <= 100 && cut.starts_with("begin") && cut.ends_with("end"), "{cut}");
        let missing: usize = cut.split("[... ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(cut.len() - format!(" [... {missing} bytes cut ...] ").len(), text.len() - missing);
    }

    #[test]
    fn any_text_is_cut_to_any_length_without_breaking_a_letter() {
        let text = "ä€😀".repeat(40);
        for most in 0..text.len() + 2 {
            let cut = bounded(text.clone(), most);
            assert!(cut.len() <= most, "{} > {most}", cut.len());
        }
    }
}

//! Counts tokens without a vocabulary.

/// Estimates the number of WordPiece tokens of a text, as the BERT family counts them. A word of up to six letters is
/// one token, and each further six letters are another. A punctuation mark is one, and so is a letter of a script
/// without spaces. Other letters beyond Latin count half, and blanks count nothing. The parts of a text never count
/// less than the whole.
#[derive(Default, Clone, Copy)]
pub(super) struct Counter {
    tokens: usize,
    latin: u32,
    other: u32,
}

const LATIN_PIECE: u32 = 6;
const OTHER_PIECE: u32 = 2;

impl Counter {
    pub fn take(&mut self, letter: char) {
        if letter.is_whitespace() {
            (self.latin, self.other) = (0, 0);
        } else if letter.is_ascii_alphanumeric() || ('\u{c0}'..'\u{250}').contains(&letter) {
            self.tokens += usize::from(self.latin.is_multiple_of(LATIN_PIECE));
            self.latin += 1;
        } else if letter.is_alphanumeric() && !is_unspaced(letter) {
            self.tokens += usize::from(self.other.is_multiple_of(OTHER_PIECE));
            self.other += 1;
        } else {
            (self.latin, self.other) = (0, 0);
            self.tokens += 1;
        }
    }

    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

pub(super) fn count(text: &str) -> usize {
    let mut counter = Counter::default();
    text.chars().for_each(|it| counter.take(it));
    counter.tokens()
}

/// Chinese, Japanese, Thai and the like.
fn is_unspaced(letter: char) -> bool {
    matches!(letter, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_about_as_wordpiece_does() {
        for (text, tokens) in [
            ("", 0),
            ("the pawl", 2),
            ("self-locking nuts.", 6),
            ("internationalization", 4),
            ("собачка", 4),
            ("巻き上げ機", 5),
            ("a \n b", 2),
            ("|---|", 5),
        ] {
            assert_eq!(count(text), tokens, "{text}");
        }
    }
}

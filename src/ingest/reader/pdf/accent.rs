//! Accents that are drawn as separate glyphs over or under a letter, because TeX fonts have no accented letters.

use super::page::Glyph;
use std::borrow::Cow;
use unicode_normalization::char::compose;

/// Combines letters and accents. Unchanged if there are no accents.
pub fn composed(glyphs: &[Glyph]) -> Cow<'_, [Glyph]> {
    if !glyphs.iter().any(|it| combining(it.letter).is_some()) {
        return Cow::Borrowed(glyphs);
    }
    let mut out: Vec<Glyph> = Vec::with_capacity(glyphs.len());
    let mut pending: Option<Glyph> = None;
    for glyph in glyphs {
        if let Some(accent) = pending.take() {
            match over(&accent, glyph) {
                Some(letter) => {
                    let (spaced, placed) = (accent.spaced || glyph.spaced, accent.placed);
                    out.push(Glyph { letter, spaced, placed, ..*glyph });
                    continue;
                }
                None => out.push(accent),
            }
        }
        if combining(glyph.letter).is_none() {
            out.push(*glyph);
            continue;
        }
        match out.last_mut().and_then(|last| over(glyph, last).map(|letter| (last, letter))) {
            Some((last, letter)) => {
                last.letter = letter;
                last.ended |= glyph.ended;
            }
            None => pending = Some(*glyph),
        }
    }
    out.extend(pending);
    Cow::Owned(out)
}

/// The accented letter, if the accent is positioned over the letter.
fn over(accent: &Glyph, letter: &Glyph) -> Option<char> {
    let middle = (accent.left + accent.right) / 2.0;
    let inside = middle > letter.left - 0.05 * letter.size && middle < letter.right + 0.05 * letter.size;
    let near = (accent.base - letter.base).abs() < 0.6 * letter.size.max(accent.size);
    let base = match letter.letter {
        'ı' => 'i',
        'ȷ' => 'j',
        letter => letter,
    };
    (inside && near).then(|| compose(base, combining(accent.letter)?)).flatten()
}

/// The combining mark for an accent.
fn combining(letter: char) -> Option<char> {
    Some(match letter {
        '`' | 'ˋ' => '\u{300}',
        '´' | 'ˊ' => '\u{301}',
        '^' | 'ˆ' => '\u{302}',
        '˜' | '~' => '\u{303}',
        '¯' | 'ˉ' => '\u{304}',
        '˘' => '\u{306}',
        '˙' => '\u{307}',
        '¨' => '\u{308}',
        '˚' | '°' => '\u{30a}',
        '˝' => '\u{30b}',
        'ˇ' => '\u{30c}',
        '¸' => '\u{327}',
        '˛' => '\u{328}',
        '\u{300}'..='\u{36f}' => letter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::page::Style, *};

    fn glyph(letter: char, left: f32, right: f32) -> Glyph {
        let style = Style::default();
        Glyph {
            letter,
            left,
            right,
            base: 100.0,
            size: 10.0,
            style,
            spaced: false,
            placed: false,
            part: false,
            ended: false,
        }
    }

    #[test]
    fn accents_join_the_letter_under_them() {
        let read = |glyphs: &[Glyph]| composed(glyphs).iter().map(|it| it.letter).collect::<String>();
        assert_eq!(
            read(&[glyph('f', 0.0, 3.0), glyph('¨', 3.2, 8.2), glyph('u', 3.0, 8.5), glyph('r', 8.5, 12.0)]),
            "für"
        );
        assert_eq!(read(&[glyph('e', 0.0, 5.0), glyph('´', 0.5, 4.5)]), "é");
        assert_eq!(read(&[glyph('`', 0.5, 3.0), glyph('ı', 0.0, 3.0)]), "ì");
        assert_eq!(read(&[glyph('x', 0.0, 5.0), glyph('^', 5.0, 9.0), glyph('2', 9.0, 14.0)]), "x^2");
        assert_eq!(read(&[glyph('a', 0.0, 5.0), glyph('~', 5.0, 9.0)]), "a~");
    }
}

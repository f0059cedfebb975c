//! The content of a page, independent of any library: letters, ruling lines and images with their positions.
//!
//! Positions are in points. In the frame of a page, x grows to the right and y downwards from the top left corner. Text
//! rotated by quarter turns has its own frame, in which it is upright.

use std::rc::Rc;

/// How the letters of a font look. Letters with the same font have the same style.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Numbered in the order in which the document uses its fonts.
    pub font: u16,
    pub bold: bool,
    pub mono: bool,
}

/// A letter. A ligature becomes several letters side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glyph {
    pub letter: char,
    pub left: f32,
    pub right: f32,
    /// The baseline.
    pub base: f32,
    /// The font's size as it appears on the page.
    pub size: f32,
    pub style: Style,
    /// Whether a space was written before it.
    pub spaced: bool,
    /// Whether it is the first letter after the content set a position.
    pub placed: bool,
    /// Whether it is not the first letter of a ligature.
    pub part: bool,
    /// Whether a space was written after it.
    pub ended: bool,
}

/// A horizontal or vertical ruling line, from its smaller to its larger end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    pub x0: f32,
    pub y0: f32,
    pub x1: f32,
    pub y1: f32,
}

impl Rule {
    pub fn is_horizontal(&self) -> bool {
        self.x1 - self.x0 >= self.y1 - self.y0
    }
}

/// Quarter turns clockwise.
pub type Turn = u8;

/// The content of a page.
#[derive(Debug, Default)]
pub struct Page {
    pub width: f32,
    pub height: f32,
    /// The letters by rotation, each in content order.
    pub glyphs: [Vec<Glyph>; 4],
    pub rules: Vec<Rule>,
    /// The number of images that cover a large part of the page.
    pub images: usize,
    /// Non-blank letters that no text operator produced, by reason.
    pub lost: Lost,
}

/// Letters that were shown but can't be read.
#[derive(Debug, Default, Clone)]
pub struct Lost {
    /// Codes that their font does not map to a character.
    pub unmapped: usize,
    /// The name of the first such font.
    pub font: Option<Rc<str>>,
    /// Letters beyond the page's edges.
    pub outside: usize,
    /// Letters in layers that are switched off.
    pub hidden: usize,
    /// Texts with a missing or damaged font.
    pub no_font: usize,
}

impl Lost {
    /// Why a page with text has no words, in plain language. None if no text was lost.
    pub fn reason(&self) -> Option<String> {
        let font = self.font.as_deref().unwrap_or("a font");
        Some(match self {
            Lost { unmapped: 1.., .. } => {
                format!(
                    "its text has no letters that can be read: {font} does not say which character each code stands for"
                )
            }
            Lost { no_font: 1.., .. } => "its text uses a font that is missing or damaged".to_string(),
            Lost { outside: 1.., .. } => "all of its text lies outside of the page".to_string(),
            Lost { hidden: 1.., .. } => "all of its text is in layers that are switched off".to_string(),
            _ => return None,
        })
    }
}

impl Page {
    /// Converts a point on the page to the frame of text with this rotation: the position along the line, and the
    /// baseline.
    pub fn turned(&self, turn: Turn, x: f32, y: f32) -> (f32, f32) {
        match turn {
            0 => (x, y),
            1 => (y, self.width - x),
            2 => (self.width - x, self.height - y),
            _ => (self.height - y, x),
        }
    }

    /// The rotation of most letters.
    pub fn main_turn(&self) -> Turn {
        (0..4).max_by_key(|it| (self.glyphs[*it].len(), 4 - it)).unwrap_or(0) as Turn
    }

    /// The ruling lines in the frame of text with this rotation.
    pub fn turned_rules(&self, turn: Turn) -> Vec<Rule> {
        let turned = |rule: &Rule| {
            let (a, b) = (self.turned(turn, rule.x0, rule.y0), self.turned(turn, rule.x1, rule.y1));
            Rule { x0: a.0.min(b.0), y0: a.1.min(b.1), x1: a.0.max(b.0), y1: a.1.max(b.1) }
        };
        self.rules.iter().map(turned).collect()
    }

    pub fn is_blank(&self) -> bool {
        self.glyphs.iter().all(Vec::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turned_text_stands_upright_in_its_frame() {
        let page = Page { width: 600.0, height: 800.0, ..Page::default() };
        // Moving along the line increases the first number; the next line has a larger second number.
        for (turn, along, next_line) in [
            (0, (10.0, 0.0), (0.0, 12.0)),
            (1, (0.0, 10.0), (-12.0, 0.0)),
            (2, (-10.0, 0.0), (0.0, -12.0)),
            (3, (0.0, -10.0), (12.0, 0.0)),
        ] {
            let start = page.turned(turn, 300.0, 300.0);
            let on = page.turned(turn, 300.0 + along.0, 300.0 + along.1);
            let below = page.turned(turn, 300.0 + next_line.0, 300.0 + next_line.1);
            assert_eq!((on.0 - start.0, on.1 - start.1), (10.0, 0.0), "turn {turn}");
            assert_eq!((below.0 - start.0, below.1 - start.1), (0.0, 12.0), "turn {turn}");
        }
    }

    #[test]
    fn a_page_without_words_says_why() {
        for (lost, words) in [
            (Lost { unmapped: 3, font: Some("F1".into()), ..Lost::default() }, "F1 does not say"),
            (Lost { outside: 3, ..Lost::default() }, "outside of the page"),
            (Lost { hidden: 3, ..Lost::default() }, "switched off"),
            (Lost { no_font: 1, ..Lost::default() }, "missing or damaged"),
        ] {
            assert!(lost.reason().unwrap().contains(words));
        }
        assert_eq!(Lost::default().reason(), None);
    }
}

//! The text operators: the position of each letter.

use super::{
    bidi,
    font::PageFont,
    matrix::Matrix,
    page::{Glyph, Style, Turn},
    run::{Instead, LETTERS_MAX, Mark, Run},
};
use hayro_syntax::{
    content::ops::TypedInstruction as Op,
    object::{Object, String as PdfString},
    page::Resources,
};
use std::rc::Rc;

/// How far a letter may be beyond the page's edge, in points.
const EDGE: f32 = 1.0;

impl<'a> Run<'_, 'a> {
    /// Handles text operators.
    pub fn text(&mut self, operator: Op<'_, '_>, resources: &Resources<'a>) {
        match operator {
            Op::BeginText(_) => self.place(Matrix::IDENTITY),
            Op::CharacterSpacing(it) => self.state.char_space = it.0.as_f64(),
            Op::WordSpacing(it) => self.state.word_space = it.0.as_f64(),
            Op::HorizontalScaling(it) => self.state.stretch = it.0.as_f64() / 100.0,
            Op::TextLeading(it) => self.state.leading = it.0.as_f64(),
            Op::TextRise(it) => self.state.rise = it.0.as_f64(),
            Op::TextFont(it) => {
                self.state.font = resources.get_font(it.0).and_then(|it| self.fonts.font(&it));
                self.state.size = it.1.as_f64();
            }
            Op::NextLine(it) => self.next_line(it.0.as_f64(), it.1.as_f64()),
            Op::NextLineAndSetLeading(it) => {
                self.state.leading = -it.1.as_f64();
                self.next_line(it.0.as_f64(), it.1.as_f64());
            }
            Op::NextLineUsingLeading(_) => self.next_line(0.0, -self.state.leading),
            Op::SetTextMatrix(it) => self.place(Matrix([it.0, it.1, it.2, it.3, it.4, it.5].map(|it| it.as_f64()))),
            Op::ShowText(it) => self.show(it.0),
            Op::NextLineAndShowText(it) => {
                self.next_line(0.0, -self.state.leading);
                self.show(it.0);
            }
            Op::ShowTextWithParameters(it) => {
                self.state.word_space = it.0.as_f64();
                self.state.char_space = it.1.as_f64();
                self.next_line(0.0, -self.state.leading);
                self.show(it.2);
            }
            Op::ShowTexts(it) => {
                for part in it.0.iter::<Object<'_>>() {
                    match part {
                        Object::String(text) => self.show(&text),
                        Object::Number(number) => self.adjust(number.as_f64()),
                        _ => (),
                    }
                }
            }
            _ => (),
        }
    }

    fn place(&mut self, matrix: Matrix) {
        self.state.text = matrix;
        self.state.line = matrix;
        self.state.spaced = false;
        self.state.placed = true;
    }

    fn next_line(&mut self, x: f64, y: f64) {
        self.place(self.state.line.after(&Matrix::shift(x, y)));
    }

    fn adjust(&mut self, thousandths: f64) {
        let distance = -thousandths / 1000.0 * self.state.size;
        self.advance(distance);
    }

    /// Advances by a distance in text coordinates, before stretching.
    fn advance(&mut self, distance: f64) {
        let horizontal = self.state.font.as_ref().is_none_or(|it| it.horizontal);
        let shift = match horizontal {
            true => Matrix::shift(distance * self.state.stretch, 0.0),
            false => Matrix::shift(0.0, -distance),
        };
        self.state.text = self.state.text.after(&shift);
    }

    fn show(&mut self, text: &PdfString<'_>) {
        let bytes = text.as_bytes();
        let Some(font) = self.state.font.clone() else {
            self.page.lost.no_font += usize::from(bytes.iter().any(|it| !it.is_ascii_whitespace()));
            return;
        };
        // The baseline of skewed text is that of its first letter.
        let mut askew = None;
        let mut at = 0;
        while at < bytes.len() {
            let (code, length) = font.next_code(bytes, at);
            at += length;
            let found = font.code(code);
            let mut distance = found.advance / 1000.0 * self.state.size + self.state.char_space;
            if code == 32 && length == 1 {
                distance += self.state.word_space;
            }
            self.letters(&font, &found.text, distance.max(found.advance / 1000.0 * self.state.size), &mut askew);
            self.advance(distance);
        }
    }

    /// Records the letters of one code, which takes up `width` along the line in text coordinates.
    fn letters(&mut self, font: &Rc<PageFont<'a>>, text: &str, width: f64, askew: &mut Option<Askew>) {
        if text.is_empty() {
            // A code without a character still provides a position for its replacement text.
            let place = self.glyph(font, width, askew);
            if !self.is_hidden() && !self.replaced(place, "") {
                self.page.lost.unmapped += 1;
                self.page.lost.font.get_or_insert_with(|| font.name.clone());
            }
            return;
        }
        if text.chars().all(char::is_whitespace) {
            self.state.spaced = true;
            if let Some(last) = self.page.glyphs[usize::from(self.turn)].last_mut() {
                last.ended = true;
            }
            return;
        }
        let Some((turn, glyph)) = self.glyph(font, width, askew) else { return };
        if self.is_hidden() {
            self.page.lost.hidden += 1;
        } else if glyph.right < -EDGE || self.is_outside(turn, &glyph) {
            self.page.lost.outside += 1;
        } else if !self.replaced(Some((turn, glyph)), text) {
            self.push(turn, glyph, text);
        }
        self.state.spaced = false;
        self.state.placed = false;
    }

    /// The position of the next letter in the frame of its rotation.
    fn glyph(&self, font: &PageFont<'_>, width: f64, askew: &mut Option<Askew>) -> Option<(Turn, Glyph)> {
        let state = &self.state;
        let all = state.page.after(&state.text);
        let Matrix(m) = all;
        let (start, along, scale) = if font.horizontal {
            (all.point(0.0, state.rise), (m[0], m[1]), state.stretch)
        } else {
            (all.point(0.0, 0.0), (-m[2], -m[3]), 1.0)
        };
        let length = (along.0 * along.0 + along.1 * along.1).sqrt();
        let size = (state.size * font.scale).abs() * if font.horizontal { across(&all) } else { length };
        let turn = match () {
            () if along.0.abs() >= along.1.abs() => {
                if along.0 >= 0.0 {
                    0
                } else {
                    2
                }
            }
            () if along.1 > 0.0 => 1,
            () => 3,
        };
        // A negative size or stretch writes backwards: the letter is before its start.
        let width = (width * scale * length) as f32;
        let (left, base) = self.page.turned(turn, start.0 as f32, start.1 as f32);
        let (left, base) = match along.0.abs().min(along.1.abs()) > 0.05 * length {
            true => askew.get_or_insert(Askew { start, left, base }).place(start),
            false => (left, base),
        };
        let sound = left.is_finite() && base.is_finite() && width.is_finite() && size.is_finite();
        let (left, right) = (left.min(left + width), left.max(left + width));
        let (spaced, placed, size) = (state.spaced, state.placed, size as f32);
        let glyph = Glyph {
            letter: ' ',
            left,
            right,
            base,
            size,
            style: font.style,
            spaced,
            placed,
            part: false,
            ended: false,
        };
        (sound && size > 0.01 && size < 20_000.0).then_some((turn, glyph))
    }

    fn is_outside(&self, turn: Turn, glyph: &Glyph) -> bool {
        let (width, height) = match turn % 2 {
            0 => (self.page.width, self.page.height),
            _ => (self.page.height, self.page.width),
        };
        glyph.left > width + EDGE || glyph.base < -EDGE || glyph.base - glyph.size > height + EDGE
    }

    /// Whether another text replaces the letter. Records the letter's position for that text.
    fn replaced(&mut self, glyph: Option<(Turn, Glyph)>, text: &str) -> bool {
        let Some(instead) = self.marks.iter_mut().find_map(|it| it.instead.as_mut()) else { return false };
        // Text that is also written out is placed better by its letters.
        if instead.place.is_none() && !instead.text.is_empty() && instead.text.trim() == text {
            return false;
        }
        match (&mut instead.place, glyph) {
            (Some((turn, first)), Some((other, glyph))) if *turn == other && (first.base - glyph.base).abs() < 1.0 => {
                first.right = first.right.max(glyph.right);
                first.left = first.left.min(glyph.left);
            }
            (place @ None, Some(glyph)) => *place = Some(glyph),
            _ => (),
        }
        true
    }

    /// Closes marks down to `count`, and writes the texts that replace their content.
    pub fn end_marks(&mut self, count: usize) {
        while self.marks.len() > count {
            let Some(Mark { hidden, instead }) = self.marks.pop() else { return };
            if let (false, Some(Instead { text, place: Some((turn, glyph)) })) = (hidden, instead) {
                self.push(turn, glyph, &text);
            }
        }
    }

    /// Spreads the letters of `text` over the width of `glyph`.
    pub fn push(&mut self, turn: Turn, glyph: Glyph, text: &str) {
        let count = text.chars().count();
        self.turn = turn;
        let glyphs = &mut self.page.glyphs[usize::from(turn)];
        if count == 0 || glyphs.len() >= LETTERS_MAX {
            return;
        }
        if count == 1 {
            let letter = text.chars().next().unwrap_or(' ');
            glyphs.push(Glyph { letter, ..glyph });
            return;
        }
        // The letters are placed from left to right but read from right to left.
        let backwards = text.chars().any(bidi::is_right_to_left);
        let letters: Vec<char> = if backwards { text.chars().rev().collect() } else { text.chars().collect() };
        let width = (glyph.right - glyph.left) / count as f32;
        let mut spaced = glyph.spaced;
        for (index, letter) in letters.into_iter().enumerate() {
            if letter.is_whitespace() {
                spaced = true;
                continue;
            }
            let left = glyph.left + width * index as f32;
            glyphs.push(Glyph { letter, left, right: left + width, spaced, part: index > 0, ..glyph });
            spaced = false;
        }
    }

    /// Writes a text of the document's structure into a box on the page, from its top left corner.
    pub fn write(&mut self, text: &str, [left, top, right, _]: [f64; 4]) {
        let lines: Vec<&str> = text.lines().collect();
        let size = 10.0;
        for (index, line) in lines.into_iter().enumerate().take(1000) {
            let base = top as f32 + size * (1.0 + 1.2 * index as f32);
            let width = (line.chars().count() as f32 * size * 0.5).min((right - left).max(1.0) as f32);
            let left = left as f32;
            let right = left + width;
            let style = Style::default();
            let glyph = Glyph {
                letter: ' ',
                left,
                right,
                base,
                size,
                style,
                spaced: true,
                placed: true,
                part: false,
                ended: false,
            };
            self.push(0, glyph, line);
        }
    }
}

/// The first letter of a text that is not rotated by a quarter turn.
pub(super) struct Askew {
    start: (f64, f64),
    left: f32,
    base: f32,
}

impl Askew {
    /// Puts a letter on the baseline of the first one, at its distance.
    fn place(&self, at: (f64, f64)) -> (f32, f32) {
        let (x, y) = (at.0 - self.start.0, at.1 - self.start.1);
        (self.left + (x * x + y * y).sqrt() as f32, self.base)
    }
}

/// How much a map stretches across the line.
fn across(Matrix(m): &Matrix) -> f64 {
    (m[2] * m[2] + m[3] * m[3]).sqrt()
}

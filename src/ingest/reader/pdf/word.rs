//! Combines letters into words by the gaps between them.
//!
//! Consecutive letters that touch form a run. Runs on one baseline are sorted from left to right and joined if the gap
//! between them is not a space: less than a tenth of the font size, as in poppler's TextOutputDev. Text that is
//! positioned letter by letter, or letterspaced, has wider gaps; there, a space is a gap clearly wider than most.

use super::{
    accent,
    page::{Glyph, Style},
};

/// The narrowest space, in font sizes.
const BLANK: f32 = 0.1;
/// A letter shown again within this distance, in font sizes, only makes the first one bolder.
const AGAIN: f32 = 0.1;
/// How far a letter may overlap the one before it, in font sizes.
const BACK: f32 = 0.5;

/// Letters between two spaces, from left to right.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    pub text: String,
    pub left: f32,
    pub right: f32,
    pub base: f32,
    pub size: f32,
    pub style: Style,
    /// Whether a space was written before it.
    pub spaced: bool,
    /// The number of letters. A table placeholder has none, and its table number instead.
    pub count: usize,
    pub table: Option<usize>,
    /// The start of the last letter.
    pub last: f32,
    /// Whether it is a single letter that was positioned individually.
    pub alone: bool,
    /// Whether a space was written after it.
    pub ended: bool,
}

/// Words on one baseline, from left to right.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub words: Vec<Word>,
    pub base: f32,
    /// The size of its largest letters.
    pub size: f32,
}

impl Word {
    /// A placeholder for the table with this number.
    pub fn of_table(number: usize, left: f32, right: f32, base: f32) -> Word {
        let text = String::new();
        let style = Style::default();
        Word {
            text,
            left,
            right,
            base,
            size: 1.0,
            style,
            spaced: true,
            count: 0,
            table: Some(number),
            last: left,
            alone: false,
            ended: false,
        }
    }
}

impl Row {
    pub fn left(&self) -> f32 {
        self.words.iter().map(|it| it.left).fold(f32::MAX, f32::min)
    }

    pub fn right(&self) -> f32 {
        self.words.iter().map(|it| it.right).fold(f32::MIN, f32::max)
    }
}

/// The rows of words formed by these letters, from top to bottom.
pub fn rows(glyphs: &[Glyph]) -> Vec<Row> {
    let mut runs = runs(&accent::composed(glyphs));
    runs.sort_by(|a, b| a.base.total_cmp(&b.base));
    let mut rows: Vec<Row> = Vec::new();
    for run in runs {
        match rows.last_mut() {
            Some(row) if run.base - row.base <= 0.2 * row.size.min(run.size) => {
                if run.size > row.size {
                    (row.size, row.base) = (run.size, run.base);
                }
                row.words.push(run);
            }
            _ => rows.push(Row { base: run.base, size: run.size, words: vec![run] }),
        }
    }
    let mut rows = raised(rows);
    for row in &mut rows {
        row.words.sort_by(|a, b| a.left.total_cmp(&b.left));
        row.words = joined(std::mem::take(&mut row.words));
    }
    rows.retain(|it| !it.words.is_empty());
    rows
}

/// Letters that follow each other without a gap, in content order.
fn runs(glyphs: &[Glyph]) -> Vec<Word> {
    let mut runs: Vec<Word> = Vec::new();
    for (index, glyph) in glyphs.iter().enumerate() {
        let again = |before: &Glyph| {
            before.letter == glyph.letter
                && (before.left - glyph.left).abs() < AGAIN * glyph.size
                && (before.base - glyph.base).abs() < AGAIN * glyph.size
        };
        if !glyph.part && glyphs[index.saturating_sub(3)..index].iter().any(again) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if follows(run, glyph) => {
                run.text.push(glyph.letter);
                run.right = run.right.max(glyph.right);
                run.last = glyph.left;
                run.alone = false;
                run.ended = glyph.ended;
                run.count += 1;
            }
            _ => runs.push(Word {
                text: glyph.letter.to_string(),
                left: glyph.left,
                right: glyph.right,
                base: glyph.base,
                size: glyph.size,
                style: glyph.style,
                spaced: glyph.spaced,
                count: 1,
                table: None,
                last: glyph.left,
                alone: glyph.placed,
                ended: glyph.ended,
            }),
        }
    }
    runs
}

fn follows(run: &Word, glyph: &Glyph) -> bool {
    let gap = glyph.left - run.right;
    let apart = glyph.spaced || glyph.placed && run.alone;
    !apart
        && glyph.style == run.style
        && (glyph.base - run.base).abs() < 0.02 * run.size
        && (glyph.size - run.size).abs() < 0.02 * run.size
        && gap < BLANK * run.size
        && gap > -BACK * run.size
        && glyph.left >= run.left
}

/// Puts raised and lowered small letters (powers, footnote marks) into the row of the word beside them.
fn raised(rows: Vec<Row>) -> Vec<Row> {
    let mut out: Vec<Row> = Vec::with_capacity(rows.len());
    let mut pending: Vec<Word> = Vec::new();
    for mut row in rows {
        let (now, later): (Vec<Word>, Vec<Word>) =
            std::mem::take(&mut pending).into_iter().partition(|it| beside(it, &row));
        // Words that belong to no row below form a row of their own.
        for word in later {
            own_row(&mut out, word);
        }
        let has_raised = !now.is_empty();
        row.words.extend(now);
        let above = out.last_mut();
        let (small, normal): (Vec<Word>, Vec<Word>) = match row.words.len() <= 12 {
            true => std::mem::take(&mut row.words).into_iter().partition(|it| it.count <= 6 && it.table.is_none()),
            false => (Vec::new(), std::mem::take(&mut row.words)),
        };
        row.words = normal;
        match above {
            Some(above) => {
                for word in small {
                    match beside(&word, above) {
                        true => above.words.push(word),
                        false => row.words.push(word),
                    }
                }
            }
            None => row.words.extend(small),
        }
        // A row with only short words may be the powers of the row below it.
        if !has_raised && row.words.iter().all(|it| it.count <= 6) && row.words.len() <= 12 {
            pending = std::mem::take(&mut row.words);
        } else {
            out.push(row);
        }
    }
    for word in pending {
        own_row(&mut out, word);
    }
    out
}

fn own_row(rows: &mut Vec<Row>, word: Word) {
    match rows.last_mut() {
        Some(row) if (word.base - row.base).abs() <= 0.2 * row.size.min(word.size) => row.words.push(word),
        _ => rows.push(Row { base: word.base, size: word.size, words: vec![word] }),
    }
}

/// Whether the word is small, off the row's baseline, and next to one of its words.
fn beside(word: &Word, row: &Row) -> bool {
    let near = |other: &Word| {
        let gap = (word.left - other.right).max(other.left - word.right);
        gap > -0.3 * other.size && gap < 0.3 * other.size
    };
    let shift = word.base - row.base;
    word.size < 0.85 * row.size && shift > -0.65 * row.size && shift < 0.4 * row.size && row.words.iter().any(near)
}

/// Joins the runs of one row into words. A run shown twice in one place counts once.
fn joined(runs: Vec<Word>) -> Vec<Word> {
    let mut out: Vec<Word> = Vec::with_capacity(runs.len());
    let mut rest = &runs[..];
    while !rest.is_empty() {
        // A stretch of runs without wide gaps, which may be positioned letter by letter.
        let wide = rest.windows(2).position(|it| it[1].left - it[0].right > 1.5 * it[0].size.min(it[1].size));
        let (stretch, after) = rest.split_at(wide.map_or(rest.len(), |it| it + 1));
        let blank = blank_of(stretch);
        for run in stretch {
            match out.last_mut() {
                Some(word) if is_again(word, run) => (),
                Some(word) if touches(word, run, &blank) => {
                    word.text.push_str(&run.text);
                    word.right = word.right.max(run.right);
                    word.count += run.count;
                    word.last = run.last;
                    word.ended = run.ended;
                    if run.size > word.size {
                        (word.size, word.base) = (run.size, run.base);
                    }
                }
                _ => out.push(run.clone()),
            }
        }
        rest = after;
    }
    out
}

/// What counts as a space in a stretch of runs.
enum Blank {
    /// A gap of more than this many font sizes.
    Gap(f32),
    /// A step of more than this many points between the starts of two letters.
    Step(f32),
    /// Only spaces that were written.
    Written,
}

fn blank_of(runs: &[Word]) -> Blank {
    let letters: usize = runs.iter().map(|it| it.count).sum();
    if runs.len() < 4 || letters > 2 * runs.len() {
        return Blank::Gap(BLANK);
    }
    // The copy of a letter that is shown twice is in the next run.
    let mut single: Vec<&Word> = Vec::with_capacity(runs.len());
    for run in runs {
        if !single.last().is_some_and(|it| is_again(it, run)) {
            single.push(run);
        }
    }
    let mut steps: Vec<f32> = single.windows(2).map(|it| it[1].left - it[0].left).collect();
    let size = runs[0].size;
    let all_letters = single.iter().all(|it| it.count == 1);
    let mut gaps: Vec<f32> = single.windows(2).map(|it| (it[1].left - it[0].right) / size).collect();
    gaps.sort_by(f32::total_cmp);
    steps.sort_by(f32::total_cmp);
    let (Some(&least), Some(&most)) = (gaps.first(), gaps.last()) else { return Blank::Gap(BLANK) };
    let step = steps[steps.len() / 2];
    let even = steps.iter().filter(|it| (**it - step).abs() < 0.04 * step).count();
    if all_letters && even * 10 >= steps.len() * 6 {
        return Blank::Step(1.25 * step);
    }
    match () {
        () if least <= BLANK => Blank::Gap(BLANK),
        () if single.iter().any(|it| it.spaced || it.ended) => Blank::Written,
        () if !all_letters => Blank::Gap(BLANK),
        () if most - least < 0.15 => Blank::Written,
        () => Blank::Gap((least + most) / 2.0),
    }
}

fn touches(word: &Word, run: &Word, blank: &Blank) -> bool {
    let size = word.size.min(run.size);
    let gap = run.left - word.right;
    let narrow = match blank {
        Blank::Gap(limit) => gap < limit * size,
        Blank::Step(limit) => run.left - word.last < *limit,
        Blank::Written => true,
    };
    narrow && !run.spaced && !word.ended && gap > -BACK * size && word.table.is_none() && run.table.is_none()
}

/// Whether the run repeats the end of the word in the same place.
fn is_again(word: &Word, run: &Word) -> bool {
    let within = AGAIN * run.size;
    let same = |left: f32| (left - run.left).abs() < within && (word.base - run.base).abs() < within;
    if word.text == run.text {
        return same(word.left);
    }
    // A single letter, or the end of the word.
    word.text.ends_with(&run.text) && (word.right - run.right).abs() < within && run.left < word.right
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters half as wide as they are high, with these gaps: `_` is a space of 3 points, `|` a gap of 30.
    pub fn set(text: &str, left: f32, base: f32, size: f32) -> Vec<Glyph> {
        let mut at = left;
        let mut glyphs = Vec::new();
        for letter in text.chars() {
            match letter {
                '_' => at += 0.3 * size,
                '|' => at += 3.0 * size,
                letter => {
                    let right = at + 0.5 * size;
                    glyphs.push(Glyph {
                        letter,
                        left: at,
                        right,
                        base,
                        size,
                        style: Style::default(),
                        spaced: false,
                        placed: false,
                        part: false,
                        ended: false,
                    });
                    at = right;
                }
            }
        }
        glyphs
    }

    fn texts(glyphs: &[Glyph]) -> Vec<String> {
        let words = |row: &Row| row.words.iter().map(|it| it.text.as_str()).collect::<Vec<_>>().join(" ");
        rows(glyphs).iter().map(words).collect()
    }

    #[test]
    fn words_end_at_gaps_and_rows_at_baselines() {
        let mut glyphs = set("holds_firmly", 10.0, 120.0, 10.0);
        glyphs.extend(set("The_winch", 10.0, 100.0, 10.0));
        assert_eq!(texts(&glyphs), ["The winch", "holds firmly"]);
        assert!(texts(&[]).is_empty());
    }

    #[test]
    fn the_order_of_the_content_does_not_matter() {
        let mut glyphs = set("holds", 60.0, 100.0, 10.0);
        glyphs.extend(set("winch", 20.0, 100.0, 10.0));
        assert_eq!(texts(&glyphs), ["winch holds"]);
    }

    #[test]
    fn a_letter_shown_twice_counts_once() {
        let doubled = |text: &str| -> Vec<Glyph> {
            let letters = set(text, 10.0, 100.0, 10.0);
            letters.iter().flat_map(|it| [*it, Glyph { left: it.left + 0.4, right: it.right + 0.4, ..*it }]).collect()
        };
        assert_eq!(texts(&doubled("ANCHOR_ALL")), ["ANCHOR ALL"]);
        let mut shadow = set("ANCHOR_ALL", 10.0, 100.0, 10.0);
        shadow.extend(set("ANCHOR_ALL", 10.5, 100.5, 10.0));
        assert_eq!(texts(&shadow), ["ANCHOR ALL"]);
    }

    #[test]
    fn spaced_letters_are_words_where_their_gaps_are_wider() {
        let spaced = |gap: f32, blank: f32| {
            let (mut glyphs, mut at) = (Vec::new(), 10.0);
            for letter in "WIDE TITLE".chars() {
                if letter == ' ' {
                    at += blank;
                    continue;
                }
                glyphs.extend(set(&letter.to_string(), at, 100.0, 10.0));
                at += 5.0 + gap;
            }
            texts(&glyphs)
        };
        assert_eq!(spaced(0.0, 3.0), ["WIDE TITLE"]);
        assert_eq!(spaced(3.0, 6.0), ["WIDE TITLE"]);
    }

    #[test]
    fn powers_and_notes_stay_with_their_word() {
        let mut glyphs = set("mass_E=mc", 10.0, 100.0, 10.0);
        let right = glyphs.last().unwrap().right;
        glyphs.extend(set("2", right, 96.0, 6.0));
        assert_eq!(texts(&glyphs), ["mass E=mc2"]);
    }
}

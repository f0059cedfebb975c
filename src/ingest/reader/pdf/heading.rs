//! Which lines are headings: those in the document's bookmarks or, without bookmarks, larger lines and bold numbered
//! lines.

use super::{
    bookmarks::Bookmark,
    layout::{Block, Line, Sheet, is_unspaced},
};
use std::collections::HashMap;

/// The longest heading, in letters.
const LETTERS_MAX: usize = 200;
/// The most lines of one heading.
const LINES_MAX: usize = 4;
/// How much larger than the text a heading is.
const LARGER: f32 = 1.12;
/// The deepest level of a heading.
const LEVEL_MAX: usize = 6;

/// Marks the headings among the lines of the pages.
pub fn mark(sheets: &mut [Sheet], bookmarks: &[Bookmark]) {
    if bookmarks.len() >= 2 {
        by_bookmarks(sheets, bookmarks);
    } else {
        by_size(sheets);
    }
}

fn by_bookmarks(sheets: &mut [Sheet], bookmarks: &[Bookmark]) {
    // From the end, so that insertions do not move positions that are still to be processed.
    let mut by_page: HashMap<usize, Vec<&Bookmark>> = HashMap::new();
    bookmarks.iter().for_each(|it| by_page.entry(it.page).or_default().push(it));
    for (page, bookmarks) in by_page {
        let Some(sheet) = sheets.get_mut(page) else { continue };
        let mut after = 0;
        for bookmark in bookmarks {
            let level = (bookmark.depth + 1).min(LEVEL_MAX) as u8;
            let at = match titled(sheet, bookmark, after) {
                Some((at, count)) => {
                    merge(sheet, at, count, level);
                    at
                }
                None => {
                    let at = place(sheet, bookmark, after);
                    let line = Line {
                        text: bookmark.title.clone(),
                        heading: Some(level),
                        upright: true,
                        ..neighbour(sheet, at)
                    };
                    sheet.blocks.insert(at, Block::Line(line));
                    at
                }
            };
            after = at + 1;
        }
    }
}

/// The lines with the bookmark's title: the first line and their number. The match closest to the target is used.
fn titled(sheet: &Sheet, bookmark: &Bookmark, after: usize) -> Option<(usize, usize)> {
    let title = bare(&bookmark.title);
    if title.is_empty() {
        return None;
    }
    let distance = |line: &Line| bookmark.y.map_or(line.base, |y| (line.base - y).abs());
    let mut best: Option<(f32, usize, usize)> = None;
    for (at, block) in sheet.blocks.iter().enumerate() {
        let Block::Line(first) = block else { continue };
        // A match far above the target is another mention of the same words.
        let above = bookmark.y.is_some_and(|y| first.base < y - 24.0);
        if first.heading.is_some() || above || (at < after && bookmark.y.is_none()) {
            continue;
        }
        let Some(count) = lines_of(sheet, at, &title) else { continue };
        if best.as_ref().is_none_or(|it| distance(first) < it.0) {
            best = Some((distance(first), at, count));
        }
    }
    best.map(|it| (it.1, it.2))
}

/// How many lines from here form the title. None if they don't match.
fn lines_of(sheet: &Sheet, at: usize, title: &str) -> Option<usize> {
    let mut text = String::new();
    for (index, block) in sheet.blocks[at..].iter().take(LINES_MAX).enumerate() {
        let Block::Line(line) = block else { return None };
        text.push_str(&bare(&line.text));
        if same(&text, title) {
            // The line before a numbered title is not its number.
            let later = index > 0 && lines_of(sheet, at + 1, title).is_some();
            return (!later).then_some(index + 1);
        }
        if text.len() > title.len() + 16 {
            return None;
        }
    }
    None
}

/// Whether a line is the title, allowing a number before either.
fn same(line: &str, title: &str) -> bool {
    let numbered = |long: &str, short: &str| {
        let number = long.strip_suffix(short).filter(|it| it.chars().count() <= 14 && short.chars().count() >= 2);
        number.is_some_and(|it| {
            it.ends_with(|it: char| it.is_numeric())
                || it.len() <= 2
                || NUMBERED.iter().any(|word| it.starts_with(word))
        })
    };
    line == title || numbered(line, title) || numbered(title, line)
}

/// Words before the number of a part of a book.
const NUMBERED: [&str; 14] = [
    "chapter",
    "appendix",
    "part",
    "section",
    "kapitel",
    "anhang",
    "teil",
    "abschnitt",
    "глава",
    "приложение",
    "chapitre",
    "annexe",
    "第",
    "付録",
];

/// Only the letters in lower case and the digits of the text.
fn bare(text: &str) -> String {
    text.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Merges the lines of one heading.
fn merge(sheet: &mut Sheet, at: usize, count: usize, level: u8) {
    let more: Vec<Block> = sheet.blocks.drain(at + 1..at + count).collect();
    if let Some(Block::Line(line)) = sheet.blocks.get_mut(at) {
        line.heading = Some(level);
        for block in more {
            if let Block::Line(next) = block {
                let tight = line.text.ends_with(is_unspaced) && next.text.starts_with(is_unspaced);
                line.text.push_str(if tight { "" } else { " " });
                line.text.push_str(&next.text);
                line.base = next.base;
            }
        }
    }
}

/// Where to insert a bookmark without a line of its own: before the first line that is not above its target.
fn place(sheet: &Sheet, bookmark: &Bookmark, after: usize) -> usize {
    let Some(y) = bookmark.y else { return after };
    let below = |block: &Block| match block {
        Block::Line(line) => line.upright && line.base >= y,
        Block::Table { base, .. } => *base >= y,
    };
    sheet.blocks.iter().enumerate().skip(after).find(|it| below(it.1)).map_or(sheet.blocks.len(), |it| it.0)
}

fn neighbour(sheet: &Sheet, at: usize) -> Line {
    let near = sheet.blocks.get(at).or(sheet.blocks.last());
    match near {
        Some(Block::Line(line)) => Line { mono: false, leaders: false, ..line.clone() },
        _ => Line { size: 12.0, ..Line::default() },
    }
}

/// Marks lines that are larger than the text, and bold lines that are numbered or isolated.
fn by_size(sheets: &mut [Sheet]) {
    let body = body_size(sheets);
    let lines = sheets.iter().flat_map(Sheet::lines);
    let (mut sizes, mut large, mut all) = (Vec::new(), 0, 0);
    for line in lines {
        all += 1;
        if is_larger(line, body) {
            large += 1;
            sizes.push((line.size * 2.0).round() as i32);
        }
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes.reverse();
    // Most text on a poster or form is large, so there is no normal size to compare with.
    let by_size = large * 5 <= all * 2 || all <= 4;
    for sheet in sheets {
        let found: Vec<(usize, u8)> = (0..sheet.blocks.len())
            .filter_map(|at| {
                let Block::Line(line) = &sheet.blocks[at] else { return None };
                let rank = sizes.iter().position(|it| *it == (line.size * 2.0).round() as i32);
                match rank.filter(|_| by_size && is_larger(line, body)) {
                    Some(rank) => Some((at, (rank + 1).min(4) as u8)),
                    None => bold_level(sheet, at, body).map(|it| (at, (sizes.len().min(3) + it).min(LEVEL_MAX) as u8)),
                }
            })
            .collect();
        for (at, level) in found {
            if let Some(Block::Line(line)) = sheet.blocks.get_mut(at) {
                line.heading = Some(level);
            }
        }
        merge_broken(sheet);
    }
}

/// The most common letter size.
fn body_size(sheets: &[Sheet]) -> f32 {
    let mut letters: HashMap<i32, usize> = HashMap::new();
    for line in sheets.iter().flat_map(Sheet::lines) {
        *letters.entry((line.size * 2.0).round() as i32).or_default() += line.text.chars().count();
    }
    let most = letters.into_iter().max_by_key(|it| (it.1, -it.0));
    most.map_or(0.0, |it| it.0 as f32 / 2.0)
}

fn is_larger(line: &Line, body: f32) -> bool {
    line.size > LARGER * body && is_title(line)
}

/// Whether the words could be a heading: short, with letters, and not a sentence.
fn is_title(line: &Line) -> bool {
    let letters = line.text.chars().filter(|it| it.is_alphabetic()).count();
    let count = line.text.chars().count();
    let ends = line.text.ends_with(['.', ',', ';', ':', '。']) && count > 60;
    letters >= 2 && letters * 2 >= count && count <= LETTERS_MAX && !ends && line.upright && !line.leaders && !line.mono
}

/// The depth, from 1, of a bold heading in text size. None if it is not a heading.
fn bold_level(sheet: &Sheet, at: usize, body: f32) -> Option<usize> {
    let Block::Line(line) = &sheet.blocks[at] else { return None };
    if !line.bold || line.size < 0.95 * body || !is_title(line) || line.text.chars().count() > 90 {
        return None;
    }
    let near = |other: Option<&Block>, bold: bool| {
        matches!(other, Some(Block::Line(it)) if it.column == line.column && it.bold == bold
            && (it.base - line.base).abs() < if bold { 1.5 } else { 1.6 } * line.size)
    };
    let before = at.checked_sub(1).and_then(|it| sheet.blocks.get(it));
    match depth_of_number(&line.text) {
        Some(depth) => Some(depth),
        // Bold lines among others are emphasised text. A heading has space above and text below.
        None if near(before, false) || near(before, true) || near(sheet.blocks.get(at + 1), true) => None,
        None => matches!(sheet.blocks.get(at + 1), Some(Block::Line(next)) if !next.bold).then_some(1),
    }
}

/// The depth of a heading number: 1 for `3`, 2 for `3.1`.
fn depth_of_number(text: &str) -> Option<usize> {
    let (number, rest) = text.split_once(' ')?;
    let parts: Vec<&str> = number.trim_end_matches('.').split('.').collect();
    let sound = parts.iter().all(|it| !it.is_empty() && it.len() <= 3 && it.bytes().all(|it| it.is_ascii_digit()));
    (sound && parts.len() <= 5 && rest.starts_with(char::is_alphabetic)).then_some(parts.len())
}

/// Merges headings that span several lines.
fn merge_broken(sheet: &mut Sheet) {
    let mut at = 0;
    while at + 1 < sheet.blocks.len() {
        let (Block::Line(one), Block::Line(next)) = (&sheet.blocks[at], &sheet.blocks[at + 1]) else {
            at += 1;
            continue;
        };
        let level = one.heading.filter(|_| one.heading == next.heading);
        let near = next.base - one.base > 0.0 && next.base - one.base < 1.6 * one.size && one.column == next.column;
        let short = one.text.len() + next.text.len() < LETTERS_MAX && depth_of_number(&next.text).is_none();
        match level {
            Some(level) if near && short => merge(sheet, at, 2, level),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, base: f32, size: f32, bold: bool) -> Block {
        Block::Line(Line { text: text.into(), base, size, bold, upright: true, ..Line::default() })
    }

    fn headings(sheets: &[Sheet]) -> Vec<(u8, &str)> {
        sheets.iter().flat_map(Sheet::lines).filter_map(|it| Some((it.heading?, it.text.as_str()))).collect()
    }

    fn sheet(blocks: Vec<Block>) -> Sheet {
        Sheet { blocks, width: 600.0, height: 800.0 }
    }

    #[test]
    fn bookmarks_name_the_headings() {
        let text = "Words of the text, many of them, so that they are most of it.";
        let mut sheets = [sheet(vec![
            line("Chapter 1. Ropes and", 50.0, 18.0, true),
            line("anchors", 70.0, 18.0, true),
            line(text, 100.0, 10.0, false),
            line("A bold line that is no heading", 130.0, 14.0, true),
            line("1.1 Hemp", 200.0, 12.0, true),
            line(text, 220.0, 10.0, false),
        ])];
        let bookmark = |depth, title: &str, y| Bookmark { depth, title: title.into(), page: 0, y: Some(y) };
        mark(
            &mut sheets,
            &[
                bookmark(0, "Ropes and anchors", 40.0),
                bookmark(1, "Hemp", 190.0),
                bookmark(1, "Not on the page", 210.0),
            ],
        );
        assert_eq!(headings(&sheets), [(1, "Chapter 1. Ropes and anchors"), (2, "1.1 Hemp"), (2, "Not on the page")]);
    }

    #[test]
    fn larger_and_numbered_lines_are_headings_without_bookmarks() {
        let text = "Words of the text, many of them, so that they are most of it and of the page.";
        let mut sheets = [sheet(vec![
            line("Dense Winch Retrieval for", 50.0, 18.0, true),
            line("Open Water Anchors", 70.0, 18.0, true),
            line(text, 100.0, 10.0, false),
            line(text, 112.0, 10.0, false),
            line("1 Introduction", 150.0, 10.0, true),
            line(text, 170.0, 10.0, false),
            line(
                "A sentence that is large. But it is long and it ends, as a heading never does at all.",
                190.0,
                12.0,
                false,
            ),
        ])];
        mark(&mut sheets, &[]);
        assert_eq!(headings(&sheets), [(1, "Dense Winch Retrieval for Open Water Anchors"), (2, "1 Introduction")]);
    }

    #[test]
    fn numbers_tell_the_depth() {
        for (text, depth) in
            [("3 Ropes", Some(1)), ("3.1. Hemp", Some(2)), ("2024 was", None), ("3 4", None), ("Ropes", None)]
        {
            assert_eq!(depth_of_number(text), depth, "{text}");
        }
    }
}

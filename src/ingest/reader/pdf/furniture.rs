//! Running heads, running feet and page numbers on the edges of pages. They are not part of the text.

use super::layout::{Block, Line, Sheet};
use std::collections::HashMap;

/// A line at the edge of this many pages is furniture.
const PAGES_MIN: usize = 3;
/// How many lines at each edge of a page may be furniture.
const LINES: usize = 3;
/// The part of a page, from each edge, that can contain furniture.
const EDGE: f32 = 0.16;
/// How far the position of a line may differ between pages, in points.
const PLACE: f32 = 4.0;

#[derive(Clone, Copy, PartialEq)]
enum End {
    Top,
    Bottom,
}

/// Removes running heads, running feet and page numbers from the pages.
pub fn remove(sheets: &mut [Sheet]) {
    if sheets.len() < PAGES_MIN {
        return;
    }
    for _ in 0..LINES {
        let mut removed = false;
        for end in [End::Top, End::Bottom] {
            removed |= remove_outermost(sheets, end);
        }
        if !removed {
            break;
        }
    }
}

/// Removes the outermost line at one end of each page if it is furniture. Returns whether any was removed.
fn remove_outermost(sheets: &mut [Sheet], end: End) -> bool {
    let outermost: Vec<Option<(usize, &Line)>> = sheets.iter().map(|it| outermost(it, end)).collect();
    let mut seen: HashMap<(String, i32), usize> = HashMap::new();
    let mut offsets: HashMap<(i64, i32), usize> = HashMap::new();
    for (page, (_, line)) in outermost.iter().enumerate().filter_map(|(page, it)| Some((page, (*it)?))) {
        for place in places(line) {
            *seen.entry((pattern(&line.text), place)).or_default() += 1;
            for number in numbers(&line.text) {
                *offsets.entry((number - page as i64, place)).or_default() += 1;
            }
        }
    }
    let is_furniture = |page: usize, line: &Line| {
        places(line).any(|place| {
            let again = seen.get(&(pattern(&line.text), place)).is_some_and(|it| *it >= PAGES_MIN);
            let counted = numbers(&line.text).any(|it| {
                offsets.get(&(it - page as i64, place)).is_some_and(|it| *it >= PAGES_MIN.max(sheets.len() / 4))
            });
            again || counted
        })
    };
    let found: Vec<Option<usize>> = outermost
        .iter()
        .enumerate()
        .map(|(page, it)| it.filter(|it| is_furniture(page, it.1)).map(|it| it.0))
        .collect();
    let any = found.iter().any(Option::is_some);
    for (sheet, index) in sheets.iter_mut().zip(found) {
        if let Some(index) = index {
            sheet.blocks.remove(index);
        }
    }
    any
}

/// The line closest to the edge, and its index.
fn outermost(sheet: &Sheet, end: End) -> Option<(usize, &Line)> {
    let lines = sheet.blocks.iter().enumerate().filter_map(|(index, block)| match block {
        Block::Line(line) if line.upright => Some((index, line)),
        _ => None,
    });
    let edge = EDGE * sheet.height;
    match end {
        End::Top => lines.min_by(|a, b| a.1.base.total_cmp(&b.1.base)).filter(|it| it.1.base <= edge),
        End::Bottom => lines.max_by(|a, b| a.1.base.total_cmp(&b.1.base)).filter(|it| it.1.base >= sheet.height - edge),
    }
}

/// The rounded position of a line. Two values, so that positions on both sides of a rounding boundary match.
fn places(line: &Line) -> impl Iterator<Item = i32> {
    let place = (line.base / PLACE).floor() as i32;
    [place, place - 1].into_iter()
}

/// The text without its numbers, so that it is equal on all pages.
fn pattern(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let bare = word.trim_matches(|it: char| !it.is_alphanumeric());
        match !bare.is_empty() && bare.chars().all(|it| "ivxlcIVXLC".contains(it)) {
            true => "#".to_string(),
            false => word.chars().map(|it| if it.is_numeric() { '#' } else { it }).collect(),
        }
    });
    let text = words.collect::<Vec<String>>().join(" ");
    // Numbers of any length are equal.
    let mut out = String::new();
    for letter in text.chars() {
        if letter != '#' || !out.ends_with('#') {
            out.push(letter);
        }
    }
    out
}

/// The numbers at the start or end of the line.
fn numbers(text: &str) -> impl Iterator<Item = i64> {
    let mut words = text.split_whitespace();
    let ends = [words.next(), words.next_back()];
    ends.into_iter().flatten().filter_map(|it| it.trim_matches(|it: char| !it.is_alphanumeric()).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, base: f32) -> Block {
        Block::Line(Line { text: text.into(), base, size: 10.0, upright: true, ..Line::default() })
    }

    fn texts(sheets: &[Sheet]) -> Vec<Vec<&str>> {
        sheets.iter().map(|it| it.lines().map(|it| it.text.as_str()).collect()).collect()
    }

    fn book(pages: usize, head: impl Fn(usize) -> String) -> Vec<Sheet> {
        let page = |it: usize| Sheet {
            blocks: vec![
                line(&head(it), 40.0),
                line(&format!("Text of page number {it} in words"), 400.0),
                line(&format!("{it}"), 760.0),
            ],
            width: 600.0,
            height: 800.0,
        };
        (1..=pages).map(page).collect()
    }

    #[test]
    fn heads_feet_and_page_numbers_go() {
        let mut sheets = book(5, |_| "Manual of winches".into());
        remove(&mut sheets);
        assert_eq!(texts(&sheets)[2], ["Text of page number 3 in words"]);
    }

    #[test]
    fn heads_that_change_go_by_their_page_numbers() {
        let heads = ["Ropes", "Anchors", "Winches", "Pawls", "Index"];
        let mut sheets = book(5, |it| format!("{} {it}", heads[it - 1]));
        remove(&mut sheets);
        assert!(texts(&sheets).iter().all(|it| it.len() == 1), "{:?}", texts(&sheets));
    }

    #[test]
    fn what_stands_once_stays() {
        let heads = ["Ropes", "Anchors", "Winches", "Pawls", "Index"];
        let mut sheets = book(5, |it| heads[it - 1].into());
        remove(&mut sheets);
        assert_eq!(texts(&sheets)[0], ["Ropes", "Text of page number 1 in words"]);
        let mut sheets = book(2, |_| "Manual of winches".into());
        remove(&mut sheets);
        assert_eq!(texts(&sheets)[0].len(), 3);
    }
}

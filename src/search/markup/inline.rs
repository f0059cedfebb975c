//! Markup inside a paragraph: emphasis, code, links, tags and escapes.

use super::signs::Signs;
use std::collections::HashMap;

/// Removes markup from a paragraph. The first and the last paragraph of a chunk may have been cut inside emphasis or a
/// link, which leaves unpaired marks.
pub(super) fn inline(text: &str, signs: Signs, is_first: bool, is_last: bool) -> String {
    let mut reading = Reading::new(text, signs);
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        at = reading.step(at, letter);
    }
    if is_first {
        reading.lone_closers.clone().into_iter().for_each(|(start, end)| reading.hide(start, end));
    }
    if is_last && ends_sentence(text) {
        reading.hide_lone_openers();
    }
    reading.finished()
}

/// Long texts are cut after a sentence.
fn ends_sentence(text: &str) -> bool {
    text.trim_end().ends_with(['.', '!', '?', ':', ';', '…', '。'])
}

/// A run of `*`, `_` or `~` that may open emphasis.
struct Opener {
    at: usize,
    left: usize,
}

/// The findings about a paragraph so far.
struct Reading<'a> {
    text: &'a str,
    signs: Signs,
    /// Byte ranges to hide, with their replacement text. Unordered, because the end of a run is found late.
    gone: Vec<(usize, usize, &'static str)>,
    openers: HashMap<u8, Vec<Opener>>,
    /// Marks that close something that began before the text.
    lone_closers: Vec<(usize, usize)>,
    /// The positions of `[` that are still open.
    brackets: Vec<usize>,
    /// The positions of runs of backticks, by length, the last first. Each run is looked up once.
    ticks: HashMap<usize, Vec<usize>>,
}

impl<'a> Reading<'a> {
    fn new(text: &'a str, signs: Signs) -> Reading<'a> {
        let mut ticks = HashMap::<usize, Vec<usize>>::new();
        let mut at = 0;
        while let Some(found) = text[at..].find('`') {
            let start = at + found;
            let length = run(text, start, b'`');
            ticks.entry(length).or_default().push(start);
            at = start + length;
        }
        ticks.values_mut().for_each(|it| it.reverse());
        Reading {
            text,
            signs,
            gone: Vec::new(),
            openers: HashMap::new(),
            lone_closers: Vec::new(),
            brackets: Vec::new(),
            ticks,
        }
    }

    fn hide(&mut self, start: usize, end: usize) {
        self.gone.push((start, end, ""));
    }

    /// Handles whatever begins at `at` and returns the position after it.
    fn step(&mut self, at: usize, letter: char) -> usize {
        let next = at + letter.len_utf8();
        let all = self.signs == Signs::All;
        match letter {
            '\\' if self.is_escape(next) => {
                self.hide(at, next);
                // An escaped character is always literal.
                next + 1
            }
            '`' => self.code(at),
            '*' => self.run(at, b'*', if all { 1 } else { 2 }),
            '_' if all => self.run(at, b'_', 1),
            '~' if all => self.run(at, b'~', 2),
            '[' if all => {
                self.brackets.push(at);
                next
            }
            ']' if all => self.link(at),
            '<' if all => self.tag(at).unwrap_or(next),
            '&' if all => self.entity(at).unwrap_or(next),
            _ => next,
        }
    }

    fn is_escape(&self, next: usize) -> bool {
        match self.text.as_bytes().get(next) {
            Some(it) if self.signs == Signs::All => it.is_ascii_punctuation(),
            Some(it) => b"#`~*_|".contains(it),
            None => false,
        }
    }

    /// A run of backticks opens code that ends at the next run of the same length.
    fn code(&mut self, at: usize) -> usize {
        let length = run(self.text, at, b'`');
        let starts = self.ticks.entry(length).or_default();
        while starts.last().is_some_and(|it| *it <= at) {
            starts.pop();
        }
        match starts.last().copied() {
            Some(end) => {
                self.hide(at, at + length);
                self.hide(end, end + length);
                end + length
            }
            None => at + length,
        }
    }

    /// Emphasis by the rules of CommonMark, except that different marks do not affect each other.
    fn run(&mut self, at: usize, sign: u8, least: usize) -> usize {
        let length = run(self.text, at, sign);
        let end = at + length;
        let before = self.text[..at].chars().next_back().unwrap_or(' ');
        let after = self.text[end..].chars().next().unwrap_or(' ');
        let is_mark = |it: char| !it.is_alphanumeric() && !it.is_whitespace();
        let left = !after.is_whitespace() && (!is_mark(after) || !before.is_alphanumeric());
        let right = !before.is_whitespace() && (!is_mark(before) || !after.is_alphanumeric());
        // Inside a word only `*` is emphasis, and only in text that an author wrote as Markdown.
        let inside = before.is_alphanumeric() && after.is_alphanumeric();
        let (opens, closes) = match sign != b'*' || self.signs != Signs::All {
            true => (left && !before.is_alphanumeric(), right && !after.is_alphanumeric()),
            false => (left, right),
        };
        let mut rest = length;
        if closes && !(inside && sign != b'*') {
            let openers = self.openers.entry(sign).or_default();
            let mut pairs = Vec::new();
            while rest >= least {
                let Some(opener) = openers.last_mut() else { break };
                let taken = rest.min(opener.left);
                if taken < least {
                    break;
                }
                pairs.push((opener.at + opener.left - taken, opener.at + opener.left));
                pairs.push((end - rest, end - rest + taken));
                opener.left -= taken;
                rest -= taken;
                if opener.left == 0 {
                    openers.pop();
                }
            }
            pairs.into_iter().for_each(|(start, end)| self.hide(start, end));
        }
        if closes && !opens && rest >= 2 && rest == length && !after.is_alphanumeric() {
            self.lone_closers.push((at, end));
        }
        if opens && rest >= least {
            self.openers.entry(sign).or_default().push(Opener { at: end - rest, left: rest });
        }
        end
    }

    /// Replaces `[words](target)`, `![words](target)` and `[words][name]` with their words.
    fn link(&mut self, at: usize) -> usize {
        let next = at + 1;
        let Some(open) = self.brackets.pop() else {
            let target = if self.text[next..].starts_with('(') { target_end(self.text, next) } else { None };
            self.lone_closers.extend(target.map(|end| (at, end)));
            return target.unwrap_or(next);
        };
        let bytes = self.text.as_bytes();
        let end = match bytes.get(next) {
            Some(b'(') => target_end(self.text, next),
            // `a[0][1]` is not a link.
            Some(b'[') if !self.text[..open].ends_with(char::is_alphanumeric) => name_end(self.text, next),
            _ => None,
        };
        let Some(end) = end else { return next };
        let start = if open > 0 && bytes[open - 1] == b'!' { open - 1 } else { open };
        self.hide(start, open + 1);
        self.hide(at, end);
        end
    }

    /// Removes the angle brackets around an address, and removes HTML tags and comments entirely.
    fn tag(&mut self, at: usize) -> Option<usize> {
        let inside = &self.text[at + 1..];
        if inside.starts_with("!--") {
            let end = at + 1 + inside.find("-->")? + 3;
            self.hide(at, end);
            return Some(end);
        }
        let length = inside.bytes().take(TAG_MAX).position(|it| matches!(it, b'>' | b'<')).filter(|it| *it > 0)?;
        let (inside, end) = (&inside[..length], at + 1 + length + 1);
        if self.text.as_bytes()[end - 1] != b'>' {
            return None;
        }
        let address = inside.contains("://") || inside.starts_with("mailto:");
        if address && !inside.contains(char::is_whitespace) {
            self.hide(at, at + 1);
            self.hide(end - 1, end);
            return Some(end);
        }
        let name = inside.trim_start_matches('/');
        let name = name.split(|it: char| !it.is_ascii_alphanumeric()).next().unwrap_or_default().to_ascii_lowercase();
        if !TAGS.split_whitespace().any(|it| it == name) {
            return None;
        }
        self.gone.push((at, end, if BREAKS.split_whitespace().any(|it| it == name) { " " } else { "" }));
        Some(end)
    }

    fn entity(&mut self, at: usize) -> Option<usize> {
        let (name, letter) = ENTITIES.iter().find(|it| self.text[at..].starts_with(it.0))?;
        self.gone.push((at, at + name.len(), letter));
        Some(at + name.len())
    }

    /// Hides unpaired opening marks that are followed by a whole sentence.
    fn hide_lone_openers(&mut self) {
        let text = self.text;
        let is_whole = |end: usize| [". ", "! ", "? ", ".\n"].iter().any(|it| text[end..].contains(it));
        let begins = |at: usize| !text[..at].ends_with(char::is_alphanumeric);
        let openers: Vec<(usize, usize)> =
            self.openers.values().flatten().map(|it| (it.at, it.at + it.left)).filter(|it| it.1 - it.0 >= 2).collect();
        for (start, end) in openers.into_iter().filter(|it| begins(it.0) && is_whole(it.1)) {
            self.hide(start, end);
        }
    }

    fn finished(mut self) -> String {
        self.gone.sort_unstable_by_key(|it| it.0);
        let mut shown = String::with_capacity(self.text.len());
        let mut at = 0;
        for (start, end, instead) in self.gone {
            // A link's target also hides everything found inside it.
            if start < at {
                continue;
            }
            shown.push_str(&self.text[at..start]);
            shown.push_str(instead);
            at = end;
        }
        shown.push_str(&self.text[at..]);
        shown
    }
}

/// A longer "tag" is text that happens to contain a `<`.
const TAG_MAX: usize = 500;
const TAGS: &str = "a abbr b blockquote br center code dd del details div dl dt em figcaption figure font h1 h2 h3 h4 h5 h6 hr \
    i img input ins kbd li mark ol p picture pre q s samp small source span strike strong sub summary sup table tbody td tfoot \
    th thead tr tt u ul var video";
/// Tags that end a word.
const BREAKS: &str = "blockquote br center dd details div dl dt figcaption figure h1 h2 h3 h4 h5 h6 hr li ol p pre summary \
    table tbody td tfoot th thead tr ul";
const ENTITIES: &[(&str, &str)] = &[
    ("&amp;", "&"),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&apos;", "'"),
    ("&#39;", "'"),
    ("&nbsp;", " "),
    ("&mdash;", "—"),
    ("&ndash;", "–"),
    ("&hellip;", "…"),
];

fn run(text: &str, at: usize, sign: u8) -> usize {
    text.as_bytes()[at..].iter().take_while(|it| **it == sign).count()
}

/// Longer targets are not links. This limits how often the same text is scanned.
const TARGET_MAX: usize = 2_000;

/// The position after the `)` that ends the target beginning at `at`. Parentheses inside it are paired.
fn target_end(text: &str, at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (gap, byte) in text.as_bytes()[at..].iter().enumerate().take(TARGET_MAX) {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + gap + 1),
            b')' => depth -= 1,
            _ => (),
        }
    }
    None
}

/// The position after the `]` that ends the name beginning at `at`.
fn name_end(text: &str, at: usize) -> Option<usize> {
    let bytes = &text.as_bytes()[at + 1..];
    let end = bytes.iter().take(TARGET_MAX).position(|it| matches!(it, b'[' | b']'))?;
    (bytes[end] == b']').then_some(at + 1 + end + 1)
}

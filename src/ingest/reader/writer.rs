//! Builds up Markdown text. Pending line breaks, markers and spaces are written only when the next visible character
//! arrives.

use std::ops::Range;

/// The maximum depth of indents and quotes, so that a hostile page can't make every line long.
const DEPTH_MAX: usize = 8;
/// Stand around the words of a link until the text is finished. Unicode reserves them for uses like this one, and no
/// document contains them.
const LINK_BEGINS: char = '\u{fdd0}';
const LINK_ENDS: char = '\u{fdd1}';
/// A longer link is not a name of something, in bytes; usually its end is missing.
const LINK_MAX: usize = 200;

#[derive(Default)]
pub(super) struct Writer {
    pub text: String,
    /// Line breaks to write before the next visible character: 0, 1 or 2.
    breaks: u8,
    space: bool,
    /// `- ` or `## `, to write at the start of the next line.
    marker: String,
    /// Whether the next visible character is the first of its line.
    fresh: bool,
    pub lists: Vec<List>,
    pub quotes: usize,
    pub heading: Option<u8>,
    pre: Option<usize>,
    code: Code,
    link: Link,
}

pub(super) struct List {
    pub next: Option<u32>,
}

#[derive(Default, PartialEq, Clone, Copy)]
enum Code {
    #[default]
    No,
    /// The element is open, but its backtick is not written yet.
    Owed,
    Open,
}

#[derive(Default, PartialEq, Clone, Copy)]
enum Link {
    #[default]
    No,
    /// The element is open, but none of its words on this line is written yet.
    Owed,
    Open,
}

impl Writer {
    /// Ends the line (1) or the paragraph (2). Inside a heading it writes a space.
    pub fn break_line(&mut self, count: u8) {
        if self.pre.is_some() {
            return;
        }
        if self.heading.is_some() {
            self.space = true;
            return;
        }
        if self.code == Code::Open {
            self.text.push('`');
            self.code = Code::Owed;
        }
        self.pause_link();
        let most = if self.lists.is_empty() { 2 } else { 1 };
        self.breaks = self.breaks.max(count.min(most));
        self.space = false;
    }

    pub fn words(&mut self, text: &str) {
        if self.pre.is_some() {
            self.text.push_str(text);
            return;
        }
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first.is_whitespace() {
                self.space = true;
                rest = rest.trim_start();
                continue;
            }
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            self.begin(&rest[..end]);
            self.text.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }

    /// Writes everything pending before `word`.
    fn begin(&mut self, word: &str) {
        if self.breaks > 0 {
            self.end_line();
        } else if self.space && !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
            // A pending space before the backtick of a code element goes outside of it.
            self.text.push(' ');
        }
        let fresh = std::mem::take(&mut self.fresh) || self.text.is_empty();
        let marked = !self.marker.is_empty();
        self.text.push_str(&std::mem::take(&mut self.marker));
        self.space = false;
        if self.link == Link::Owed && self.heading.is_none() {
            self.text.push(LINK_BEGINS);
            self.link = Link::Open;
        }
        if self.code == Code::Owed {
            self.text.push('`');
            self.code = Code::Open;
        } else if fresh && !marked && ["#", "```", "~~~"].iter().any(|it| word.starts_with(it)) {
            self.text.push('\\');
        }
    }

    fn end_line(&mut self) {
        if !self.text.is_empty() {
            let kept = self.text.trim_end_matches(' ').len();
            self.text.truncate(kept);
            let have = self.text.bytes().rev().take(2).take_while(|it| *it == b'\n').count();
            self.text.push_str(&"\n\n"[have.min(usize::from(self.breaks))..usize::from(self.breaks)]);
        }
        self.breaks = 0;
        self.fresh = true;
        self.text.push_str(&"> ".repeat(self.quotes.min(DEPTH_MAX)));
        if self.marker.is_empty() {
            self.text.push_str(&"  ".repeat(self.lists.len().min(DEPTH_MAX)));
        }
    }

    pub fn open_code(&mut self) {
        if self.pre.is_none() && self.code == Code::No {
            self.code = Code::Owed;
        }
    }

    pub fn close_code(&mut self) {
        if self.code == Code::Open {
            self.text.push('`');
        }
        self.code = Code::No;
    }

    /// Begins a link. One that is open ends, since links contain no links.
    pub fn open_link(&mut self) {
        self.close_link();
        self.link = Link::Owed;
    }

    pub fn close_link(&mut self) {
        self.pause_link();
        self.link = Link::No;
    }

    /// Ends the part of the link that is on this line.
    fn pause_link(&mut self) {
        if self.link == Link::Open {
            self.text.push(LINK_ENDS);
            self.link = Link::Owed;
        }
    }

    pub fn open_heading(&mut self, level: u8) {
        self.close_heading();
        self.lists.clear();
        self.break_line(2);
        self.marker = format!("{} ", "#".repeat(usize::from(level)));
        self.heading = Some(level);
    }

    pub fn close_heading(&mut self) {
        if self.heading.take().is_some() {
            if self.marker.is_empty() {
                // Sphinx, rustdoc and others put an anchor sign into the heading.
                let kept = self.text.trim_end_matches(['¶', '§', ' ']).len();
                self.text.truncate(kept);
            }
            self.marker.clear();
            self.break_line(2);
        }
    }

    pub fn open_item(&mut self) {
        self.break_line(1);
        let indent = "  ".repeat(self.lists.len().saturating_sub(1).min(DEPTH_MAX));
        let number = self.lists.last_mut().and_then(|it| it.next.as_mut());
        self.marker = match number {
            Some(next) => {
                *next = next.saturating_add(1);
                format!("{indent}{}. ", *next - 1)
            }
            None => format!("{indent}- "),
        };
    }

    /// Discards the marker of an item that turned out to be empty.
    pub fn close_item(&mut self) {
        if self.heading.is_none() {
            self.marker.clear();
        }
    }

    /// Starts a code block. Code blocks start at the left margin, even inside lists and quotes.
    pub fn open_pre(&mut self) {
        if self.pre.is_some() {
            return;
        }
        self.close_heading();
        self.close_code();
        self.pause_link();
        if !self.marker.is_empty() {
            let marker = std::mem::take(&mut self.marker);
            self.end_line();
            self.text.push_str(marker.trim_end());
        }
        let kept = self.text.trim_end().len();
        self.text.truncate(kept);
        self.pre = Some(self.text.len());
    }

    pub fn close_pre(&mut self) {
        let Some(start) = self.pre.take() else { return };
        let body = self.text.split_off(start);
        let body = body.trim_end().trim_start_matches(['\r', '\n']);
        if body.trim().is_empty() {
            self.breaks = 2;
            return;
        }
        let fence = fence_for(body);
        let gap = if start == 0 { "" } else { "\n\n" };
        self.text.push_str(gap);
        for part in [&fence, "\n", body, "\n", &fence] {
            self.text.push_str(part);
        }
        self.breaks = 2;
        self.space = false;
    }

    /// Whether the next visible character begins a line.
    pub fn at_line_end(&self) -> bool {
        self.breaks > 0 || self.text.is_empty()
    }

    pub fn in_pre(&self) -> bool {
        self.pre.is_some()
    }

    /// Starts a page or a slide with a new paragraph, and returns its offset.
    pub fn part(&mut self) -> usize {
        self.close_code();
        self.close_pre();
        self.close_heading();
        self.lists.clear();
        self.quotes = 0;
        let kept = self.text.trim_end().len();
        self.text.truncate(kept);
        if kept > 0 {
            self.text.push_str("\n\n");
        }
        (self.breaks, self.space, self.fresh) = (0, false, true);
        self.marker.clear();
        self.text.len()
    }

    /// Ends everything that is open and returns the text.
    pub fn finish(mut self) -> String {
        self.close_code();
        self.close_link();
        self.close_pre();
        self.close_heading();
        self.text
    }
}

/// The text without the marks around links, and the byte ranges of the words of links.
pub(super) fn without_link_marks(marked: &str) -> (String, Vec<Range<usize>>) {
    let (mut text, mut links, mut begun) = (String::with_capacity(marked.len()), Vec::new(), None);
    let mut rest = marked;
    while let Some(at) = rest.find([LINK_BEGINS, LINK_ENDS]) {
        text.push_str(&rest[..at]);
        match rest[at..].starts_with(LINK_BEGINS) {
            true => begun = Some(text.len()),
            false => links.extend(begun.take().map(|it| it..text.len()).filter(|it| it.len() <= LINK_MAX)),
        }
        rest = &rest[at + LINK_BEGINS.len_utf8()..];
    }
    text.push_str(rest);
    (text, links)
}

/// A fence that does not occur in the code, of at least three backticks.
pub(super) fn fence_for(code: &str) -> String {
    let (mut longest, mut run) = (0, 0);
    for byte in code.bytes() {
        run = if byte == b'`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    "`".repeat((longest + 1).max(3))
}

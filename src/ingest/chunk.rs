//! Cuts a document into passages, in one pass over its text.
//!
//! The text is divided into atoms (a sentence, a line of a table or of code, a heading), which are packed into chunks
//! of up to `size` tokens. A heading starts a new chunk. So does a paragraph, table or code block that does not fit
//! into the rest of the chunk but fits into one of its own. If a chunk ends only because it is full, the next one
//! repeats its last atoms, up to `overlap` tokens.

use super::{
    outline::{self, Block, Kind},
    tokens::{self, Counter},
};
use crate::model::{Chunk, HEADING_MAX, ParsedDocument, shortened};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Sizes in tokens, counted approximately as WordPiece does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChunkOptions {
    /// The target size of a chunk.
    pub size: u32,
    /// How much of a full chunk the next one repeats. At most half of `size`.
    pub overlap: u32,
    /// The maximum size of any chunk. Only a table or a code block that is kept whole exceeds `size`.
    pub max: u32,
}

impl Default for ChunkOptions {
    fn default() -> ChunkOptions {
        ChunkOptions { size: 400, overlap: 40, max: 512 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkOptionsError {
    #[error("chunk.size is {size}, smaller than {}", ChunkOptions::SIZE_MIN)]
    SizeTooSmall { size: u32 },
    #[error("chunk.max is {max}, smaller than chunk.size ({size})")]
    MaxBelowSize { max: u32, size: u32 },
    #[error("chunk.overlap is {overlap}, more than half of chunk.size ({size})")]
    OverlapTooLarge { overlap: u32, size: u32 },
}

impl ChunkOptionsError {
    /// The kind of the error.
    pub fn kind(&self) -> crate::model::Kind {
        crate::model::Kind::Invalid
    }

    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            ChunkOptionsError::SizeTooSmall { .. } => {
                "set chunk.size to 400, the default, or to what your embedder reads"
            }
            ChunkOptionsError::MaxBelowSize { .. } => "raise chunk.max or lower chunk.size",
            ChunkOptionsError::OverlapTooLarge { .. } => "lower chunk.overlap; a tenth of chunk.size is usual",
        })
    }
}

impl ChunkOptions {
    pub const SIZE_MIN: u32 = 16;

    /// Refuses sizes that contradict each other.
    pub fn check(&self) -> Result<(), ChunkOptionsError> {
        let ChunkOptions { size, overlap, max } = *self;
        match () {
            () if size < Self::SIZE_MIN => Err(ChunkOptionsError::SizeTooSmall { size }),
            () if max < size => Err(ChunkOptionsError::MaxBelowSize { max, size }),
            () if overlap > size / 2 => Err(ChunkOptionsError::OverlapTooLarge { overlap, size }),
            () => Ok(()),
        }
    }

    /// The nearest sizes that do not contradict each other.
    fn settled(&self) -> ChunkOptions {
        let size = self.size.max(Self::SIZE_MIN);
        ChunkOptions { size, overlap: self.overlap.min(size / 2), max: self.max.max(size) }
    }
}

/// No real document has more passages. They would take more memory and disk space than its text.
pub const CHUNKS_MAX: usize = 200_000;

/// Cuts the document. If it has more than [`CHUNKS_MAX`] passages, only one more than that is returned. Chunks are in
/// ascending order, overlap at most as requested, and cover everything except blanks. The text of a chunk is the
/// Markdown at its range.
pub fn chunk(document: &ParsedDocument, options: &ChunkOptions) -> Vec<Chunk> {
    let mut packing = Packing {
        document,
        options: options.settled(),
        atoms: Vec::new(),
        start: 0,
        fresh: 0,
        tokens: 0,
        chunks: Vec::new(),
        path: Path::default(),
    };
    for block in outline::blocks(&document.markdown) {
        packing.take_block(&block);
    }
    packing.close(false);
    packing.chunks
}

/// The maximum length of text per token, including blanks: blanks have no tokens, and must not make a chunk endless.
const TOKEN_BYTES: usize = 16;

/// The smallest piece that is kept whole.
struct Atom {
    range: Range<usize>,
    tokens: usize,
    kind: AtomKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AtomKind {
    Blank,
    Heading,
    Body,
}

struct Packing<'a> {
    document: &'a ParsedDocument,
    options: ChunkOptions,
    atoms: Vec<Atom>,
    /// The open chunk is `atoms[start..]`.
    start: usize,
    /// Atoms before this one are already in an earlier chunk.
    fresh: usize,
    tokens: usize,
    chunks: Vec<Chunk>,
    path: Path<'a>,
}

/// The headings and the page at a position, for ascending positions.
#[derive(Default)]
struct Path<'a> {
    headings: Vec<(u8, &'a str)>,
    next_heading: usize,
    next_page: usize,
}

impl Packing<'_> {
    fn take_block(&mut self, block: &Block) {
        let (size, max) = (self.options.size as usize, self.options.max as usize);
        let range = block.range.clone();
        let text = &self.document.markdown[range.clone()];
        // If the reader produces no markup, markup characters have no meaning in the document.
        let kind = match block.kind {
            Kind::Heading(_) if self.document.headings.is_empty() => Kind::Text,
            Kind::Table if self.document.tables.is_empty() => Kind::Text,
            kind => kind,
        };
        let whole = tokens::count(text);
        match kind {
            Kind::Blank => self.push_cut(range, AtomKind::Body),
            Kind::Heading(_) => {
                if self.has_body() {
                    self.close(false);
                }
                self.push_cut(range, AtomKind::Heading);
            }
            Kind::Table | Kind::Code => {
                if self.tokens + whole > size && whole <= max && self.has_body() {
                    self.close(false);
                }
                if self.fits(whole, range.len(), max) {
                    self.add(Atom { range, tokens: whole, kind: AtomKind::Body });
                } else {
                    let mut at = range.start;
                    for line in text.split_inclusive('\n') {
                        self.push_cut(at..at + line.len(), AtomKind::Body);
                        at += line.len();
                    }
                }
            }
            Kind::Text => {
                if self.tokens + whole > size && whole <= size && self.tokens * 2 >= size && self.has_body() {
                    self.close(true);
                }
                for sentence in sentences(&self.document.markdown, range) {
                    self.push_cut(sentence, AtomKind::Body);
                }
            }
        }
    }

    /// Whether the open chunk contains anything new besides headings and blanks.
    fn has_body(&self) -> bool {
        self.atoms[self.fresh.max(self.start)..].iter().any(|it| it.kind == AtomKind::Body)
    }

    fn fits(&self, tokens: usize, bytes: usize, limit: usize) -> bool {
        let open = self.atoms.get(self.start..).and_then(|it| Some(it.last()?.range.end - it.first()?.range.start));
        self.tokens + tokens <= limit && open.unwrap_or(0) + bytes <= limit * TOKEN_BYTES
    }

    /// Pushes a sentence or a line: whole if it is short, otherwise in pieces, cut at blanks or, without blanks,
    /// between letters.
    fn push_cut(&mut self, range: Range<usize>, kind: AtomKind) {
        let text = &self.document.markdown[range.clone()];
        let size = self.options.size as usize;
        let whole = tokens::count(text);
        if whole <= size / 4 && range.len() <= size / 4 * TOKEN_BYTES {
            return self.push(Atom { range, tokens: whole, kind });
        }
        // The pieces are small enough to be repeated where chunks overlap.
        let limit = match self.options.overlap as usize {
            overlap @ 4.. => overlap.min(size / 4),
            _ => size / 4,
        };
        let (mut start, mut end, mut tokens) = (range.start, range.start, 0);
        for word in text.split_inclusive(char::is_whitespace) {
            let more = tokens::count(word);
            if start < end && (tokens + more > limit || end + word.len() - start > limit * TOKEN_BYTES) {
                self.push(Atom { range: start..end, tokens, kind });
                (start, tokens) = (end, 0);
            }
            end += word.len();
            tokens += more;
            if tokens > limit {
                start = self.push_word(start..end, limit, kind);
                tokens = tokens::count(&self.document.markdown[start..end]);
            }
        }
        if start < end {
            self.push(Atom { range: start..end, tokens, kind });
        }
    }

    /// Pushes all but the last piece of a word that is longer than a piece. Returns the start of the last piece.
    fn push_word(&mut self, range: Range<usize>, limit: usize, kind: AtomKind) -> usize {
        let mut start = range.start;
        let mut counter = Counter::default();
        for (at, letter) in self.document.markdown[range.clone()].char_indices() {
            let before = counter.tokens();
            counter.take(letter);
            if counter.tokens() > limit {
                let end = range.start + at;
                self.push(Atom { range: start..end, tokens: before, kind });
                start = end;
                counter = Counter::default();
                counter.take(letter);
            }
        }
        start
    }

    /// Adds the atom to the open chunk, or to a new one if it is full.
    fn push(&mut self, atom: Atom) {
        let size = self.options.size as usize;
        if !self.fits(atom.tokens, atom.range.len(), size) {
            if self.fresh < self.atoms.len() {
                self.close(true);
            }
            // Repeated text gives way to new text.
            if !self.fits(atom.tokens, atom.range.len(), size) {
                self.start = self.atoms.len();
                self.tokens = 0;
            }
        }
        self.add(atom);
    }

    fn add(&mut self, mut atom: Atom) {
        if self.document.markdown[atom.range.clone()].trim().is_empty() {
            atom.kind = AtomKind::Blank;
        }
        self.tokens += atom.tokens;
        self.atoms.push(atom);
    }

    /// Ends the open chunk. If `repeats`, the next one begins with its last atoms.
    fn close(&mut self, repeats: bool) {
        let open = &self.atoms[self.start..];
        let has_news = self.atoms[self.fresh.max(self.start)..].iter().any(|it| it.kind != AtomKind::Blank);
        if let (Some(first), Some(last), true) = (open.first(), open.last(), has_news) {
            let range = trimmed(&self.document.markdown, first.range.start..last.range.end);
            let body = open.iter().find(|it| it.kind == AtomKind::Body).map_or(range.start, |it| it.range.start);
            if !range.is_empty() && self.chunks.len() <= CHUNKS_MAX {
                let chunk = self.path.place(self.document, range, body);
                self.chunks.push(chunk);
            }
        }
        self.start = self.atoms.len();
        self.fresh = self.start;
        self.tokens = 0;
        if repeats {
            self.repeat();
        }
        // Drop text of an earlier chunk that is not repeated.
        self.atoms.drain(..self.start);
        self.fresh -= self.start;
        self.start = 0;
    }

    fn repeat(&mut self) {
        let begun = self.chunks.last().map_or(0, |it| it.range.start);
        while let Some(atom) = self.start.checked_sub(1).map(|it| &self.atoms[it]) {
            let room = self.options.overlap as usize;
            if atom.kind == AtomKind::Heading || self.tokens + atom.tokens > room || atom.range.start <= begun {
                break;
            }
            self.tokens += atom.tokens;
            self.start -= 1;
        }
    }
}

impl<'a> Path<'a> {
    /// Creates the chunk at `range`, with the headings above its `body`.
    fn place(&mut self, document: &'a ParsedDocument, range: Range<usize>, body: usize) -> Chunk {
        while let Some(heading) = document.headings.get(self.next_heading).filter(|it| it.offset <= body) {
            self.headings.retain(|it| it.0 < heading.level);
            self.headings.push((heading.level, &heading.text));
            self.next_heading += 1;
        }
        while document.pages.get(self.next_page).is_some_and(|it| it.offset <= range.start) {
            self.next_page += 1;
        }
        let text = document.markdown[range.clone()].to_string();
        Chunk {
            linked: linked(document, &range),
            tokens: tokens::count(&text) as u32,
            text,
            headings: self.above(),
            page: self.next_page.checked_sub(1).map(|it| document.pages[it].page),
            range,
        }
    }
}

impl Path<'_> {
    /// The headings, cut to equal lengths if they are too long together, because every chunk has a copy.
    fn above(&self) -> Vec<String> {
        let whole: usize = self.headings.iter().map(|it| it.1.len()).sum();
        let most = if whole <= HEADING_MAX { HEADING_MAX } else { HEADING_MAX / self.headings.len().max(1) };
        self.headings.iter().map(|it| shortened(it.1, most)).collect()
    }
}

/// Fewer links are not a list of links.
const LINKS_MIN: usize = 3;

/// How many of 100 letters in this range, headings left out, are words of links. 0 for fewer than [`LINKS_MIN`] links.
fn linked(document: &ParsedDocument, range: &Range<usize>) -> u8 {
    let letters = |text: &str| text.chars().filter(|it| it.is_alphanumeric()).count();
    let first = document.links.partition_point(|it| it.end <= range.start);
    let inside = document.links[first..].iter().take_while(|it| it.start < range.end);
    let words = inside.map(|it| letters(&document.markdown[it.start.max(range.start)..it.end.min(range.end)]));
    let (links, linked) = words.fold((0, 0), |(links, sum), it| (links + 1, sum + it));
    if links < LINKS_MIN {
        return 0;
    }
    let lines = document.markdown[range.clone()].lines().filter(|it| !it.starts_with('#'));
    let all: usize = lines.map(letters).sum();
    (linked * 100 / all.max(1)).min(100) as u8
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let inside = &text[range.clone()];
    let end = range.start + inside.trim_end().len();
    (range.start + inside.len() - inside.trim_start().len()).min(end)..end
}

/// Cuts a paragraph after sentences and before list items. The pieces cover the range.
fn sentences(text: &str, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let rest = &text[at..range.end];
        if rest.is_empty() {
            return None;
        }
        let start = at;
        at += sentence_end(rest);
        Some(start..at)
    })
}

fn sentence_end(text: &str) -> usize {
    let mut before = ' ';
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let end = at + letter.len_utf8();
        let next = letters.peek().map(|it| it.1);
        let stops =
            matches!(letter, '.' | '!' | '?' | '…') && next.is_some_and(char::is_whitespace) && !before.is_uppercase();
        if matches!(letter, '。' | '！' | '？') || (letter == '\n' && begins_item(&text[end..])) {
            return end;
        }
        if stops {
            let blanks = text[end..].len() - text[end..].trim_start().len();
            return end + blanks;
        }
        before = letter;
    }
    text.len()
}

fn begins_item(line: &str) -> bool {
    // Looks only at the start of the line, so that many blank lines stay linear.
    let line = line.trim_start_matches(' ');
    let digits = line.bytes().take(9).take_while(u8::is_ascii_digit).count();
    ["- ", "* ", "+ ", "• "].iter().any(|it| line.starts_with(it)) || (digits > 0 && line[digits..].starts_with(". "))
}

#[cfg(test)]
mod tests;

//! The state while the content of one page runs. The files `content` and `text` have the operators.

use super::{
    font::{Fonts, PageFont},
    matrix::Matrix,
    page::{Glyph, Page, Turn},
};
use hayro_syntax::object::{ObjectIdentifier, Stream};
use std::{collections::HashSet, rc::Rc};

/// The most letters on one page.
pub const LETTERS_MAX: usize = 2_000_000;

/// The state while the content of one page runs.
pub struct Run<'r, 'a> {
    pub fonts: &'r mut Fonts<'a>,
    pub layers_off: &'r HashSet<ObjectIdentifier>,
    pub page: Page,
    pub state: TextState<'a>,
    pub saved: Vec<TextState<'a>>,
    pub marks: Vec<Mark>,
    pub path: Path,
    pub operators: usize,
    pub depth: usize,
    /// The rotation of the last letter.
    pub turn: Turn,
}

/// A marked part of the content.
pub struct Mark {
    pub hidden: bool,
    /// The text that replaces the marked content.
    pub instead: Option<Instead>,
}

pub struct Instead {
    pub text: String,
    /// The position of the replaced letters: the first letter, extended to the right edge of the last.
    pub place: Option<(Turn, Glyph)>,
}

#[derive(Default)]
pub struct Path {
    pub at: Option<(f64, f64)>,
    pub start: Option<(f64, f64)>,
    pub lines: Vec<[f64; 4]>,
    pub boxes: Vec<[f64; 4]>,
}

/// The part of the graphics state that text needs.
#[derive(Clone)]
pub struct TextState<'a> {
    /// Maps coordinates of the content to those of the page.
    pub page: Matrix,
    pub font: Option<Rc<PageFont<'a>>>,
    pub size: f64,
    pub char_space: f64,
    pub word_space: f64,
    /// 1 is the normal width.
    pub stretch: f64,
    pub leading: f64,
    pub rise: f64,
    pub text: Matrix,
    pub line: Matrix,
    /// Whether the last code shown was a space.
    pub spaced: bool,
    /// Whether no letter was shown since the last position was set.
    pub placed: bool,
}

impl TextState<'_> {
    pub fn new(page: Matrix) -> TextState<'static> {
        TextState {
            page,
            font: None,
            size: 1.0,
            char_space: 0.0,
            word_space: 0.0,
            stretch: 1.0,
            leading: 0.0,
            rise: 0.0,
            text: Matrix::IDENTITY,
            line: Matrix::IDENTITY,
            spaced: false,
            placed: true,
        }
    }
}

impl<'r, 'a> Run<'r, 'a> {
    /// Begins a page of this size in points. `place` maps coordinates of its content to those of the page.
    pub fn new(
        fonts: &'r mut Fonts<'a>,
        layers_off: &'r HashSet<ObjectIdentifier>,
        (width, height): (f32, f32),
        place: Matrix,
    ) -> Run<'r, 'a> {
        Run {
            fonts,
            layers_off,
            page: Page { width, height, ..Page::default() },
            state: TextState::new(place),
            saved: Vec::new(),
            marks: Vec::new(),
            path: Path::default(),
            operators: 0,
            depth: 0,
            turn: 0,
        }
    }

    /// Whether the current content is in a layer that is switched off.
    pub fn is_hidden(&self) -> bool {
        self.marks.last().is_some_and(|it| it.hidden)
    }
}

pub fn form_matrix(form: &Stream<'_>) -> Matrix {
    form.dict().get::<[f64; 6]>("Matrix").map_or(Matrix::IDENTITY, Matrix)
}

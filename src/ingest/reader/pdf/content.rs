//! The operators of a page's content, except text: graphics states, forms, marked content, and the lines of paths.

use super::{
    matrix::Matrix,
    page::Rule,
    run::{Instead, Mark, Path, Run, form_matrix},
    strings::text_of,
};
use hayro_syntax::{
    content::{TypedIter, ops::TypedInstruction as Op},
    object::{Array, Dict, Name, Object, ObjectIdentifier, Stream, String as PdfString},
    page::Resources,
};

/// The deepest nesting of forms.
const DEPTH_MAX: usize = 24;
/// The most operators on one page, including forms. A hostile file may nest forms to show billions of operators.
const OPERATORS_MAX: usize = 20_000_000;
/// The most ruling lines on one page. Drawings have more; tables do not.
const RULES_MAX: usize = 20_000;
/// The most nested graphics states.
const SAVED_MAX: usize = 4096;
/// A box thinner than this, in points, is a line.
const THIN: f64 = 3.0;

impl<'a> Run<'_, 'a> {
    /// Runs content to its end, and closes the graphics states and marks that it left open.
    pub fn run(&mut self, mut operators: TypedIter<'_>, resources: &Resources<'a>) {
        let (saved, marks) = (self.saved.len(), self.marks.len());
        while let Some(operator) = operators.next() {
            self.operators += 1;
            if self.operators > OPERATORS_MAX {
                break;
            }
            self.step(operator, resources, saved, marks);
        }
        if self.saved.len() > saved {
            self.state = self.saved.swap_remove(saved);
            self.saved.truncate(saved);
        }
        self.end_marks(marks);
    }

    fn step(&mut self, operator: Op<'_, '_>, resources: &Resources<'a>, saved: usize, marks: usize) {
        match operator {
            Op::SaveState(_) if self.saved.len() < SAVED_MAX => self.saved.push(self.state.clone()),
            Op::RestoreState(_) if self.saved.len() > saved => {
                if let Some(state) = self.saved.pop() {
                    self.state = state;
                }
            }
            Op::Transform(it) => {
                let inner = Matrix([it.0, it.1, it.2, it.3, it.4, it.5].map(|it| it.as_f64()));
                self.state.page = self.state.page.after(&inner);
            }
            Op::SetGraphicsState(it) => self.graphics_state(resources.get_ext_g_state(it.0)),
            Op::XObject(it) => {
                if let Some(object) = resources.get_x_object(it.0) {
                    self.object(&object, resources);
                }
            }
            Op::InlineImage(it) => self.image(it.0),
            Op::BeginMarkedContent(_) => self.begin_mark(None, None),
            Op::BeginMarkedContentWithProperties(it) => self.begin_marked(it.0, it.1, resources),
            Op::EndMarkedContent(_) if self.marks.len() > marks => self.end_marks(self.marks.len() - 1),
            operator => {
                if !self.draw(&operator) {
                    self.text(operator, resources);
                }
            }
        }
    }

    fn graphics_state(&mut self, state: Option<Dict<'a>>) {
        let Some(font) = state.and_then(|it| it.get::<Array<'_>>("Font")) else { return };
        let mut parts = font.iter::<Object<'a>>();
        if let (Some(Object::Dict(font)), Some(Object::Number(size))) = (parts.next(), parts.next()) {
            self.state.font = self.fonts.font(&font);
            self.state.size = size.as_f64();
        }
    }

    /// Shows a form or records an image.
    fn object(&mut self, object: &Stream<'a>, resources: &Resources<'a>) {
        let dict = object.dict();
        let hidden = dict.get_ref("OC").is_some_and(|id| self.is_off(&dict.get("OC").unwrap_or_default(), id.into()));
        match dict.get::<Name<'_>>("Subtype").as_deref() {
            _ if hidden => (),
            Some(b"Form") => self.form(object, resources, None),
            Some(b"Image") => self.image(object),
            _ => (),
        }
    }

    /// Shows a form in its own graphics state, with `place` instead of the form's matrix if given.
    pub fn form(&mut self, form: &Stream<'a>, resources: &Resources<'a>, place: Option<Matrix>) {
        if self.depth == DEPTH_MAX {
            return;
        }
        let Ok(content) = form.decoded_data() else { return };
        let own = form.dict().get::<Dict<'a>>("Resources").map(Resources::new);
        let matrix = place.unwrap_or_else(|| form_matrix(form));
        let before = self.state.clone();
        self.state.page = self.state.page.after(&matrix);
        self.depth += 1;
        self.run(TypedIter::new(&content), own.as_ref().unwrap_or(resources));
        self.depth -= 1;
        self.state = before;
    }

    fn image(&mut self, image: &Stream<'_>) {
        let [x0, y0, x1, y1] = self.state.page.boxed(0.0, 0.0, 1.0, 1.0);
        let large = (x1 - x0) * (y1 - y0) >= 0.05 * f64::from(self.page.width * self.page.height);
        let stencil = image.dict().get::<bool>("ImageMask").unwrap_or(false);
        self.page.images += usize::from(large || !stencil);
    }

    fn begin_marked(&mut self, tag: &Name<'_>, properties: &Object<'_>, resources: &Resources<'a>) {
        let named = match properties {
            Object::Name(name) => resources.properties.get_ref(name),
            _ => None,
        };
        let found: Option<Dict<'_>> = match properties {
            Object::Dict(dict) => Some(dict.clone()),
            Object::Name(name) => resources.properties.get(name),
            _ => None,
        };
        let Some(found) = found else { return self.begin_mark(None, None) };
        let off = tag.as_str() == "OC" && named.is_some_and(|id| self.is_off(&found, id.into()));
        let text = found.get::<PdfString<'_>>("ActualText").map(|it| text_of(it.as_bytes()));
        self.begin_mark(Some(off), text);
    }

    fn begin_mark(&mut self, off: Option<bool>, text: Option<String>) {
        let hidden = off.unwrap_or(false) || self.is_hidden();
        let instead = text.map(|text| Instead { text, place: None });
        // A hostile file may open any number of marks.
        if self.marks.len() < SAVED_MAX {
            self.marks.push(Mark { hidden, instead });
        }
    }

    /// Whether the layer or group of layers is switched off.
    fn is_off(&self, layer: &Dict<'_>, id: ObjectIdentifier) -> bool {
        let mut layers: Vec<ObjectIdentifier> = Vec::new();
        match layer.get::<Array<'_>>("OCGs") {
            Some(group) => layers.extend(group.raw_iter().filter_map(|it| it.as_obj_ref()).map(ObjectIdentifier::from)),
            None => layers.extend(layer.get_ref("OCGs").map(ObjectIdentifier::from)),
        }
        let off = |id: &ObjectIdentifier| self.layers_off.contains(id);
        match layer.get::<Name<'_>>("P").as_deref() {
            _ if layers.is_empty() => off(&id),
            Some(b"AllOn") => layers.iter().any(off),
            Some(b"AnyOff") => !layers.iter().any(off),
            Some(b"AllOff") => !layers.iter().all(off),
            _ => layers.iter().all(off),
        }
    }

    /// Handles path operators. Returns false for others.
    fn draw(&mut self, operator: &Op<'_, '_>) -> bool {
        let path = &mut self.path;
        match operator {
            Op::MoveTo(it) => {
                path.at = Some((it.0.as_f64(), it.1.as_f64()));
                path.start = path.at;
            }
            Op::LineTo(it) => path.line(it.0.as_f64(), it.1.as_f64()),
            Op::CubicTo(it) => path.at = Some((it.4.as_f64(), it.5.as_f64())),
            Op::CubicStartTo(it) => path.at = Some((it.2.as_f64(), it.3.as_f64())),
            Op::CubicEndTo(it) => path.at = Some((it.2.as_f64(), it.3.as_f64())),
            Op::ClosePath(_) => path.close(),
            Op::RectPath(it) => {
                let [x, y, width, height] = [it.0, it.1, it.2, it.3].map(|it| it.as_f64());
                path.boxes.push([x, y, x + width, y + height]);
                path.at = Some((x, y));
            }
            Op::StrokePath(_) => self.paint(true),
            Op::CloseAndStrokePath(_) => {
                path.close();
                self.paint(true);
            }
            Op::FillPathNonZero(_) | Op::FillPathNonZeroCompatibility(_) | Op::FillPathEvenOdd(_) => self.paint(false),
            Op::FillAndStrokeNonZero(_) | Op::FillAndStrokeEvenOdd(_) => self.paint(true),
            Op::CloseFillAndStrokeNonZero(_) | Op::CloseFillAndStrokeEvenOdd(_) => self.paint(true),
            Op::EndPath(_) => self.path = Path::default(),
            _ => return false,
        }
        true
    }

    /// Records the straight lines of the path: drawn lines, and filled boxes as thin as lines.
    fn paint(&mut self, stroke: bool) {
        let path = std::mem::take(&mut self.path);
        if stroke {
            path.lines.iter().for_each(|it| self.rule(*it));
        }
        for [x0, y0, x1, y1] in path.boxes {
            let [left, top, right, bottom] = self.state.page.boxed(x0, y0, x1, y1);
            if right - left <= THIN || bottom - top <= THIN {
                let (x, y) = ((left + right) / 2.0, (top + bottom) / 2.0);
                match right - left <= bottom - top {
                    true => self.note([x, top, x, bottom]),
                    false => self.note([left, y, right, y]),
                }
            } else if stroke {
                for edge in [[x0, y0, x1, y0], [x0, y1, x1, y1], [x0, y0, x0, y1], [x1, y0, x1, y1]] {
                    self.rule(edge);
                }
            }
        }
    }

    fn rule(&mut self, line: [f64; 4]) {
        let (x0, y0) = self.state.page.point(line[0], line[1]);
        let (x1, y1) = self.state.page.point(line[2], line[3]);
        if (x0 - x1).abs() < 1.0 || (y0 - y1).abs() < 1.0 {
            self.note([x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)]);
        }
    }

    fn note(&mut self, [x0, y0, x1, y1]: [f64; 4]) {
        let length = (x1 - x0).max(y1 - y0);
        if length >= 4.0 && length.is_finite() && self.page.rules.len() < RULES_MAX {
            self.page.rules.push(Rule { x0: x0 as f32, y0: y0 as f32, x1: x1 as f32, y1: y1 as f32 });
        }
    }
}

impl Path {
    fn line(&mut self, x: f64, y: f64) {
        if let (Some((x0, y0)), true) = (self.at, self.lines.len() < RULES_MAX) {
            self.lines.push([x0, y0, x, y]);
        }
        self.at = Some((x, y));
    }

    fn close(&mut self) {
        if let Some((x, y)) = self.start {
            self.line(x, y);
        }
    }
}

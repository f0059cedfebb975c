//! Text drawn over a page: form fields, annotations and stamps. Links add no text, because their words are on the page.

use super::{
    matrix::Matrix,
    run::{Run, form_matrix},
    strings::text_of,
};
use hayro_syntax::{
    object::{Array, Dict, Name, Object, Rect, Stream, String as PdfString},
    page::{Page as PdfPage, Resources},
};

/// The most annotations on one page.
const REMARKS_MAX: usize = 10_000;
/// Flags of an annotation: invisible, hidden, not for the screen.
const UNSEEN: u32 = 0b10_0011;
/// The flag of a field that holds a password.
const PASSWORD: u32 = 1 << 13;

/// Runs or writes the content of the page's annotations.
pub(super) fn show<'a>(run: &mut Run<'_, 'a>, pdf: &PdfPage<'a>) {
    let Some(remarks) = pdf.raw().get::<Array<'a>>("Annots") else { return };
    for remark in remarks.iter::<Dict<'a>>().take(REMARKS_MAX) {
        let kind = remark.get::<Name<'_>>("Subtype").map(|it| it.as_str().to_string()).unwrap_or_default();
        let unseen = remark.get::<u32>("F").unwrap_or(0) & UNSEEN != 0;
        if unseen || matches!(kind.as_str(), "Link" | "Popup" | "Text") {
            continue;
        }
        let Some(place) = remark.get::<Rect>("Rect") else { continue };
        let place = [place.x0.min(place.x1), place.y0.min(place.y1), place.x0.max(place.x1), place.y0.max(place.y1)];
        match appearance(&remark) {
            Some(form) => {
                let Some(matrix) = fitted(&form, place) else { continue };
                run.form(&form, &Resources::new(Dict::empty()), Some(matrix));
            }
            None => {
                let Some(text) = text(&remark, &kind) else { continue };
                let place = run.state.page.boxed(place[0], place[1], place[2], place[3]);
                run.write(&text, place);
            }
        }
    }
}

/// The appearance of an annotation in its current state.
fn appearance<'a>(remark: &Dict<'a>) -> Option<Stream<'a>> {
    match remark.get::<Dict<'a>>("AP")?.get::<Object<'a>>("N")? {
        Object::Stream(form) => Some(form),
        Object::Dict(states) => states.get(remark.get::<Name<'_>>("AS")?.as_ref()),
        _ => None,
    }
}

/// The map that fits the form's box into the annotation's rectangle, as defined by "Algorithm: appearance streams" in
/// ISO 32000.
fn fitted(form: &Stream<'_>, place: [f64; 4]) -> Option<Matrix> {
    let bounds = form.dict().get::<[f64; 4]>("BBox")?;
    let matrix = form_matrix(form);
    let [x0, y0, x1, y1] = matrix.boxed(bounds[0], bounds[1], bounds[2], bounds[3]);
    let scale = |from: f64, to: f64| if from.abs() < 1e-6 { 1.0 } else { to / from };
    let (sx, sy) = (scale(x1 - x0, place[2] - place[0]), scale(y1 - y0, place[3] - place[1]));
    Some(Matrix([sx, 0.0, 0.0, sy, place[0] - x0 * sx, place[1] - y0 * sy]).after(&matrix))
}

/// The text of an annotation without an appearance.
fn text(remark: &Dict<'_>, kind: &str) -> Option<String> {
    let key = match kind {
        "FreeText" => "Contents",
        "Widget" if remark.get::<u32>("Ff").unwrap_or(0) & PASSWORD == 0 => "V",
        _ => return None,
    };
    remark.get::<PdfString<'_>>(key).map(|it| text_of(it.as_bytes()))
}

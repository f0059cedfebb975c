//! The contents of one document: its fonts and layers, and the content of each page.

use super::{
    font::Fonts,
    matrix::Matrix,
    page::Page,
    remarks,
    run::{Run, TextState},
};
use hayro_syntax::{
    object::{Array, Dict, MaybeRef, Name, Object, ObjectIdentifier},
    page::Page as PdfPage,
};
use std::collections::HashSet;

/// Runs content with the fonts and layers of one document.
pub struct Contents<'a> {
    fonts: Fonts<'a>,
    layers_off: HashSet<ObjectIdentifier>,
}

impl<'a> Contents<'a> {
    /// `catalog` says which layers are off.
    pub fn new(catalog: &Dict<'a>) -> Contents<'a> {
        Contents { fonts: Fonts::new(), layers_off: layers_off(catalog) }
    }

    /// Runs the page's content, and the forms and annotations drawn over it.
    pub fn page(&mut self, pdf: &PdfPage<'a>) -> Page {
        let place = Matrix(pdf.initial_transform(true).as_coeffs());
        let mut run = Run::new(&mut self.fonts, &self.layers_off, pdf.render_dimensions(), place);
        run.run(pdf.typed_operations(), pdf.resources());
        run.end_marks(0);
        run.state = TextState::new(place);
        remarks::show(&mut run, pdf);
        run.page
    }
}

/// The layers that the document's default view hides.
fn layers_off(catalog: &Dict<'_>) -> HashSet<ObjectIdentifier> {
    let mut off = HashSet::new();
    let Some(properties) = catalog.get::<Dict<'_>>("OCProperties") else { return off };
    let Some(view) = properties.get::<Dict<'_>>("D") else { return off };
    let ids = |list: Option<Array<'_>>| -> Vec<ObjectIdentifier> {
        let list: Option<Vec<_>> =
            list.map(|it| it.raw_iter().filter_map(|it: MaybeRef<Object<'_>>| it.as_obj_ref()).collect());
        list.unwrap_or_default().into_iter().map(ObjectIdentifier::from).collect()
    };
    if view.get::<Name<'_>>("BaseState").as_deref() == Some(b"OFF") {
        off.extend(ids(properties.get("OCGs")));
    }
    ids(view.get("ON")).iter().for_each(|it| {
        off.remove(it);
    });
    off.extend(ids(view.get("OFF")));
    off
}

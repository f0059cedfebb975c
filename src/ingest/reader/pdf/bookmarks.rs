//! The document's bookmarks: titles, depths and targets.

use super::{matrix::Matrix, strings::text_of};
use hayro_syntax::{
    Pdf,
    object::{Array, Dict, MaybeRef, Object, ObjectIdentifier, String as PdfString},
};
use std::collections::{HashMap, HashSet};

/// The most bookmarks in one document.
const BOOKMARKS_MAX: usize = 50_000;
/// The deepest nesting of bookmarks, and of nodes in a name tree.
const DEPTH_MAX: usize = 32;

/// A heading in the document's outline.
#[derive(Debug, Clone, PartialEq)]
pub struct Bookmark {
    /// 0 is the outermost.
    pub depth: usize,
    pub title: String,
    /// The index of the page.
    pub page: usize,
    /// The distance from the top of the page, in points. None if the bookmark shows the whole page.
    pub y: Option<f32>,
}

/// The bookmarks that lead to pages, in outline order.
pub fn read<'a>(pdf: &'a Pdf, catalog: &Dict<'a>) -> Vec<Bookmark> {
    let Some(outline) = catalog.get::<Dict<'a>>("Outlines") else { return Vec::new() };
    let pages = pdf.pages().iter().enumerate();
    let reader =
        Reader { pdf, catalog, pages: pages.filter_map(|(index, page)| Some((page.raw().obj_id()?, index))).collect() };
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    // Items whose next sibling has not been read yet, with their depth.
    let mut open: Vec<(Dict<'a>, usize)> = outline.get::<Dict<'a>>("First").map(|it| (it, 0)).into_iter().collect();
    while let Some((item, depth)) = open.pop() {
        if found.len() == BOOKMARKS_MAX || item.obj_id().is_some_and(|id| !seen.insert(id)) {
            break;
        }
        open.extend(item.get::<Dict<'a>>("Next").map(|it| (it, depth)));
        if depth < DEPTH_MAX {
            open.extend(item.get::<Dict<'a>>("First").map(|it| (it, depth + 1)));
        }
        found.extend(reader.bookmark(&item, depth));
    }
    found
}

struct Reader<'r, 'a> {
    pdf: &'a Pdf,
    catalog: &'r Dict<'a>,
    pages: HashMap<ObjectIdentifier, usize>,
}

impl<'a> Reader<'_, 'a> {
    fn bookmark(&self, item: &Dict<'a>, depth: usize) -> Option<Bookmark> {
        let title = text_of(item.get::<PdfString<'_>>("Title")?.as_bytes());
        let title = title.split(|it: char| it.is_whitespace() || it.is_control()).filter(|it| !it.is_empty());
        let title = title.collect::<Vec<_>>().join(" ");
        let target = item.get::<Object<'a>>("Dest").or_else(|| item.get::<Dict<'a>>("A")?.get::<Object<'a>>("D"))?;
        let (page, y) = self.place(target)?;
        (!title.is_empty()).then_some(Bookmark { depth, title, page, y })
    }

    fn place(&self, target: Object<'a>) -> Option<(usize, Option<f32>)> {
        let parts = match target {
            Object::Array(parts) => parts,
            Object::Name(name) => self.named(name.as_ref())?,
            Object::String(name) => self.named(name.as_bytes())?,
            _ => return None,
        };
        let page = match parts.raw_iter().next()? {
            MaybeRef::Ref(id) => *self.pages.get(&id.into())?,
            MaybeRef::NotRef(Object::Number(index)) => usize::try_from(index.as_i64()).ok()?,
            MaybeRef::NotRef(_) => return None,
        };
        let target = self.pdf.pages().get(page)?;
        let mut parts = parts.iter::<Object<'_>>().skip(1);
        let kind = parts.next()?.into_name()?;
        let (x, y) = match kind.as_str() {
            "XYZ" => (parts.next().and_then(Object::into_f32), parts.next().and_then(Object::into_f32)),
            "FitH" | "FitBH" => (None, parts.next().and_then(Object::into_f32)),
            "FitR" => (parts.next().and_then(Object::into_f32), parts.nth(2).and_then(Object::into_f32)),
            _ => (None, None),
        };
        let to_page = Matrix(target.initial_transform(true).as_coeffs());
        let y = y.map(|y| to_page.point(f64::from(x.unwrap_or(0.0)), f64::from(y)).1 as f32);
        Some((page, y))
    }

    /// A named destination, from the catalog or its name tree.
    fn named(&self, name: &[u8]) -> Option<Array<'a>> {
        let direct = self.catalog.get::<Dict<'a>>("Dests").and_then(|it| it.get::<Object<'a>>(name));
        let found = direct.or_else(|| {
            let tree = self.catalog.get::<Dict<'a>>("Names")?.get::<Dict<'a>>("Dests")?;
            lookup(&tree, name, DEPTH_MAX)
        });
        match found? {
            Object::Array(place) => Some(place),
            Object::Dict(dict) => dict.get("D"),
            _ => None,
        }
    }
}

/// Finds a name in a name tree. Each node gives the range of names below it.
fn lookup<'a>(node: &Dict<'a>, name: &[u8], depth: usize) -> Option<Object<'a>> {
    if let Some(limits) = node.get::<Array<'_>>("Limits") {
        let mut limits = limits.iter::<PdfString<'_>>();
        let (low, high) = (limits.next()?, limits.next()?);
        if name < low.as_bytes() || name > high.as_bytes() {
            return None;
        }
    }
    if let Some(names) = node.get::<Array<'a>>("Names") {
        let mut parts = names.iter::<Object<'a>>();
        while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            if matches!(&key, Object::String(key) if key.as_bytes() == name) {
                return Some(value);
            }
        }
    }
    let kids = node.get::<Array<'a>>("Kids").filter(|_| depth > 0)?;
    kids.iter::<Dict<'a>>().find_map(|kid| lookup(&kid, name, depth - 1))
}

//! The fonts of a document: the character and width of each code, and whether the font is bold or monospaced.

use super::page::Style;
use hayro_cmap::{BfString, CMap, CMapName, CidFamily, load_embedded};
use hayro_font::{CMapResolverFn, Font, FontCache, FontGlyph, FontQuery, FontResolverFn};
use hayro_syntax::object::{Array, Dict, Name, Object, ObjectIdentifier, Stream};
use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};
use unicode_normalization::UnicodeNormalization;

/// The fonts of one document, each loaded once.
pub struct Fonts<'a> {
    cache: FontCache<'a>,
    programs: FontResolverFn,
    maps: CMapResolverFn,
    known: HashMap<ObjectIdentifier, Option<Rc<PageFont<'a>>>>,
    count: u16,
}

/// A font as used by the content of a page.
pub struct PageFont<'a> {
    font: Font<'a>,
    pub name: Rc<str>,
    pub style: Style,
    pub horizontal: bool,
    /// The ratio of the letter size to the size in the content. Bitmap fonts count in pixels.
    pub scale: f64,
    /// Codes from glyph names of the form `a65`, for fonts without better names.
    numbered: HashMap<u8, u32>,
    /// Whether a code without a name can be read as ASCII.
    ascii: bool,
    cids: Option<Cids>,
    codes: RefCell<HashMap<u32, Code>>,
}

/// How a font with an Asian character collection finds its characters.
struct Cids {
    /// Maps codes to numbers in the collection. None if they are equal.
    encoding: Option<CMap>,
    unicode: CMap,
}

/// A code of a font.
#[derive(Clone)]
pub struct Code {
    /// The text of the code, with ligatures expanded. Empty if the font does not define it.
    pub text: Rc<str>,
    /// In thousandths of the font size.
    pub advance: f64,
}

impl<'a> Fonts<'a> {
    pub fn new() -> Fonts<'a> {
        let programs: FontResolverFn = Arc::new(|query| {
            Some(match query {
                FontQuery::Standard(font) => font.get_font_data(),
                FontQuery::Fallback(query) => query.pick_standard_font().get_font_data(),
            })
        });
        Fonts { cache: FontCache::new(), programs, maps: Arc::new(load_embedded), known: HashMap::new(), count: 0 }
    }

    /// The font described by this dictionary. None if it is damaged.
    pub fn font(&mut self, dict: &Dict<'a>) -> Option<Rc<PageFont<'a>>> {
        if let Some(known) = dict.obj_id().and_then(|id| self.known.get(&id)) {
            return known.clone();
        }
        let font = self.load(dict).map(Rc::new);
        if let Some(id) = dict.obj_id() {
            self.known.insert(id, font.clone());
        }
        font
    }

    fn load(&mut self, dict: &Dict<'a>) -> Option<PageFont<'a>> {
        let font = self.cache.font(dict, &self.programs, &self.maps)?;
        let kind = dict.get::<Name<'_>>("Subtype").map(|it| it.as_str().to_string()).unwrap_or_default();
        let descendant = dict.get::<Array<'_>>("DescendantFonts").and_then(|it| it.iter::<Dict<'_>>().next());
        let about = descendant.as_ref().unwrap_or(dict);
        let descriptor = about.get::<Dict<'_>>("FontDescriptor").unwrap_or_default();
        let name = dict.get::<Name<'_>>("BaseFont").or_else(|| dict.get("Name"));
        let name = name.map(|it| it.as_str().to_string()).unwrap_or_else(|| "a font without a name".into());
        let name = name.split_once('+').filter(|it| it.0.len() == 6).map_or(name.as_str(), |it| it.1);
        self.count = self.count.saturating_add(1);
        let is_type3 = kind == "Type3";
        let mut loaded = PageFont {
            horizontal: font.is_horizontal(),
            style: style(name, &descriptor, self.count),
            name: name.into(),
            scale: 1.0,
            numbered: numbered(dict),
            ascii: !is_type3 && kind != "Type0",
            cids: (kind == "Type0").then(|| Cids::of(dict, about)).flatten(),
            codes: RefCell::default(),
            font,
        };
        if is_type3 {
            loaded.scale = loaded.size_of_letters();
        }
        Some(loaded)
    }
}

impl PageFont<'_> {
    /// The next code in a text and its length in bytes, which is at least one.
    pub fn next_code(&self, bytes: &[u8], at: usize) -> (u32, usize) {
        let (code, length) = self.font.read_code(bytes, at);
        (code, length.max(1))
    }

    pub fn code(&self, code: u32) -> Code {
        if let Some(known) = self.codes.borrow().get(&code) {
            return known.clone();
        }
        let advance = self.font.code_advance(code);
        let found = Code {
            text: self.text(code).as_str().into(),
            advance: if self.horizontal { advance.x } else { advance.y.abs() },
        };
        self.codes.borrow_mut().insert(code, found.clone());
        found
    }

    fn text(&self, code: u32) -> String {
        let named = match self.font.glyph(self.font.map_code(code), code) {
            FontGlyph::Outline(glyph) => glyph.as_unicode(),
            FontGlyph::Type3(glyph) => glyph.as_unicode(),
        };
        if let Some(text) = named.map(|it| letters(&it)).filter(|it| !it.is_empty()) {
            return text;
        }
        if let Some(text) = self.cids.as_ref().and_then(|it| it.text(code)).map(|it| letters(&it)) {
            return text;
        }
        let code = match u8::try_from(code) {
            Ok(short) => self.numbered.get(&short).copied().or(self.ascii.then_some(code)),
            Err(_) => None,
        };
        code.map(by_number).unwrap_or_default().to_string()
    }

    /// Estimates the letter size of a bitmap font, assuming that letters are about half as wide as their size.
    fn size_of_letters(&self) -> f64 {
        let widths = (0..256).map(|it| self.font.code_advance(it).x.abs()).filter(|it| *it > 0.0);
        let (sum, count) = widths.fold((0.0, 0), |it, width| (it.0 + width, it.1 + 1));
        let scale = if count == 0 { 1.0 } else { sum / f64::from(count) / 500.0 };
        if (0.6..1.7).contains(&scale) { 1.0 } else { scale }
    }
}

impl Cids {
    fn of(font: &Dict<'_>, descendant: &Dict<'_>) -> Option<Cids> {
        let collection = descendant.get::<Dict<'_>>("CIDSystemInfo")?;
        let text = |key: &str| collection.get::<hayro_syntax::object::String<'_>>(key).map(|it| it.as_bytes().to_vec());
        let family = CidFamily::from_registry_ordering(&text("Registry")?, &text("Ordering")?);
        let unicode = CMap::parse(load_embedded(family.ucs2_cmap()?)?, load_embedded)?;
        let encoding = match font.get::<Object<'_>>("Encoding")? {
            Object::Name(name) if name.as_str().starts_with("Identity") => None,
            Object::Name(name) => CMap::parse(load_embedded(CMapName::from_bytes(name.as_ref()))?, load_embedded),
            Object::Stream(stream) => CMap::parse(&stream_data(&stream)?, load_embedded),
            _ => None,
        };
        Some(Cids { encoding, unicode })
    }

    fn text(&self, code: u32) -> Option<BfString> {
        let cid = match &self.encoding {
            None => code,
            Some(encoding) => (1..=4).find_map(|length| encoding.lookup_cid_code(code, length))?,
        };
        self.unicode.lookup_bf_string(cid)
    }
}

fn stream_data(stream: &Stream<'_>) -> Option<Vec<u8>> {
    stream.decoded_data().ok().map(|it| it.into_owned())
}

/// The text of a code: ligatures and presentation forms are expanded, and control characters removed.
fn letters(text: &BfString) -> String {
    let mut found = String::new();
    let mut push = |letter: char| match letter {
        '\u{fb00}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' => found.extend(letter.nfkc()),
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\t' | '\n' | '\r' => found.push(' '),
        // Joiners, direction marks, byte order marks and non-characters.
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{ffff}' => (),
        '\u{e000}'..='\u{f8ff}' => found.extend(symbol(letter)),
        '\u{b5}' => found.push('μ'),
        letter if letter.is_control() => (),
        letter => found.push(letter),
    };
    match text {
        BfString::Char(letter) => push(*letter),
        BfString::String(text) => text.chars().for_each(&mut push),
    }
    found
}

/// Symbol fonts put ASCII at U+F000. Other private-use characters mean nothing outside their font.
fn symbol(letter: char) -> Option<char> {
    match u32::from(letter) {
        0xf0b7 | 0xf0a7 | 0xf076 | 0xf06c | 0xf06e => Some('•'),
        code @ 0xf020..=0xf07e => char::from_u32(code - 0xf000),
        _ => Some(letter),
    }
}

/// Reads a code as a character number. TeX fonts have ligatures among the control characters.
fn by_number(code: u32) -> &'static str {
    const ASCII: &str =
        " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
    match code {
        11 => "ff",
        12 => "fi",
        13 => "fl",
        14 => "ffi",
        15 => "ffl",
        32..=126 => &ASCII[code as usize - 32..code as usize - 31],
        _ => "",
    }
}

/// The codes whose glyph name is only a number, such as `a65`, `g65` or `C0065`.
fn numbered(dict: &Dict<'_>) -> HashMap<u8, u32> {
    let mut found = HashMap::new();
    let Some(encoding) = dict.get::<Dict<'_>>("Encoding") else { return found };
    let Some(differences) = encoding.get::<Array<'_>>("Differences") else { return found };
    let mut code: u32 = 0;
    for entry in differences.iter::<Object<'_>>() {
        match entry {
            Object::Number(number) => code = number.as_i64().clamp(0, 256) as u32,
            Object::Name(name) => {
                let digits = name.as_str().trim_start_matches(|it: char| it.is_ascii_alphabetic());
                let short = name.as_str().len() - digits.len() <= 1;
                if let (Ok(code), Ok(number), true) = (u8::try_from(code), digits.parse(), short) {
                    found.insert(code, number);
                }
                code = code.saturating_add(1);
            }
            _ => (),
        }
    }
    found
}

/// Bold and monospaced, from the descriptor and from common words in font names.
fn style(name: &str, descriptor: &Dict<'_>, font: u16) -> Style {
    const BOLD: [&str; 11] =
        ["bold", "black", "heavy", "cmbx", "sfbx", "cmssbx", "-bd", "demi", "medi", "lmroman10-b", "cmb10"];
    const MONO: [&str; 13] = [
        "mono",
        "courier",
        "cmtt",
        "sftt",
        "lmtt",
        "consol",
        "typewriter",
        "cmsltt",
        "ectt",
        "menlo",
        "beramono",
        "nimbusmon",
        "fixed",
    ];
    let name = name.to_ascii_lowercase();
    let flags = descriptor.get::<u32>("Flags").unwrap_or(0);
    let weight = descriptor.get::<f32>("FontWeight").unwrap_or(400.0);
    let has = |words: &[&str]| words.iter().any(|it| name.contains(it));
    Style { font, bold: has(&BOLD) || weight >= 600.0 || flags & 1 << 18 != 0, mono: has(&MONO) || flags & 1 != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ligatures_become_letters_and_marks_of_direction_go() {
        let cases =
            [("ﬁ", "fi"), ("ﻻ", "لا"), ("\u{a0}", " "), ("\u{200e}a", "a"), ("\u{f041}", "A"), ("\u{f0b7}", "•")];
        for (text, expected) in cases {
            assert_eq!(letters(&BfString::String(text.into())), expected);
        }
        assert_eq!((by_number(65), by_number(12), by_number(200)), ("A", "fi", ""));
    }
}

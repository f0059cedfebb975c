//! The images of a page as PNG files, for OCR.

use flate2::{Compression, write::ZlibEncoder};
use hayro_syntax::{
    object::{Array, Dict, Name, Object, ObjectIdentifier, Stream, String as PdfString, stream},
    page::{Page, Resources},
};
use std::{collections::HashSet, io::Write};

/// How many nested forms are searched for images.
const DEPTH_MAX: usize = 6;
/// The most images on one page. A scan has one image or a few strips.
const IMAGES_MAX: usize = 64;

/// An image of a page.
pub(super) struct Picture<'a> {
    stream: Stream<'a>,
    pub width: u32,
    pub height: u32,
}

/// The images that the page uses, sorted by name.
pub(super) fn pictures<'a>(page: &Page<'a>) -> Vec<Picture<'a>> {
    let mut found = Vec::new();
    collect(page.resources(), DEPTH_MAX, &mut HashSet::new(), &mut found);
    found
}

fn collect<'a>(
    resources: &Resources<'a>,
    depth: usize,
    seen: &mut HashSet<ObjectIdentifier>,
    found: &mut Vec<Picture<'a>>,
) {
    for name in resources.x_objects.keys() {
        let Some(stream) = resources.x_objects.get::<Stream<'a>>(name) else { continue };
        if found.len() == IMAGES_MAX || !seen.insert(stream.obj_id()) {
            continue;
        }
        let dict = stream.dict();
        match dict.get::<Name<'_>>("Subtype").as_deref() {
            Some(b"Image") => {
                let (width, height) = (dict.get("Width").unwrap_or(0), dict.get("Height").unwrap_or(0));
                if width > 0 && height > 0 {
                    found.push(Picture { stream, width, height });
                }
            }
            Some(b"Form") if depth > 0 => {
                if let Some(own) = dict.get::<Dict<'a>>("Resources") {
                    collect(&Resources::new(own), depth - 1, seen, found);
                }
            }
            _ => (),
        }
    }
}

/// The meaning of a sample in an image.
enum Colours {
    Gray,
    Rgb,
    Cmyk,
    /// An index into these colours, each with red, green and blue.
    Palette(Vec<[u8; 3]>),
}

impl Picture<'_> {
    /// The image as a PNG file with gray or coloured pixels. On error, returns the problem.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        let wanted = stream::ImageDecodeParams { width: self.width, height: self.height, ..Default::default() };
        let decoded = self.stream.decoded_image(&wanted).map_err(|_| "the image cannot be decoded".to_string())?;
        let dict = self.stream.dict();
        let stencil = dict.get::<bool>("ImageMask").unwrap_or(false);
        let mut bits = if stencil { 1 } else { dict.get::<u8>("BitsPerComponent").unwrap_or(8) };
        let (mut width, mut height) = (self.width, self.height);
        let mut colours = dict.get::<Object<'_>>("ColorSpace").and_then(|it| colours(&it, 3));
        if let Some(image) = &decoded.image_data {
            (bits, width, height) = (image.bits_per_component, image.width, image.height);
            colours = colours.or(match image.color_space {
                Some(stream::ImageColorSpace::Rgb) => Some(Colours::Rgb),
                Some(stream::ImageColorSpace::Cmyk) => Some(Colours::Cmyk),
                _ => Some(Colours::Gray),
            });
        }
        let colours = colours.unwrap_or(Colours::Gray);
        if !matches!(bits, 1 | 2 | 4 | 8 | 16) {
            return Err(format!("the image has {bits} bits in each sample"));
        }
        let inverted =
            dict.get::<Array<'_>>("Decode").and_then(|it| it.iter::<f32>().next()).is_some_and(|it| it >= 0.5);
        let samples = Samples { data: &decoded.data, bits, width: width as usize, height: height as usize };
        let (pixels, rgb) = samples.pixels(&colours, inverted)?;
        png(width, height, rgb, &pixels)
    }
}

fn colours(space: &Object<'_>, depth: usize) -> Option<Colours> {
    match space {
        Object::Name(name) => match name.as_str() {
            "DeviceRGB" | "RGB" | "CalRGB" => Some(Colours::Rgb),
            "DeviceCMYK" | "CMYK" => Some(Colours::Cmyk),
            _ => Some(Colours::Gray),
        },
        Object::Array(parts) => {
            let mut parts = parts.iter::<Object<'_>>();
            let kind = parts.next()?.into_name()?;
            match kind.as_str() {
                "ICCBased" => match parts.next()?.into_stream()?.dict().get::<u8>("N") {
                    Some(3) => Some(Colours::Rgb),
                    Some(4) => Some(Colours::Cmyk),
                    _ => Some(Colours::Gray),
                },
                "CalRGB" | "Lab" => Some(Colours::Rgb),
                "Indexed" | "I" if depth > 0 => {
                    let base = colours(&parts.next()?, depth - 1)?;
                    let _last = parts.next()?;
                    let table = match parts.next()? {
                        Object::String(text) => PdfString::as_bytes(&text).to_vec(),
                        Object::Stream(stream) => stream.decoded_data().ok()?.into_owned(),
                        _ => return None,
                    };
                    Some(Colours::Palette(palette(&base, &table)))
                }
                _ => Some(Colours::Gray),
            }
        }
        _ => None,
    }
}

fn palette(base: &Colours, table: &[u8]) -> Vec<[u8; 3]> {
    match base {
        Colours::Rgb => table.chunks_exact(3).map(|it| [it[0], it[1], it[2]]).collect(),
        Colours::Cmyk => table.chunks_exact(4).map(|it| rgb_of(it[0], it[1], it[2], it[3])).collect(),
        _ => table.iter().map(|it| [*it; 3]).collect(),
    }
}

fn rgb_of(cyan: u8, magenta: u8, yellow: u8, black: u8) -> [u8; 3] {
    [cyan, magenta, yellow].map(|it| ((255 - u32::from(it)) * (255 - u32::from(black)) / 255) as u8)
}

struct Samples<'d> {
    data: &'d [u8],
    bits: u8,
    width: usize,
    height: usize,
}

impl Samples<'_> {
    /// One byte per gray pixel, or three per coloured pixel, and whether the pixels are coloured.
    fn pixels(&self, colours: &Colours, inverted: bool) -> Result<(Vec<u8>, bool), String> {
        let parts = match colours {
            Colours::Gray | Colours::Palette(_) => 1,
            Colours::Rgb => 3,
            Colours::Cmyk => 4,
        };
        let row = (self.width * parts * usize::from(self.bits)).div_ceil(8);
        let rgb = parts > 1 || matches!(colours, Colours::Palette(_));
        if self.data.len() < row * self.height / 2 {
            return Err("the image is cut off".into());
        }
        let mut out = Vec::with_capacity(self.width * self.height * if rgb { 3 } else { 1 });
        for line in 0..self.height {
            let bytes = self.data.get(line * row..).unwrap_or_default();
            let bytes = &bytes[..bytes.len().min(row)];
            for pixel in 0..self.width {
                let part = |index: usize| self.sample(bytes, pixel * parts + index);
                let bright = |value: u8| if inverted { 255 - self.scaled(value) } else { self.scaled(value) };
                match colours {
                    Colours::Gray => out.push(bright(part(0))),
                    Colours::Rgb => out.extend([bright(part(0)), bright(part(1)), bright(part(2))]),
                    Colours::Cmyk => {
                        out.extend(rgb_of(bright(part(0)), bright(part(1)), bright(part(2)), bright(part(3))))
                    }
                    Colours::Palette(table) => out.extend(table.get(usize::from(part(0))).copied().unwrap_or_default()),
                }
            }
        }
        Ok((out, rgb))
    }

    /// A sample. Missing samples are white. For 16 bits, the upper 8 are used.
    fn sample(&self, bytes: &[u8], index: usize) -> u8 {
        match self.bits {
            16 => bytes.get(index * 2).copied().unwrap_or(255),
            8 => bytes.get(index).copied().unwrap_or(255),
            bits => {
                let at = index * usize::from(bits);
                let byte = bytes.get(at / 8).copied().unwrap_or(255);
                (byte >> (8 - usize::from(bits) - at % 8)) & ((1 << bits) - 1)
            }
        }
    }

    fn scaled(&self, value: u8) -> u8 {
        match self.bits {
            1 => value * 255,
            2 => value * 85,
            4 => value * 17,
            _ => value,
        }
    }
}

/// Writes a PNG file (RFC 2083).
fn png(width: u32, height: u32, rgb: bool, pixels: &[u8]) -> Result<Vec<u8>, String> {
    let row = width as usize * if rgb { 3 } else { 1 };
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let failed = |error: std::io::Error| error.to_string();
    for line in pixels.chunks(row.max(1)) {
        encoder.write_all(&[0]).map_err(failed)?;
        encoder.write_all(line).map_err(failed)?;
    }
    let packed = encoder.finish().map_err(failed)?;
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, if rgb { 2 } else { 0 }, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", &header[..]), (b"IDAT", &packed[..]), (b"IEND", &[][..])] {
        file.extend((data.len() as u32).to_be_bytes());
        let start = file.len();
        file.extend(kind);
        file.extend(data);
        let mut sum = flate2::Crc::new();
        sum.update(&file[start..]);
        file.extend(sum.sum().to_be_bytes());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_pixels() {
        let bits = Samples { data: &[0b1010_0000], bits: 1, width: 3, height: 1 };
        assert_eq!(bits.pixels(&Colours::Gray, false).unwrap(), (vec![255, 0, 255], false));
        assert_eq!(bits.pixels(&Colours::Gray, true).unwrap().0, [0, 255, 0]);
        assert_eq!(
            bits.pixels(&Colours::Palette(vec![[1, 2, 3], [4, 5, 6]]), false).unwrap().0,
            [4, 5, 6, 1, 2, 3, 4, 5, 6]
        );
        let cmyk = Samples { data: &[0, 0, 0, 0, 255, 0, 0, 0], bits: 8, width: 2, height: 1 };
        assert_eq!(cmyk.pixels(&Colours::Cmyk, false).unwrap(), (vec![255, 255, 255, 0, 255, 255], true));
        assert!(Samples { data: &[], bits: 8, width: 10, height: 10 }.pixels(&Colours::Gray, false).is_err());
    }
}

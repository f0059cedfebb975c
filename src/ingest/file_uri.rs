//! `file://` URIs: represent paths as text, whatever their bytes.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// A directory that contains every file. See `ItemDocument::within`.
pub const ANYWHERE: &str = "file:///";

/// The characters of a path that are percent-encoded, as in RFC 3986.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URI of a file. The bytes of its path are percent-encoded.
pub fn of(absolute: &Path) -> String {
    format!("file://{}", percent_encode(absolute.as_os_str().as_encoded_bytes(), PATH))
}

/// The local path of a `file://` URI; `None` if it is another kind of URI or malformed.
pub fn path_of(uri: &str) -> Option<PathBuf> {
    let encoded = uri.strip_prefix("file://").filter(|path| path.starts_with('/'))?;
    let is_code = |rest: &str| rest.as_bytes().get(..2).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit));
    let well_formed = encoded.split('%').skip(1).all(is_code);
    well_formed.then(|| PathBuf::from(os_string(&percent_decode(encoded.as_bytes()).collect::<Vec<u8>>())))
}

#[cfg(unix)]
pub(super) fn os_string(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(bytes.to_vec())
}

#[cfg(not(unix))]
pub(super) fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_uri_leads_back_to_its_path_whatever_its_bytes() {
        let odd = PathBuf::from(std::ffi::OsString::from_vec(b"/a b/caf\xe9 50%#?.txt".to_vec()));
        for path in [odd, PathBuf::from("/plain/name.md"), PathBuf::from("/日本/語.pdf")] {
            assert_eq!(path_of(&of(&path)), Some(path));
        }
        for uri in ["https://host/a.md", "file://host/a", "file:///a%2", "file:///a%zz"] {
            assert_eq!(path_of(uri), None, "{uri}");
        }
    }
}

//! Passes the environment of a command through the shim, which has no environment itself.

use crate::os::spawn::file_of;
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
};

/// Writes the variables to an anonymous file. Returns an `InvalidInput` error that names a variable which can't be
/// passed to a program.
pub(super) fn file(env: &[(OsString, OsString)]) -> io::Result<OwnedFd> {
    let mut bytes = Vec::new();
    for (name, value) in env {
        let is_name = !name.is_empty() && !name.as_bytes().iter().any(|it| matches!(it, 0 | b'='));
        if !is_name || value.as_bytes().contains(&0) {
            let what = format!("variable {name:?} can't be passed to a program");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
            bytes.extend_from_slice(part);
        }
    }
    file_of(&bytes)
}

/// Reads the output of `file`.
pub(super) fn read(file: OwnedFd) -> io::Result<Vec<(OsString, OsString)>> {
    let mut bytes = Vec::new();
    File::from(file).read_to_end(&mut bytes)?;
    let pairs = bytes.split(|it| *it == 0).filter_map(|it| {
        let end = it.iter().position(|byte| *byte == b'=')?;
        Some((OsStr::from_bytes(&it[..end]).to_owned(), OsString::from_vec(it[end + 1..].to_vec())))
    });
    Ok(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_arrives_as_it_is_and_an_impossible_one_is_refused() {
        let pair = |name: &str, value: &[u8]| (OsString::from(name), OsString::from_vec(value.to_vec()));
        let env = [pair("A", b""), pair("B", b"x=y\nz"), pair("C", b"\xff")];
        assert_eq!(read(file(&env).unwrap()).unwrap(), env);
        assert_eq!(read(file(&[]).unwrap()).unwrap(), []);
        for (name, value) in [("", &b"x"[..]), ("A=B", b"x"), ("A\0", b"x"), ("A", b"x\0y")] {
            assert_eq!(file(&[pair(name, value)]).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }
}

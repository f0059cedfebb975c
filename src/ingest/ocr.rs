//! Reads images of text with `tesseract`, if it is installed.

use super::parse_options::Ocr;
use crate::{
    decide::outcome::StartError,
    model::{ExitStatus, Millis},
    os::CancelToken,
    process::{ChildSpec, run},
};
use std::{
    env,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

/// One page of A3 at 600 dpi takes about a minute on a slow device.
const WALL: Millis = Millis::minutes(5);

/// Uses the `tesseract` in PATH; `None` if there is none.
pub fn installed() -> Option<Ocr> {
    found_in(&env::var_os("PATH")?)
}

/// Uses the `tesseract` in one of the directories of `path`, which has the format of PATH.
pub fn found_in(path: &OsStr) -> Option<Ocr> {
    let program = env::split_paths(path).map(|it| it.join("tesseract")).find(|it| it.is_file())?;
    Some(Ocr::new(move |image| recognize(&program, image)))
}

fn recognize(program: &Path, image: &Path) -> io::Result<String> {
    let argv = vec![program.into(), image.into(), "stdout".into()];
    let mut spec = ChildSpec::new(argv, image.parent().map_or_else(env::temp_dir, PathBuf::from));
    spec.limits.wall = Some(WALL);
    // The environment variable says where its languages are.
    spec.env.extend(env::var_os("TESSDATA_PREFIX").map(|it| ("TESSDATA_PREFIX".into(), it)));
    let end = run(&spec, &CancelToken::default());
    if let Some(StartError::NotStartable(reason) | StartError::NoRoom(reason)) = end.start_error {
        return Err(io::Error::other(reason));
    }
    match end.exit {
        Some(ExitStatus::Code(0)) => Ok(String::from_utf8_lossy(&end.stdout.newest).into_owned()),
        _ if end.intent.is_some() => Err(io::Error::other(format!("tesseract took longer than {WALL}"))),
        _ => Err(io::Error::other(format!("tesseract failed: {}", end.stderr.last_line()))),
    }
}

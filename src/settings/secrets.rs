//! Secrets of steps and hooks, by their names: from the secrets directory of the home, else from the system's, else from the
//! environment. They are read when they are needed and kept nowhere.

use super::{Error, Secret};
use crate::os::ownership;
use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Secrets that the administrator of this machine keeps for all homes.
const SYSTEM: &str = "/etc/windlass/secrets";

/// Whether this can be the name of a secret: a file's and a variable's.
pub fn is_secret_file_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// The secret of this name; None: there is none. `directory`: the secrets directory of the home.
///
/// # Errors
///
/// Other users can read its file, or it can't be read or is empty.
pub fn secret_of_step(directory: &Path, name: &str) -> Result<Option<Secret>, Error> {
    if !is_secret_file_name(name) {
        return Ok(None);
    }
    // systemd gives a service its credentials in a directory that only the service can read.
    let credentials = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let directories = [Some(directory.to_path_buf()), credentials, Some(SYSTEM.into())];
    for path in directories.into_iter().flatten().map(|it| it.join(name)) {
        if let Some(secret) = read(&path)? {
            return Ok(Some(secret));
        }
    }
    Ok(env::var(name).ok().filter(|it| !it.is_empty()).map(Secret::new))
}

fn read(path: &Path) -> Result<Option<Secret>, Error> {
    let failed = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    if found.permissions().mode() & 0o077 != 0 {
        return Err(Error::Exposed { path: path.to_path_buf() });
    }
    let text = ownership::read_through_link(path).map_err(failed)?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(failed(io::Error::new(io::ErrorKind::InvalidData, "it is empty"))),
        text => Ok(Some(Secret::new(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_owners_alone_and_a_missing_one_is_no_error() {
        let home = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str, mode: u32| {
            let path = home.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        put("OURS", "hush\n", 0o600);
        put("SHARED", "hush\n", 0o640);
        put("EMPTY", "\n", 0o600);
        let read = |name: &str| secret_of_step(home.path(), name);
        assert_eq!(read("OURS").unwrap().unwrap().reveal(), "hush");
        let refused = read("SHARED").unwrap_err();
        assert!(refused.to_string().contains("SHARED"), "{refused}");
        assert!(refused.hint().is_some_and(|it| it.contains("chmod 600")), "{:?}", refused.hint());
        assert!(read("EMPTY").is_err());
        for name in ["NO_SUCH_SECRET_HERE", "../OURS", ""] {
            assert!(read(name).unwrap().is_none(), "{name}");
        }
    }
}

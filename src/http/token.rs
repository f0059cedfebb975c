//! The token: where it is kept, and how a presented one is checked.

use crate::{
    model::Kind,
    os::{error_kind::kind_of, ownership},
    settings::{self, Secret, Settings},
};
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use subtle::ConstantTimeEq;

/// The file in the home directory, mode 0600.
const FILE: &str = "serve.token";
/// The file in the secrets directory that takes precedence.
const SECRET: &str = "api_token";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Settings(#[from] settings::Error),
    #[error("failed to {action} the token {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("the setting or secret `api_token` contains control characters, such as line breaks")]
    Unfit,
    #[error("no randomness available for a token: {0}")]
    Random(getrandom::Error),
}

impl Error {
    /// The kind of error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Settings(error) => error.kind(),
            Error::Io { source, .. } => kind_of(source),
            Error::Unfit => Kind::Invalid,
            Error::Random(_) => Kind::Failed,
        }
    }

    /// What the user can do next, if known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Settings(error) => error.hint(),
            Error::Io { .. } | Error::Unfit | Error::Random(_) => None,
        }
    }
}

/// Holds only a digest, which is compared in constant time.
pub struct Token([u8; 32]);

impl Token {
    pub fn new(secret: Secret) -> Token {
        Token(digest(secret.reveal().as_bytes()))
    }

    pub fn is(&self, shown: &[u8]) -> bool {
        !shown.is_empty() && digest(shown).ct_eq(&self.0).into()
    }
}

/// The digest of a secret.
pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The token of a home, if there is one: from the settings, the secrets directory, or its file.
pub fn find(settings: &Settings) -> Result<Option<Secret>, Error> {
    if let Some(said) = settings.api_token.clone().or(settings.secret(SECRET)?) {
        // A header value can't begin or end with white space or contain line breaks.
        let token = said.reveal().trim();
        if token.chars().any(char::is_control) {
            return Err(Error::Unfit);
        }
        if !token.is_empty() {
            return Ok(Some(Secret::new(token)));
        }
    }
    let path = settings.home.join(FILE);
    match ownership::read_to_string(&path) {
        Ok(text) => Ok(Some(Secret::new(text.trim())).filter(|it| !it.reveal().is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { action: "read", path, source }),
    }
}

/// Like `find`, but creates the file on first use. Only the daemon calls this, under its lock.
pub fn find_or_make(settings: &Settings) -> Result<Secret, Error> {
    let path = settings.home.join(FILE);
    tighten(&path);
    if let Some(token) = find(settings)? {
        return Ok(token);
    }
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    let token = hex::encode(bytes);
    write(&settings.home, &path, &token).map_err(|source| Error::Io { action: "write", path, source })?;
    Ok(Secret::new(token))
}

/// The temporary file has mode 0600 whatever the umask.
fn write(home: &Path, path: &Path, token: &str) -> io::Result<()> {
    use io::Write;
    let mut file = tempfile::NamedTempFile::with_prefix_in("serve.token.", home)?;
    writeln!(file, "{token}")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Makes a token unreadable for others. Users who have already read it still know it.
fn tighten(path: &Path) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(file = FILE, "other users could read the token; delete the file to get a new one");
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let settings = Settings::defaults(home.path(), 1);
        assert!(find(&settings).unwrap().is_none());
        let made = find_or_make(&settings).unwrap();
        assert_eq!(made.reveal().len(), 64);
        let path = home.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(find_or_make(&settings).unwrap(), made);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::create_dir(home.path().join("secrets")).unwrap();
        fs::write(home.path().join("secrets/api_token"), "mine\n").unwrap();
        assert_eq!(find(&settings).unwrap().unwrap().reveal(), "mine");
        for (text, token) in [(" mine\t\r\n", Some("mine")), ("two\nlines\n", None), ("  \n", Some(made.reveal()))] {
            fs::write(home.path().join("secrets/api_token"), text).unwrap();
            assert_eq!(find(&settings).ok().flatten().as_ref().map(Secret::reveal), token, "{text:?}");
        }
    }

    #[test]
    fn only_the_token_is_right() {
        let token = Token::new(Secret::new("abc"));
        assert!(token.is(b"abc") && !token.is(b"abcd") && !token.is(b""));
    }
}

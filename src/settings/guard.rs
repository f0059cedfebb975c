//! Whether a home may be used: nothing in it is another user's, and a project's home is this user's own or trusted.

use super::{
    FILE,
    error::{Error, Result},
    home::{Home, HomeOrigin},
    trust::Trusted,
};
use crate::os::ownership;
use std::{fs, io, path::Path};

/// The content of a home beside the files that the engine (`engine.*`), the daemon (`serve.*`) and others write.
const NAMES: &[&str] = &[FILE, "params", "workers", "locks", ".restore"];

/// Directories that may be links to another disk: then what they lead to is judged.
const DIRECTORIES: &[&str] = &["artifacts", "vectors", "workflows", "secrets", "tmp"];
/// Files that are written where they are: none may have another name elsewhere.
const WRITTEN: &[&str] = &["engine.", "serve.", "restore.", "embed.", "ballast"];
/// SQLite says nothing that a person would understand of a directory in their place.
const DATABASE: &[&str] = &["engine.db", "engine.db-wal", "engine.db-shm", "engine.db-journal"];

/// Refuses a home that is another user's, or a project's that this user has neither made nor trusted. `platform` is
/// where trusted homes are remembered, see `platform_data_dir`. A home that does not exist yet is fine where it can be made.
pub fn vet(home: &Home, platform: Option<&Path>) -> Result<()> {
    check_home(&home.path)?;
    let is_trusted = || match platform {
        Some(platform) => Trusted::of(platform).contains(&home.path),
        None => Ok(false),
    };
    match home.origin {
        HomeOrigin::Project if !is_trusted()? => Err(Error::Untrusted { home: home.path.clone() }),
        _ => Ok(()),
    }
}

/// Refuses a home of which a part belongs to another user, can be written by others, or is a link; and one whose path is
/// not UTF-8, which neither JSON nor the database can hold.
pub fn check_home(home: &Path) -> Result<()> {
    if home.to_str().is_none() {
        return Err(Error::NotUtf8 { home: home.to_path_buf() });
    }
    if ownership::check(home)?.is_none() {
        return Ok(ownership::check_place(home)?);
    }
    let failed = |source| Error::Io { action: "list", path: home.to_path_buf(), source };
    let entries = match fs::read_dir(home) {
        // A file in its place is refused when it is opened as a directory.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if DIRECTORIES.contains(&name) {
            ownership::check_through_link(&entry.path())?;
        } else if NAMES.contains(&name) {
            ownership::check(&entry.path())?;
        } else if WRITTEN.iter().any(|it| name.starts_with(it)) {
            match ownership::check(&entry.path())? {
                Some(found) if !found.is_dir() || DATABASE.contains(&name) => {
                    ownership::judge_file(&entry.path(), &found)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        ffi::OsStr,
        os::unix::{
            ffi::OsStrExt,
            fs::{PermissionsExt, symlink},
        },
    };

    #[test]
    fn a_part_of_a_home_that_others_can_write_or_that_is_a_link_refuses_the_home() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        check_home(&home).unwrap();
        fs::create_dir(&home).unwrap();
        check_home(&home).unwrap();
        for name in [
            FILE,
            "engine.db",
            "engine.db-wal",
            "engine.db-shm",
            "engine.queue.lock",
            "engine.write.lock",
            "engine.door",
            "engine.room",
            "serve.log",
            "engine.db.lock",
        ] {
            let path = home.join(name);
            symlink("/etc/passwd", &path).unwrap();
            assert!(check_home(&home).unwrap_err().to_string().contains("symbolic link"), "{name}");
            fs::remove_file(&path).unwrap();
            fs::write(&path, "").unwrap();
            check_home(&home).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
            assert!(check_home(&home).unwrap_err().hint().unwrap().contains("chmod go-w"), "{name}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            fs::hard_link(&path, dir.path().join("other")).unwrap();
            assert_eq!(check_home(&home).is_ok(), name == FILE, "{name}");
            fs::remove_file(dir.path().join("other")).unwrap();
            fs::remove_file(&path).unwrap();
        }
        fs::create_dir(home.join("engine.db")).unwrap();
        assert!(check_home(&home).unwrap_err().to_string().ends_with("engine.db is not a regular file"));
        fs::remove_dir(home.join("engine.db")).unwrap();
        symlink(dir.path(), home.join("artifacts")).unwrap();
        symlink("/etc/passwd", home.join("notes")).unwrap();
        check_home(&home).unwrap();
        let link = dir.path().join("link");
        symlink(&home, &link).unwrap();
        assert!(check_home(&link).is_err());
        fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(check_home(&home).unwrap_err().to_string().contains("everybody"));
    }

    #[test]
    fn a_home_whose_path_is_not_utf_8_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join(OsStr::from_bytes(b"h\xff"));
        assert!(check_home(&home).unwrap_err().to_string().contains("not UTF-8"));
    }

    #[test]
    fn a_project_is_used_once_it_is_trusted_and_asked_about_again_when_another_takes_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (platform, path) = (dir.path().join("data"), dir.path().join("project/.windlass"));
        fs::create_dir_all(&path).unwrap();
        let home = Home { path: path.clone(), origin: HomeOrigin::Project };
        let error = vet(&home, Some(&platform)).unwrap_err();
        assert!(error.hint().unwrap().contains("windlass trust '"), "{:?}", error.hint());
        assert!(vet(&home, None).is_err());
        vet(&Home { origin: HomeOrigin::Flag, ..home.clone() }, Some(&platform)).unwrap();
        let trusted = Trusted::of(&platform);
        trusted.add(&path).unwrap();
        trusted.add(&path).unwrap();
        assert_eq!(trusted.list().unwrap().len(), 1);
        vet(&home, Some(&platform)).unwrap();
        fs::rename(&path, dir.path().join("project/old")).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(vet(&home, Some(&platform)).is_err(), "another directory at the same path");
        fs::remove_dir(&path).unwrap();
        fs::rename(dir.path().join("project/old"), &path).unwrap();
        vet(&home, Some(&platform)).unwrap();
        assert!(trusted.remove(&path).unwrap() && !trusted.remove(&path).unwrap());
        assert!(vet(&home, Some(&platform)).is_err());
    }
}

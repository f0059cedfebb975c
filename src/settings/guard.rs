//! Checks whether a home may be used: no part of it belongs to another user, and this user has made or trusted it if it
//! is a project's home.

use super::{
    FILE,
    error::{Error, Result},
    home::{Home, HomeOrigin, JudgedHome},
    trust::Trusted,
};
use crate::os::ownership;
use std::path::Path;

/// The entries of a home besides the files of the engine (`engine.*`), the daemon (`serve.*`) and others.
const NAMES: &[&str] = &[FILE, "params", "workers", "locks", ".restore"];

/// Directories that may be links to another disk. Then the target is checked.
const DIRECTORIES: &[&str] = &["artifacts", "vectors", "workflows", "secrets", "tmp"];
/// Files that are overwritten in place, so they must not have a second hard link elsewhere.
const WRITTEN: &[&str] = &["engine.", "serve.", "restore.", "embed.", "ballast"];
/// Checked here because SQLite reports a directory in place of these files with an obscure error.
const DATABASE: &[&str] = &["engine.db", "engine.db-wal", "engine.db-shm", "engine.db-journal"];

/// Refuses a home that belongs to another user, and a project's home that this user has neither made nor trusted.
/// `platform` is the directory that stores the trusted homes, see `platform_data_dir`. A home that does not exist yet
/// is accepted if it can be created.
pub fn vet(home: &Home, platform: Option<&Path>) -> Result<()> {
    let judged = check_home(&home.path)?;
    let is_trusted = || match (platform, &judged) {
        (Some(platform), Some(judged)) => Trusted::of(platform).contains(judged),
        (Some(_), None) | (None, _) => Ok(false),
    };
    match home.origin {
        HomeOrigin::Project if !is_trusted()? => Err(Error::Untrusted { home: home.path.clone() }),
        _ => Ok(()),
    }
}

/// Refuses a home if a part of it belongs to another user, can be written by others, or is a link. Also refuses a path
/// that is not UTF-8, since neither JSON nor the database can store it. Returns `None` if the home does not exist yet.
///
/// The directory is opened first, then checked and listed through its descriptor. So a user who can rename it can't
/// make us check one directory and list another. This does not cover files that are opened by path later; see
/// `JudgedHome`.
pub fn check_home(home: &Path) -> Result<Option<JudgedHome>> {
    if home.to_str().is_none() {
        return Err(Error::NotUtf8 { home: home.to_path_buf() });
    }
    let failed = |source| Error::Io { action: "list", path: home.to_path_buf(), source };
    let (folder, facts) = match ownership::open_folder(home) {
        // A file in place of the home is refused later, when it is opened as a directory.
        Err(ownership::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotADirectory => {
            return Ok(None);
        }
        opened => match opened? {
            Some(opened) => opened,
            None => return Ok(ownership::check_place(home).map(|()| None)?),
        },
    };
    for name in folder.names().map_err(failed)? {
        let name = name.map_err(failed)?;
        let path = home.join(&name);
        let Some(text) = name.to_str() else { continue };
        if DIRECTORIES.contains(&text) {
            ownership::check_through_link(&path)?;
        } else if NAMES.contains(&text) {
            ownership::check_in(&folder, &name, &path)?;
        } else if WRITTEN.iter().any(|it| text.starts_with(it)) {
            match ownership::check_in(&folder, &name, &path)? {
                Some(found) if !found.is_dir() || DATABASE.contains(&text) => ownership::judge_facts(&path, &found)?,
                _ => {}
            }
        }
    }
    Ok(Some(JudgedHome { path: home.to_path_buf(), id: facts.id }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        ffi::OsStr,
        fs,
        os::unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, PermissionsExt, symlink},
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
    fn a_home_that_was_judged_is_not_taken_for_another_at_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        assert_eq!(check_home(&home).unwrap(), None);
        fs::create_dir(&home).unwrap();
        let judged = check_home(&home).unwrap().unwrap();
        judged.confirm().unwrap();
        fs::rename(&home, dir.path().join("aside")).unwrap();
        assert!(matches!(judged.confirm(), Err(Error::Replaced { .. })), "it is gone");
        fs::create_dir(&home).unwrap();
        let error = judged.confirm().unwrap_err();
        assert!(error.to_string().contains("was replaced") && error.hint().is_some(), "{error}");
        fs::remove_dir(&home).unwrap();
        symlink("aside", &home).unwrap();
        assert!(judged.confirm().is_err(), "a link to it is another way");
        fs::remove_file(&home).unwrap();
        fs::rename(dir.path().join("aside"), &home).unwrap();
        judged.confirm().unwrap();
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

    #[test]
    fn a_directory_with_the_inode_of_a_trusted_one_is_asked_about_and_so_is_an_old_record() {
        let dir = tempfile::tempdir().unwrap();
        let (platform, path) = (dir.path().join("data"), dir.path().join(".windlass"));
        fs::create_dir(&path).unwrap();
        let home = Home { path: path.clone(), origin: HomeOrigin::Project };
        Trusted::of(&platform).add(&path).unwrap();
        vet(&home, Some(&platform)).unwrap();
        let record = platform.join("trusted.json");
        let trusted = fs::read_to_string(&record).unwrap();
        let edit = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut list: serde_json::Value = serde_json::from_str(&trusted).unwrap();
            change(&mut list[0]);
            fs::write(&record, list.to_string()).unwrap();
        };
        edit(&|it| _ = it.as_object_mut().unwrap().remove("born_ns"));
        assert!(vet(&home, Some(&platform)).is_err(), "from a version that did not record it");
        edit(&|_| ());
        vet(&home, Some(&platform)).unwrap();

        fs::rename(&path, dir.path().join("aside")).unwrap();
        fs::create_dir(&path).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        edit(&|it| it["inode"] = inode.into());
        assert!(vet(&home, Some(&platform)).is_err(), "its inode was reused");
    }
}

use super::*;
use std::os::unix::{ffi::OsStrExt, fs::symlink};

fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, *file).unwrap();
    }
    folder
}

fn names(folder: &Path, options: &SourceOptions) -> Vec<String> {
    let listing = list(&[folder.to_path_buf()], options).unwrap();
    let name = |it: &SourceFile| it.path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
    listing.files.iter().map(name).collect()
}

#[test]
fn a_directory_is_listed_sorted_without_hidden_and_ignored_files() {
    let folder = folder(&["b.md", "a/z.txt", "a/y.pdf", ".hidden.md", ".git/config", "build/out.md", "a/skip.log"]);
    fs::write(folder.path().join(".gitignore"), "build/\n*.log\n").unwrap();
    assert_eq!(names(folder.path(), &SourceOptions::default()), ["a/y.pdf", "a/z.txt", "b.md"]);
    let all = SourceOptions { hidden: true, ignored: true, ..SourceOptions::default() };
    assert_eq!(names(folder.path(), &all).len(), 8);
}

#[test]
fn globs_take_and_leave_out() {
    let folder = folder(&["a.md", "b.txt", "drafts/c.md"]);
    let globs =
        |globs: &[&str]| SourceOptions { globs: globs.iter().map(|it| it.to_string()).collect(), ..Default::default() };
    assert_eq!(names(folder.path(), &globs(&["*.md"])), ["a.md", "drafts/c.md"]);
    assert_eq!(names(folder.path(), &globs(&["*.md", "!drafts/"])), ["a.md"]);
    let error = list(&[folder.path().into()], &globs(&["a{"])).unwrap_err();
    assert!(matches!(error, SourceError::Glob { .. }), "{error}");
}

#[test]
fn pictures_are_left_out_of_a_directory_unless_asked_for() {
    let folder = folder(&["a.md", "b.png", "c.zip"]);
    let listing = list(&[folder.path().into()], &SourceOptions::default()).unwrap();
    assert_eq!((listing.files.len(), listing.unreadable), (1, 2));
    let named = list(&[folder.path().join("b.png")], &SourceOptions::default()).unwrap();
    assert_eq!(named.files.len(), 1);
    let globs = SourceOptions { globs: vec!["*.png".into()], ..SourceOptions::default() };
    assert_eq!(names(folder.path(), &globs), ["b.png"]);
}

#[test]
fn links_to_directories_are_followed_when_asked_and_loops_end() {
    let inside = folder(&["a/one.md"]);
    let outside = folder(&["two.md"]);
    symlink(inside.path(), inside.path().join("a/loop")).unwrap();
    symlink(outside.path(), inside.path().join("b")).unwrap();
    symlink("nowhere", inside.path().join("dangling.md")).unwrap();
    symlink(outside.path().join("two.md"), inside.path().join("linked.md")).unwrap();
    let follow = SourceOptions { follow: true, ..SourceOptions::default() };
    let found = |listing: &Listing| -> Vec<String> {
        listing.files.iter().map(|it| it.path.file_name().unwrap().to_str().unwrap().to_string()).collect()
    };
    let followed = list(&[inside.path().into()], &follow).unwrap();
    assert_eq!(found(&followed), ["one.md", "two.md", "linked.md"]);
    assert_eq!(followed.warnings.len(), 2, "{:?}", followed.warnings);
    let plain = list(&[inside.path().into()], &SourceOptions::default()).unwrap();
    assert_eq!(found(&plain), ["one.md"], "links are not followed out of the directory unless asked");
    assert_eq!((plain.outside, followed.outside), (2, 0));
}

#[test]
fn only_links_that_stay_inside_are_taken_and_a_sidecar_is_no_way_out() {
    let outside = folder(&["secret.md"]);
    fs::write(outside.path().join("key.json"), "{\"key\": \"sesame\"}").unwrap();
    let inside = folder(&["a.md", "deep/b.md"]);
    symlink("deep/b.md", inside.path().join("c.md")).unwrap();
    symlink("../../../../../../../../../../etc/passwd", inside.path().join("n.txt")).unwrap();
    symlink(outside.path().join("key.json"), inside.path().join("a.md.meta.json")).unwrap();
    let listing = list(&[inside.path().into()], &SourceOptions::default()).unwrap();
    let names: Vec<_> = listing.files.iter().map(|it| it.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!((names, listing.outside), (vec!["a.md", "c.md", "b.md"], 2));
    assert_eq!(listing.files[0].metadata, None);
    let named = list(&[inside.path().join("a.md")], &SourceOptions::default()).unwrap();
    assert_eq!(named.files[0].metadata, None);
    let follow = SourceOptions { follow: true, ..SourceOptions::default() };
    let followed = list(&[inside.path().join("a.md")], &follow).unwrap();
    assert_eq!(followed.files[0].metadata, Some(serde_json::json!({"key": "sesame"})));
}

#[test]
fn binary_files_under_unknown_names_are_left_out_of_directories() {
    let inside = folder(&["a.md"]);
    fs::write(inside.path().join("objects.inv"), b"\x00\x01\x02\xff\xfe\x00binary\x00").unwrap();
    fs::write(inside.path().join("notes.unknown"), "plain words").unwrap();
    let listing = list(&[inside.path().into()], &SourceOptions::default()).unwrap();
    assert_eq!((listing.files.len(), listing.unreadable), (2, 1));
}

#[test]
fn a_document_has_one_uri_however_its_directory_is_named() {
    let inside = folder(&["a/one.md"]);
    let straight = list(&[inside.path().join("a")], &SourceOptions::default()).unwrap();
    let around = list(&[inside.path().join("a/../a/.")], &SourceOptions::default()).unwrap();
    assert_eq!(straight.files[0].uri, around.files[0].uri);
}

#[test]
fn a_name_that_is_no_utf_8_survives() {
    let folder = folder(&[]);
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9 50%.txt");
    fs::write(folder.path().join(name), "x").unwrap();
    let listing = list(&[folder.path().into()], &SourceOptions::default()).unwrap();
    assert_eq!(listing.files[0].path.file_name().unwrap(), name);
    assert!(listing.files[0].uri.ends_with("/caf%E9%2050%25.txt"), "{}", listing.files[0].uri);
}

#[test]
fn what_cannot_be_read_is_an_error_and_never_an_empty_list() {
    let folder = folder(&["a.md"]);
    let missing = list(&[folder.path().join("no")], &SourceOptions::default()).unwrap_err();
    assert!(matches!(missing, SourceError::Missing { .. }), "{missing}");
    let special = list(&[PathBuf::from("/dev/null")], &SourceOptions::default()).unwrap_err();
    assert!(matches!(special, SourceError::Special { .. }), "{special}");
    let denied = ignore::Error::WithPath {
        path: folder.path().into(),
        err: Box::new(ignore::Error::Io(io::ErrorKind::PermissionDenied.into())),
    };
    assert!(matches!(tolerable(folder.path(), denied), Err(SourceError::Unreadable { .. })));
    let vanished = ignore::Error::WithPath {
        path: folder.path().into(),
        err: Box::new(ignore::Error::Io(io::ErrorKind::NotFound.into())),
    };
    assert!(matches!(tolerable(folder.path(), vanished), Err(SourceError::Unreadable { .. })));
}

#[test]
fn a_sidecar_describes_its_document_and_is_none_itself() {
    let folder = folder(&["a.md", "lonely.meta.json"]);
    fs::write(folder.path().join("a.md.meta.json"), "{\"author\": \"Ann\"}").unwrap();
    let listing = list(&[folder.path().into(), folder.path().join("a.md")], &SourceOptions::default()).unwrap();
    assert_eq!(listing.files.len(), 2);
    assert_eq!(listing.files[0].metadata, Some(serde_json::json!({"author": "Ann"})));
    assert_eq!(listing.files[0].size, 4);
    assert!(listing.files[0].modified.is_some());
    fs::write(folder.path().join("a.md.meta.json"), "[1]").unwrap();
    let error = list(&[folder.path().into()], &SourceOptions::default()).unwrap_err();
    assert!(matches!(error, SourceError::Metadata { source: None, .. }), "{error}");
}

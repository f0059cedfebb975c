//! Directories and files that become links between submission and work.

use super::*;
use std::os::unix::fs::symlink;

#[test]
fn a_directory_or_a_file_that_became_a_link_after_the_submission_is_not_followed() {
    let desk = Desk::new();
    for name in ["same/a.md", "other/b.md", "c.md"] {
        desk.write(name, "# Winches\n\nA winch pulls.\n");
    }
    desk.write("other/b.md", "# Ropes\n\nHemp rots.\n");
    desk.write("c.md", "# Chains\n\nChains rust.\n");
    let docs = desk.dir.path().join("docs");
    let elsewhere = desk.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    // The submitted content, and other content.
    fs::write(elsewhere.join("a.md"), "# Winches\n\nA winch pulls.\n").unwrap();
    fs::write(elsewhere.join("b.md"), "# Keys\n\nThe word is sesame.\n").unwrap();
    fs::write(elsewhere.join("c.md"), "# Keys\n\nThe number is seven.\n").unwrap();
    let submitted = sync::submit(&desk.engine, &desk.plan()).unwrap().unwrap();
    for name in ["same", "other"] {
        fs::rename(docs.join(name), desk.dir.path().join(format!("old-{name}"))).unwrap();
        symlink(&elsewhere, docs.join(name)).unwrap();
    }
    fs::remove_file(docs.join("c.md")).unwrap();
    symlink(elsewhere.join("c.md"), docs.join("c.md")).unwrap();
    desk.work(submitted.group);
    let report = sync::finish(&desk.engine, &desk.options.database, &[submitted.group]).unwrap();
    for (name, link) in [("same/a.md", "docs/same"), ("other/b.md", "docs/other"), ("c.md", "docs/c.md")] {
        let (status, reason) = outcome(&report, &desk.uri(name));
        assert!(
            status == DocumentStatus::Failed && reason.contains(&format!("{link} is a link now")),
            "{name}: {reason}"
        );
    }
    // Nothing was stored, so there may be no database yet.
    let stored = VectorDb::open(&desk.options.database, &OpenOptions::default()).map(|_| desk.stored());
    assert!(stored.as_ref().is_ok_and(Vec::is_empty) || stored.is_err(), "{stored:?}");
}

#[test]
fn links_that_are_taken_are_read_and_followed_no_further_than_they_led() {
    let mut desk = Desk::new();
    let docs = desk.dir.path().join("docs");
    let outside = desk.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("far.md"), "# Far\n\nFar away.\n").unwrap();
    desk.write("deep/near.md", "# Near\n\nNear by.\n");
    symlink("deep/near.md", docs.join("inside.md")).unwrap();
    symlink("deep/near.md", docs.join("turned.txt")).unwrap();
    let submitted = sync::submit(&desk.engine, &desk.plan()).unwrap().unwrap();
    fs::remove_file(docs.join("turned.txt")).unwrap();
    symlink(outside.join("far.md"), docs.join("turned.txt")).unwrap();
    desk.work(submitted.group);
    let report = sync::finish(&desk.engine, &desk.options.database, &[submitted.group]).unwrap();
    assert_eq!(outcome(&report, &desk.uri("inside.md")).0, DocumentStatus::Stored, "{report:?}");
    let (status, reason) = outcome(&report, &desk.uri("turned.txt"));
    assert!(status == DocumentStatus::Failed && reason.contains("turned.txt is a link now"), "{reason}");

    symlink(&outside, docs.join("way")).unwrap();
    desk.options.source_options.follow = true;
    let (_, report) = desk.sync();
    assert_eq!(outcome(&report, &desk.uri("way/far.md")).0, DocumentStatus::Stored, "{report:?}");
    // A link that is named explicitly is followed.
    symlink(outside.join("far.md"), desk.dir.path().join("named.md")).unwrap();
    desk.options.source_options.follow = false;
    desk.options.paths = vec![desk.dir.path().join("named.md")];
    let (_, report) = desk.sync();
    assert_eq!(report.stored, 1, "{report:?}");
}

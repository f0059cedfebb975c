//! An idle daemon sleeps: it writes nothing, and hardly wakes.

mod support {
    pub mod binary;
    pub mod web;
}

use support::web;

use std::{collections::BTreeMap, fs, thread, time::Duration};
use web::{Web, until};

/// How often each thread has gone to sleep by itself.
fn sleeps(pid: u32) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_string();
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let line = status.lines().find_map(|it| it.strip_prefix("voluntary_ctxt_switches:"));
        *found.entry(name).or_default() += line.and_then(|it| it.trim().parse::<u64>().ok()).unwrap_or(0);
    }
    found
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_writes_and_no_consumer_wakes_while_there_is_nothing_to_do() {
    let web = Web::start();
    let pid = web.child.id();
    let written = || {
        let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        text.lines().find_map(|it| it.strip_prefix("wchar: ")).unwrap().to_string()
    };
    // What the start leaves to be done (the last checkpoint, a first look for work) is over when a second passes without it.
    let quiet = |names: &[&str]| {
        let before = (sleeps(pid), written());
        thread::sleep(Duration::from_secs(3));
        let after = (sleeps(pid), written());
        names.iter().all(|it| before.0.get(*it) == after.0.get(*it)) && before.1 == after.1
    };
    let names = ["windlass-writer", "windlass-store-", "windlass-*-0", "windlass-http", "windlass-health"];
    until("three seconds of silence", || quiet(&names).then_some(()));
    assert!(sleeps(pid).contains_key("windlass-writer"), "{:?}", sleeps(pid));
}

//! The shutdown sentinel, `serve.stopping`: while it is active, the daemon is not started automatically.
//!
//! It contains an absolute expiry time, at most 30 s ahead. If it is expired, empty, corrupt or further ahead, it
//! counts as absent. Its writer may simply die; nothing needs to be cleaned up.

use super::files::write_private;
use crate::{
    model::{Millis, Timestamp},
    os::ownership,
};
use std::{fs, io, path::Path};

const FILE: &str = "serve.stopping";
const LASTS: Millis = Millis::seconds(30);
/// How often the stopping command renews it.
pub const RENEW: Millis = Millis::seconds(10);

/// Whether a stop is in progress.
pub fn is_active(home: &Path, now: Timestamp) -> bool {
    let text = ownership::read_to_string(&home.join(FILE)).unwrap_or_default();
    text.trim().parse().is_ok_and(|expiry: i64| now.0 < expiry && expiry <= now.0.saturating_add(LASTS.0 as i64))
}

/// Begins a stop, or renews the sentinel.
pub fn raise(home: &Path, now: Timestamp) -> io::Result<()> {
    // Several processes may stop the daemon at the same time, so each uses a temporary name of its own.
    let temporary = home.join(format!("{FILE}.{}", std::process::id()));
    let raised = write_private(&temporary, &(now + LASTS).0.to_string());
    raised.and_then(|()| fs::rename(&temporary, home.join(FILE))).inspect_err(|_| {
        // On a full disk, nothing may be left behind.
        let _ = fs::remove_file(&temporary);
    })
}

pub fn clear(home: &Path) {
    let _ = fs::remove_file(home.join(FILE));
}

/// Removes a sentinel that counts as absent, and temporary files of dead writers.
pub fn sweep(home: &Path, now: Timestamp) {
    if !is_active(home, now) {
        clear(home);
    }
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|it| it.strip_prefix(FILE)?.strip_prefix('.')?.parse::<u32>().ok());
        if pid.is_some_and(|it| crate::os::process_stat::identity_of(it).is_none()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_for_thirty_seconds_and_not_longer() {
        let home = tempfile::tempdir().unwrap();
        let now = Timestamp(1_700_000_000_000);
        assert!(!is_active(home.path(), now));
        raise(home.path(), now).unwrap();
        for (later, active) in [(0, true), (29_999, true), (30_000, false), (-1, false)] {
            assert_eq!(is_active(home.path(), Timestamp(now.0 + later)), active, "{later}");
        }
        sweep(home.path(), now);
        assert!(is_active(home.path(), now));
        sweep(home.path(), Timestamp(now.0 + 30_000));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn garbage_and_what_is_too_far_away_is_absent() {
        let home = tempfile::tempdir().unwrap();
        for text in ["", "soon", "99999999999999999999999", "1700000030001", "-1"] {
            fs::write(home.path().join(FILE), text).unwrap();
            assert!(!is_active(home.path(), Timestamp(1_700_000_000_000)), "{text}");
        }
        fs::write(home.path().join(format!("{FILE}.1073741823")), "").unwrap();
        sweep(home.path(), Timestamp(0));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}

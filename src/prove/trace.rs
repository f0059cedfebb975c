//! Records what a process was doing when it died, in a small file that is kept current without fsync, because the page
//! cache outlives the process. Also mines: a process can kill itself at a chosen moment, so that narrow windows are hit
//! too.

use crate::{
    failpoint::probe::{Probe, Window},
    os::{Unpoisoned, clock::precise_now, peer, threads},
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    str::FromStr,
    sync::Mutex,
    thread,
    time::Duration,
};

const WINDOWS: usize = Window::ALL.len();

/// When a process kills itself: this long after it enters a window for the `nth` time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mine {
    pub window: Window,
    pub nth: u32,
    pub after: Duration,
}

/// The form of an argument, `4:17:250`: window, count, microseconds.
impl std::fmt::Display for Mine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.window as usize, self.nth, self.after.as_micros())
    }
}

impl FromStr for Mine {
    type Err = ();

    fn from_str(text: &str) -> Result<Mine, ()> {
        let mut parts = text.split(':').map(|it| it.parse::<u64>().map_err(|_| ()));
        let mut role = || parts.next().unwrap_or(Err(()));
        let window = *Window::ALL.get(role()? as usize).ok_or(())?;
        Ok(Mine { window, nth: role()? as u32, after: Duration::from_micros(role()?) })
    }
}

/// The probe of a process under test.
pub struct Trace {
    file: File,
    counts: Mutex<[Count; WINDOWS]>,
    mine: Option<Mine>,
}

/// The number of threads in the window, and how often it was entered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub inside: u32,
    pub entered: u32,
}

/// The content of a trace file: the counts of each window, and when a mine went off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WindowCounts {
    pub counts: [Count; WINDOWS],
    pub died: Option<i64>,
}

impl Trace {
    pub fn create(path: &Path, mine: Option<Mine>) -> io::Result<Trace> {
        let file = File::create(path)?;
        file.set_len(8 * WINDOWS as u64 + 8)?;
        Ok(Trace { file, counts: Mutex::default(), mine })
    }

    fn change(&self, window: Window, change: impl FnOnce(&mut Count)) -> Count {
        let mut counts = self.counts.lock().unpoisoned();
        let count = &mut counts[window as usize];
        change(count);
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&count.inside.to_le_bytes());
        bytes[4..].copy_from_slice(&count.entered.to_le_bytes());
        // If a mark can't be written, the report misses it; the drill itself does not depend on it.
        let _ = self.file.write_all_at(&bytes, 8 * window as u64);
        *count
    }

    fn blow_up(file: &File) {
        let _ = file.write_all_at(&precise_now().to_le_bytes(), 8 * WINDOWS as u64);
        peer::die();
    }
}

impl Probe for Trace {
    fn enter(&self, window: Window) {
        let count = self.change(window, |it| {
            it.inside += 1;
            it.entered += 1;
        });
        let Some(mine) = self.mine.filter(|it| it.window == window && it.nth == count.entered) else { return };
        if mine.after.is_zero() {
            return Trace::blow_up(&self.file);
        }
        if let Ok(file) = self.file.try_clone() {
            let _ = threads::start("windlass-mine", move || {
                thread::sleep(mine.after);
                Trace::blow_up(&file);
            });
        }
    }

    fn leave(&self, window: Window) {
        self.change(window, |it| it.inside = it.inside.saturating_sub(1));
    }
}

/// Reads the trace of a process, dead or alive. Without a file, all counts are zero.
pub fn read(path: &Path) -> WindowCounts {
    let bytes = fs::read(path).unwrap_or_default();
    let mut seen = WindowCounts::default();
    for (count, bytes) in seen.counts.iter_mut().zip(bytes.chunks_exact(8)) {
        let half = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        *count = Count { inside: half(0), entered: half(4) };
    }
    let last = bytes.get(8 * WINDOWS..).and_then(|it| it.try_into().ok()).map(i64::from_le_bytes);
    seen.died = last.filter(|it| *it != 0);
    seen
}

impl WindowCounts {
    /// The windows that the process was in.
    pub fn windows(&self) -> Vec<Window> {
        Window::ALL.into_iter().filter(|it| self.counts[*it as usize].inside > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_tells_which_windows_are_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        let trace = Trace::create(&path, None).unwrap();
        trace.enter(Window::Settle);
        trace.enter(Window::Commit);
        trace.enter(Window::Commit);
        trace.leave(Window::Settle);
        trace.leave(Window::Commit);
        let seen = read(&path);
        assert_eq!(seen.windows(), [Window::Commit]);
        assert_eq!(seen.counts[Window::Commit as usize], Count { inside: 1, entered: 2 });
        assert_eq!(seen.died, None);
        assert_eq!(read(&dir.path().join("none")), WindowCounts::default());
    }

    #[test]
    fn a_mine_is_what_it_was_after_a_trip_through_an_argument() {
        let mine = Mine { window: Window::GroupEnd, nth: 17, after: Duration::from_micros(250) };
        assert_eq!(mine.to_string().parse(), Ok(mine));
        assert_eq!("9:1:1".parse::<Mine>(), Err(()));
        assert_eq!("1:1".parse::<Mine>(), Err(()));
    }
}

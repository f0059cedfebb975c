//! The engine's two clocks, and the boot in which the monotonic clock counts.

use crate::model::{Millis, Monotonic, Timestamp};
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

pub trait Clock: Send + Sync {
    /// Wall-clock time, for due and display times. It may jump in both directions.
    fn wall(&self) -> Timestamp;

    /// Milliseconds since an arbitrary moment of this boot. It never goes back, and it stops during suspend.
    fn monotonic(&self) -> Monotonic;
}

/// Nanoseconds of the monotonic clock, comparable between processes of the same boot.
pub fn precise_now() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// The offset from UTC, in seconds east, of this process's time zone (`TZ`, else the machine's) at that time.
pub fn local_offset(at: Timestamp) -> i64 {
    let seconds = at.0.div_euclid(1_000) as libc::time_t;
    // SAFETY: all zeros is a valid value of this type.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers lead to locals; the call reads one and writes the other.
    match unsafe { libc::localtime_r(&seconds, &mut local) }.is_null() {
        true => 0,
        false => local.tm_gmtoff as i64,
    }
}

/// The clocks of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        let now = SystemTime::now();
        Timestamp(match now.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_millis() as i64,
            Err(before) => -(before.duration().as_millis() as i64),
        })
    }

    fn monotonic(&self) -> Monotonic {
        // CLOCK_MONOTONIC stops during suspend on Linux. On macOS it does not, but CLOCK_UPTIME_RAW does.
        // SAFETY: the call takes a number and returns a number.
        #[cfg(target_vendor = "apple")]
        return Monotonic((unsafe { libc::clock_gettime_nsec_np(libc::CLOCK_UPTIME_RAW) } / 1_000_000) as i64);
        #[cfg(not(target_vendor = "apple"))]
        {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            Monotonic(now.tv_sec * 1000 + now.tv_nsec / 1_000_000)
        }
    }
}

/// A clock that tests move by hand. Wrap it in an `Arc` to share it.
#[derive(Debug)]
#[cfg(any(test, feature = "internals"))]
pub struct MovableClock {
    wall: AtomicI64,
    monotonic: AtomicI64,
}

#[cfg(any(test, feature = "internals"))]
impl MovableClock {
    pub fn new(wall: Timestamp, monotonic: Monotonic) -> MovableClock {
        MovableClock { wall: AtomicI64::new(wall.0), monotonic: AtomicI64::new(monotonic.0) }
    }

    /// Advances both clocks.
    pub fn advance(&self, time: Millis) {
        self.wall.fetch_add(time.0 as i64, Ordering::SeqCst);
        self.monotonic.fetch_add(time.0 as i64, Ordering::SeqCst);
    }

    /// Sets only the wall clock, as a user or NTP would.
    pub fn set_wall(&self, wall: Timestamp) {
        self.wall.store(wall.0, Ordering::SeqCst);
    }

    /// Suspends the machine: the wall clock advances, the monotonic clock does not.
    pub fn suspend(&self, time: Millis) {
        self.wall.fetch_add(time.0 as i64, Ordering::SeqCst);
    }
}

#[cfg(any(test, feature = "internals"))]
impl Default for MovableClock {
    fn default() -> MovableClock {
        MovableClock::new(Timestamp(1_700_000_000_000), Monotonic(1_000_000))
    }
}

#[cfg(any(test, feature = "internals"))]
impl Clock for MovableClock {
    fn wall(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.monotonic.load(Ordering::SeqCst))
    }
}

/// The wall-clock time at which this boot began, assuming that the wall clock has not been set since. `None` if
/// unknown.
pub fn boot_time() -> Option<SystemTime> {
    #[cfg(target_os = "linux")]
    {
        let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let up = std::time::Duration::new(u64::try_from(up.tv_sec).ok()?, u32::try_from(up.tv_nsec).ok()?);
        SystemTime::now().checked_sub(up)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// The identifier of this boot; `unknown` if the system has none.
pub fn boot_id() -> String {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| read_boot_id().unwrap_or_else(|| "unknown".to_string())).clone()
}

#[cfg(not(target_vendor = "apple"))]
fn read_boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_string()).filter(|it| !it.is_empty())
}

#[cfg(target_vendor = "apple")]
fn read_boot_id() -> Option<String> {
    let mut buffer = [0u8; 64];
    let mut length = buffer.len();
    let name = c"kern.bootsessionuuid".as_ptr();
    let target = buffer.as_mut_ptr().cast();
    // SAFETY: the name ends with a NUL; `length` is the length of the buffer, which outlives the call.
    let status = unsafe { libc::sysctlbyname(name, target, &mut length, std::ptr::null_mut(), 0) };
    let text = std::ffi::CStr::from_bytes_until_nul(&buffer).ok()?.to_str().ok()?;
    (status == 0 && !text.is_empty()).then(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_id_is_the_same_twice() {
        assert!(!boot_id().is_empty());
        assert_eq!(boot_id(), boot_id());
    }

    #[test]
    fn the_monotonic_clock_never_goes_back() {
        let readings: Vec<Monotonic> = (0..1000).map(|_| SystemClock.monotonic()).collect();
        assert!(readings.is_sorted());
        assert!(readings[0].0 > 0);
    }

    #[test]
    fn a_suspend_moves_the_wall_clock_alone() {
        let clock = MovableClock::default();
        let before = (clock.wall(), clock.monotonic());
        clock.suspend(Millis::minutes(60));
        assert_eq!(clock.wall().since(before.0), Millis::minutes(60));
        assert_eq!(clock.monotonic(), before.1);
    }
}

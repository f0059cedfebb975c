//! Marks what this process is doing, for a program that kills it and needs to know at which moment.
//!
//! Without a probe, a mark costs one load. `windlass prove` installs a probe in the processes that it kills.

use std::sync::OnceLock;

/// A period of work in which a crash must cost only the attempt in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// A submission has begun and is not acknowledged.
    Submit,
    /// A claim has been requested and not answered.
    Claim,
    /// A step kind is running.
    Effect,
    /// The work is done, and its settlement is not acknowledged.
    Settle,
    /// The writer is inside COMMIT.
    Commit,
    /// The transaction that ends a group is open.
    GroupEnd,
    /// An artifact is written but not yet durable under its name.
    Rename,
    /// A hook is running, or has run and is not settled.
    Hook,
}

impl Window {
    pub const ALL: [Window; 8] = [
        Window::Submit,
        Window::Claim,
        Window::Effect,
        Window::Settle,
        Window::Commit,
        Window::GroupEnd,
        Window::Rename,
        Window::Hook,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Window::Submit => "submit",
            Window::Claim => "claim",
            Window::Effect => "effect",
            Window::Settle => "settle",
            Window::Commit => "commit",
            Window::GroupEnd => "group end",
            Window::Rename => "artifact rename",
            Window::Hook => "hook",
        }
    }
}

/// The thread that enters or leaves a window calls this.
pub trait Probe: Send + Sync {
    fn enter(&self, window: Window);
    fn leave(&self, window: Window);
}

static PROBE: OnceLock<Box<dyn Probe>> = OnceLock::new();

/// Installs the probe of this process. Returns false if one is already installed.
pub fn install(probe: impl Probe + 'static) -> bool {
    PROBE.set(Box::new(probe)).is_ok()
}

/// Marks the process as inside the window until dropped.
#[derive(Debug)]
#[must_use]
pub struct Inside(Window);

/// Enters a window.
pub fn inside(window: Window) -> Inside {
    if let Some(probe) = PROBE.get() {
        probe.enter(window);
    }
    Inside(window)
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(probe) = PROBE.get() {
            probe.leave(self.0);
        }
    }
}

//! Marks what this process is doing, for a program that kills it on purpose and needs to know what it hit.
//!
//! Without a probe a mark costs one load. `windlass prove` installs one in the processes that it torments.

use std::sync::OnceLock;

/// A stretch of work in which a crash must cost nothing but the attempt in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// A submission was begun and is not acknowledged.
    Submit,
    /// A step was asked for and the answer has not come.
    Claim,
    /// A step kind runs.
    Effect,
    /// The work is done and its settlement is not acknowledged.
    Settle,
    /// Inside the COMMIT of the writer.
    Commit,
    /// The transaction that ends a group is open.
    GroupEnd,
    /// An artifact is written and not yet durable under its name.
    Rename,
    /// A hook runs, or ran and is not settled.
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

/// Called by the thread that enters or leaves a window.
pub trait Probe: Send + Sync {
    fn enter(&self, window: Window);
    fn leave(&self, window: Window);
}

static PROBE: OnceLock<Box<dyn Probe>> = OnceLock::new();

/// Installs the probe of this process, once; false when there is one already.
pub fn install(probe: impl Probe + 'static) -> bool {
    PROBE.set(Box::new(probe)).is_ok()
}

/// The process is in the window until this is dropped.
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

//! Signals a process after checking its identity, so that an unrelated process with a reused pid never gets the signal.

use super::{peer::Blow, process_stat};
use crate::model::ProcessIdentity;
use rustix::process::{Pid, kill_process, kill_process_group};
use std::io;

/// A living process, identified with certainty: its pid, start time and boot matched when it was opened. On Linux a
/// descriptor refers to exactly that process; elsewhere the identity is checked again before each signal.
#[derive(Debug)]
pub struct ProcessHandle {
    identity: ProcessIdentity,
    #[cfg(target_os = "linux")]
    descriptor: Option<std::os::fd::OwnedFd>,
}

impl ProcessHandle {
    /// Returns `None` if the process is gone or can't be identified with certainty (unknown start time, other
    /// namespace). Such a process is never signalled.
    pub fn open(identity: &ProcessIdentity) -> Option<ProcessHandle> {
        #[cfg(target_os = "linux")]
        // Open the descriptor before comparing the identity: after that, a reused pid can't mislead us.
        let descriptor = rustix::process::pidfd_open(pid(identity.pid)?, rustix::process::PidfdFlags::empty()).ok();
        let seen = process_stat::identity_of(identity.pid)?;
        let certain = identity.start_time.is_some() && seen == *identity;
        certain.then(|| ProcessHandle {
            identity: seen,
            #[cfg(target_os = "linux")]
            descriptor,
        })
    }

    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    pub fn is_alive(&self) -> bool {
        process_stat::is_alive(&self.identity)
    }

    /// Sends a signal to this process only. If it is gone, this does nothing and succeeds.
    pub fn strike(&self, blow: Blow) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = &self.descriptor {
            return gone_is_fine(rustix::process::pidfd_send_signal(descriptor, blow.signal()));
        }
        match (self.is_alive(), pid(self.identity.pid)) {
            (true, Some(pid)) => gone_is_fine(kill_process(pid, blow.signal())),
            _ => Ok(()),
        }
    }

    /// Sends a signal to the process, and to its group if it leads one.
    pub fn strike_group(&self, blow: Blow) -> io::Result<()> {
        let leads = || process_stat::group_of(self.identity.pid) == Some(self.identity.pid);
        if let Some(group) = pid(self.identity.pid).filter(|_| self.is_alive() && leads()) {
            gone_is_fine(kill_process_group(group, blow.signal()))?;
        }
        self.strike(blow)
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

fn gone_is_fine(sent: rustix::io::Result<()>) -> io::Result<()> {
    match sent {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_process_is_opened() {
        let own = process_stat::own_identity();
        if own.start_time.is_none() {
            return; // start times are unknown on this system, so no process can be identified with certainty
        }
        assert_eq!(ProcessHandle::open(&own).map(|it| (it.pid(), it.is_alive())), Some((own.pid, true)));
        assert!(ProcessHandle::open(&ProcessIdentity { start_time: Some(1), ..own.clone() }).is_none());
        assert!(ProcessHandle::open(&ProcessIdentity { start_time: None, ..own.clone() }).is_none());
        assert!(ProcessHandle::open(&ProcessIdentity { boot_id: "before".into(), ..own.clone() }).is_none());
        assert!(ProcessHandle::open(&ProcessIdentity { pid: 0x3fff_ffff, ..own }).is_none());
    }

    #[test]
    fn a_process_that_has_ended_gets_no_signal_and_that_is_fine() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = process_stat::identity_of(child.id()).unwrap();
        let handle = ProcessHandle::open(&identity);
        match &handle {
            Some(handle) => handle.strike(Blow::Terminate).unwrap(),
            None => child.kill().unwrap(),
        }
        assert!(!child.wait().unwrap().success());
        let Some(handle) = handle else { return };
        assert!(!handle.is_alive());
        handle.strike(Blow::Kill).unwrap();
        handle.strike_group(Blow::Kill).unwrap();
    }
}

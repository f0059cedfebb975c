//! Starts the daemon in the background. Other commands do so only through `ensure`.

use super::{
    claim::{self, Look},
    error::{Error, Result},
    log_file, sentinel,
    startup::StartupEvent,
};
use crate::{
    assembly,
    os::{Clock, SystemClock, detached::Detached},
    settings::Settings,
};
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
};

/// A daemon that was started and is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub pid: u32,
    pub http: String,
    /// A one-time link to the page.
    pub link: String,
}

/// The result of `ensure`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ensured {
    /// It is running or about to. Has its address, if known.
    Running(Option<String>),
    Started(Started),
    /// It is not running and should not be started.
    NotWanted,
}

/// Every automatic start of the daemon goes through here. `wanted` combines the setting `autostart` and the command's
/// own flags.
///
/// While a stop is in progress, nothing is started: `Error::JustStopped`.
pub fn ensure(settings: &Settings, wanted: bool, mut say: impl FnMut(&str)) -> Result<Ensured> {
    let home = &settings.home;
    if home.is_dir() && claim::is_held(home)? {
        let holder = claim::settled(home, |what| {
            say(what);
            Ok(())
        })?;
        if claim::is_held(home)? && !matches!(holder.look(), Look::Stopping { .. }) {
            return Ok(Ensured::Running(holder.http));
        }
    }
    if !wanted {
        return Ok(Ensured::NotWanted);
    }
    if sentinel::is_active(home, SystemClock.wall()) {
        return Err(Error::JustStopped);
    }
    match start(settings, None, true, say) {
        Err(Error::AlreadyRunning { http, .. }) => Ok(Ensured::Running(http)),
        started => started.map(Ensured::Started),
    }
}

/// Starts the daemon in the background. Waits until it is ready, or returns the reason for its failure.
pub fn start(
    settings: &Settings,
    listen: Option<SocketAddr>,
    by_itself: bool,
    mut say: impl FnMut(&str),
) -> Result<Started> {
    assembly::prepare_home(settings)?;
    let home = &settings.home;
    let log =
        log_file::open(home).map_err(|source| Error::Io { action: "open the log in", path: home.clone(), source })?;
    let mut args: Vec<std::ffi::OsString> =
        vec!["--home".into(), home.into(), "serve".into(), "--in-background".into()];
    if let Some(address) = listen {
        args.extend(["--listen".into(), address.to_string().into()]);
    }
    if by_itself {
        args.push("--by-itself".into());
    }
    let system = |action| move |source| Error::System { action, source };
    let mut child = Detached::start(&args, log).map_err(system("start windlass in the background"))?;
    let output = child.output().map(BufReader::new);
    for line in output.into_iter().flat_map(|it| it.lines()).map_while(std::result::Result::ok) {
        match serde_json::from_str(&line) {
            Ok(StartupEvent::Progress { what }) => say(&what),
            Ok(StartupEvent::Ready { pid, http, link }) => return Ok(Started { pid, http, link }),
            Ok(StartupEvent::Already { holder, pid, http }) => return Err(Error::AlreadyRunning { holder, pid, http }),
            Ok(StartupEvent::Failed { message, hint, exit }) => {
                let _ = child.wait();
                return Err(Error::DidNotStart { reason: message, hint, exit });
            }
            Err(_) => {}
        }
    }
    // It ended without a message, so it crashed or was killed.
    let code = child.wait().map_err(system("wait for windlass in the background"))?;
    let how = code.map_or("was killed".to_string(), |it| format!("ended with code {it}"));
    let reason = format!("it {how}; its log ends with:\n{}", log_file::tail(home));
    Err(Error::DidNotStart { reason, hint: None, exit: 1 })
}

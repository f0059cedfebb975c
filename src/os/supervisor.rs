//! The service manager that started this process, if any (sd_notify(3)).

use std::{env, io, os::unix::net::UnixDatagram, time::Duration};

/// Where to notify the service manager. Without one, every call does nothing.
#[derive(Debug)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
    named: bool,
}

impl Supervisor {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn of_environment() -> Supervisor {
        let variable = |name| env::var(name).ok().filter(|it| !it.is_empty());
        let name = variable("NOTIFY_SOCKET");
        let socket = name.as_deref().and_then(|it| connect(it).ok());
        let for_us = variable("WATCHDOG_PID").is_none_or(|it| it == std::process::id().to_string());
        let micros = variable("WATCHDOG_USEC").and_then(|it| it.parse::<u64>().ok()).filter(|it| *it > 0 && for_us);
        let watchdog = micros.filter(|_| socket.is_some()).map(Duration::from_micros);
        Supervisor { watchdog, socket, named: name.is_some() }
    }

    /// Whether a service manager started this process. It may no longer be listening.
    pub fn is_there(&self) -> bool {
        self.named
    }

    /// How often to call `alive`: half of the interval that the service manager allows.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.map(|it| it / 2)
    }

    pub fn ready(&self) {
        self.tell("READY=1\nSTATUS=ready");
    }

    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping");
    }

    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// Reports what a slow start or stop is doing, and asks for this much more time.
    pub fn busy_with(&self, status: &str, more: Duration) {
        self.tell(&format!("STATUS={}\nEXTEND_TIMEOUT_USEC={}", status.replace('\n', " "), more.as_micros()));
    }

    fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket {
            // If the service manager is not listening, carry on.
            let _ = socket.send(text.as_bytes());
        }
    }
}

fn connect(name: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // A service manager that hangs must not delay us.
    socket.set_write_timeout(Some(Duration::from_secs(1)))?;
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix('@') {
        use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
        socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
        return Ok(socket);
    }
    socket.connect(name)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_hears_what_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let hears = UnixDatagram::bind(&path).unwrap();
        let socket = connect(path.to_str().unwrap()).unwrap();
        let supervisor = Supervisor { socket: Some(socket), watchdog: None, named: true };
        supervisor.ready();
        supervisor.busy_with("two\nlines", Duration::from_secs(1));
        let mut buffer = [0; 200];
        let mut heard = || {
            let length = hears.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        assert_eq!(heard(), "READY=1\nSTATUS=ready");
        assert_eq!(heard(), "STATUS=two lines\nEXTEND_TIMEOUT_USEC=1000000");
        drop(hears);
        supervisor.alive();
    }
}

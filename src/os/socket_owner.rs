//! Finds the user behind a TCP connection from this machine, if the system reports it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The user at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketOwner {
    /// The number of a user of this machine.
    User(u32),
    /// No open socket in this network namespace is the other end: it is on another machine or already closed.
    Nobody,
    /// This system does not report it.
    Unknown,
}

/// The user who connected from `peer` to our end of the connection, `here`.
///
/// On Linux every user can read the table of connections. A closed socket is listed there as user 0's, so only
/// established connections count.
pub fn owner(peer: SocketAddr, here: SocketAddr) -> SocketOwner {
    if !cfg!(target_os = "linux") {
        return SocketOwner::Unknown;
    }
    let mut readable = false;
    // The kernel delivers the table in pieces, so a socket can be missed while others open and close.
    for _ in 0..3 {
        for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let Ok(table) = std::fs::read_to_string(path) else { continue };
            readable = true;
            if let Some(user) = find(&table, peer, here) {
                return SocketOwner::User(user);
            }
        }
    }
    if readable { SocketOwner::Nobody } else { SocketOwner::Unknown }
}

/// Our own user id, as the table shows it.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

const ESTABLISHED: &str = "01";

/// The user of the established socket that is bound to `from` and connected to `to`, in the format of proc_pid_net(5).
fn find(table: &str, from: SocketAddr, to: SocketAddr) -> Option<u32> {
    let same = |one: SocketAddr, other: SocketAddr| {
        one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
    };
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
        let state = fields.next()?;
        let user = fields.nth(3)?.parse().ok()?;
        (state == ESTABLISHED && same(local, from) && same(remote, to)).then_some(user)
    })
}

/// `0100007F:1F90`: four-byte words, each printed in the byte order of this machine, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(host.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let host = match host.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            IpAddr::from(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(host, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[cfg(target_endian = "little")]
    #[test]
    fn a_row_is_found_by_both_ends_and_only_while_it_is_established() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:2253 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5 1 0 100 0 0 10 0\n\
            \x20  1: 0100007F:C001 0100007F:2253 01 00000000:00000000 00:00000000 00000000  1001        0 6 1 0 20 4 30 10 -1\n\
            \x20  2: 0100007F:C002 0100007F:2253 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1\n\
            \x20  3: 0000000000000000FFFF00000100007F:C003 0000000000000000FFFF00000100007F:2253 01 00000000:00000000 00:00000000 00000000  1003        0 6 1 0 20 4 30 10 -1\n\
            broken\n";
        let here: SocketAddr = "127.0.0.1:8787".parse().unwrap();
        let from = |port: u16| find(table, SocketAddr::from(([127, 0, 0, 1], port)), here);
        assert_eq!((from(0xC001), from(0xC002), from(0xC003), from(0xC004)), (Some(1001), None, Some(1003), None));
        assert_eq!(find(table, SocketAddr::from(([127, 0, 0, 1], 0xC001)), "127.0.0.1:1".parse().unwrap()), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_connection_of_ours_is_ours_and_a_closed_one_is_nobodys() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(local) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            let here = accepted.local_addr().unwrap();
            assert_eq!(owner(peer, here), SocketOwner::User(own_user()), "{local}");
            drop(client);
            assert_eq!(owner(peer, here), SocketOwner::Nobody, "{local}");
        }
    }
}

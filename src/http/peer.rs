//! The other end of a connection.

use std::net::SocketAddr;

/// The peer of a connection; every request carries it.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub remote: SocketAddr,
    /// Our own end.
    pub local: SocketAddr,
}

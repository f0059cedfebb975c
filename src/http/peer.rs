//! The other end of a connection.

use std::net::SocketAddr;

/// The peer of a connection, attached to every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub remote: SocketAddr,
    /// Our own address.
    pub local: SocketAddr,
}

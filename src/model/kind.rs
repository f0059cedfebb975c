//! The kinds of errors, for programs to act on. Every error of the crate has a `kind()`.

/// The kind of an error. The command line has one exit code for each, HTTP one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The named thing does not exist.
    NotFound,
    /// The request is valid but conflicts with the current state: other content under the same key, a lock with another
    /// holder.
    Conflict,
    /// The request, a setting or a file that it names can't be understood or can't be carried out.
    Invalid,
    /// Another process is busy with it; the same request may succeed soon.
    Locked,
    /// A disk is full.
    DiskFull,
    /// A disk does not work.
    Io,
    /// Something required is missing or short at the moment; the same request may succeed later.
    Unavailable,
    /// Access to a file, a home or an address is not allowed.
    Denied,
    /// It was cancelled.
    Cancelled,
    /// The time ran out.
    TimedOut,
    /// The operation failed in a way that has no kind of its own.
    Failed,
    /// A bug in the program.
    Bug,
}

impl Kind {
    /// Every kind, once.
    pub const ALL: [Kind; 12] = [
        Kind::NotFound,
        Kind::Conflict,
        Kind::Invalid,
        Kind::Locked,
        Kind::DiskFull,
        Kind::Io,
        Kind::Unavailable,
        Kind::Denied,
        Kind::Cancelled,
        Kind::TimedOut,
        Kind::Failed,
        Kind::Bug,
    ];
}

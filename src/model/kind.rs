//! What went wrong, in one word that programs act on. Every error of the crate answers `kind()`.

/// The kinds of errors. The command line has one exit code for each, HTTP one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// What was named does not exist.
    NotFound,
    /// The request makes sense, but not with what is there: another content under the same key, a lock that another holds.
    Conflict,
    /// The request, a setting or a file that it names can't be understood or can't be done.
    Invalid,
    /// Another process is at it for a moment; the same request may succeed soon.
    Locked,
    /// No room on a disk.
    DiskFull,
    /// The disk does not work.
    Io,
    /// Something that is needed is away or short at present; the same request may succeed later.
    Unavailable,
    /// A file, a home or an address that may not be used.
    Denied,
    /// It was cancelled.
    Cancelled,
    /// The time given was over first.
    TimedOut,
    /// It was tried and failed, in a way that has no kind of its own.
    Failed,
    /// The program contradicts itself.
    Bug,
}

impl Kind {
    /// Each of them once.
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

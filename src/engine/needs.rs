//! Resource limits that work needs, checked before it starts. An early refusal that names the limit is better than a
//! failure halfway.

use super::error::{Error, Result};
use crate::{model::Bytes, os::limits};

/// The kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Running steps.
    Work,
    /// Also reading documents: their parsers are processes, and vector databases are open.
    Ingest,
    /// All of these, and serving requests.
    Serve,
}

impl Needs {
    /// With one running step. Each further one takes about ten more, and waits if they are not available.
    fn open_files(self) -> u64 {
        match self {
            Needs::Work => 32,
            Needs::Ingest => 48,
            Needs::Serve => 64,
        }
    }

    /// Counts mapped memory, not used memory: thread stacks, the program, database caches.
    fn address_space(self) -> Bytes {
        match self {
            Needs::Work => Bytes::mib(384),
            Needs::Ingest | Needs::Serve => Bytes::mib(1024),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Needs::Work => "running steps",
            Needs::Ingest => "reading documents",
            Needs::Serve => "the daemon",
        }
    }
}

/// Raises the limit on open files as far as this process may, and refuses limits that are too low.
pub fn check_needs(needs: Needs) -> Result<()> {
    if let Err(error) = limits::raise_open_files() {
        tracing::debug!(%error, "could not raise the limit on open files");
    }
    let address_space = limits::address_space();
    if address_space.is_some() {
        limits::spare_address_space();
    }
    check(needs, limits::open_files(), address_space)
}

fn check(needs: Needs, open_files: u64, address_space: Option<Bytes>) -> Result<()> {
    let (files, space) = (needs.open_files(), needs.address_space());
    if open_files < files {
        let what = format!("{} needs {files} file descriptors, but the limit is {open_files}", needs.words());
        return Err(Error::TooLow { what, hint: "raise it, for example with `ulimit -n 1024`" });
    }
    match address_space {
        Some(limit) if limit < space => {
            let what = format!("{} needs {space} of address space, but the limit is {limit}", needs.words());
            Err(Error::TooLow { what, hint: "raise it, for example with `ulimit -v unlimited`" })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_below_what_is_needed_is_refused_by_name() {
        let said = |needs: Needs, files, space| match check(needs, files, space) {
            Ok(()) => String::new(),
            Err(error) => format!("{error}; {}", error.hint().unwrap_or_default()),
        };
        for needs in [Needs::Work, Needs::Ingest, Needs::Serve] {
            assert_eq!(said(needs, needs.open_files(), Some(needs.address_space())), "");
            assert_eq!(said(needs, u64::MAX, None), "");
        }
        assert_eq!(
            said(Needs::Work, 16, None),
            "running steps needs 32 file descriptors, but the limit is 16; raise it, for example with `ulimit -n 1024`"
        );
        assert!(said(Needs::Serve, 4096, Some(Bytes::mib(80))).contains("of address space, but the limit is 80 MiB"));
    }
}

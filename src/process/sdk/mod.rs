//! Libraries for authors of workers, as printed by `windlass worker sdk`.

/// One file that needs only Python 3.9 and its standard library.
pub const PYTHON: &str = include_str!("windlass_worker.py");

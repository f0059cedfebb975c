//! Libraries for those who write workers, as they are printed by `windlass worker sdk`.

/// One file that needs nothing but Python 3.9 and its standard library.
pub const PYTHON: &str = include_str!("windlass_worker.py");

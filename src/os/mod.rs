//! Thin wrappers over the operating system; whatever is particular to Linux or macOS stays in here.
//!
//! Owns: clock, file locks, process identity and statistics, disk space, signals, spawning.
//! May import: `model`. Never: knows of steps, workers or databases.

//! One file per command; output for people or `--json`; failures and exit codes.
//!
//! May import: everything on the floors below. Never: writes SQL or decides what the engine decides.

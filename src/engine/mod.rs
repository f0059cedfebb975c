//! Composes store, process and decide: submit, consumers, attempts, heartbeat, reaper, resource locks, hooks.
//!
//! May import: everything on the floors below. Never: writes SQL; judges without asking `decide`.

//! The claim, the sentinel, the port file, serve.
//!
//! May import: everything on the floors below. Never: signals a process whose identity it has not checked.

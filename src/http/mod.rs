//! Router, one file per resource, the page.
//!
//! May import: everything on the floors below. Never: holds a lock that a step can hold.

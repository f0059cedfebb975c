//! Query and ranking over a vector database.
//!
//! May import: everything on the floors below. Never: writes.

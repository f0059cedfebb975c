//! Step kinds for documents: validate, parse, chunk, embed, store; sync and vacuum.
//!
//! May import: everything on the floors below. Never: parses a document in the process of the engine.

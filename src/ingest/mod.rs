//! Documents: finding them, reading them, cutting them into chunks; and the step kinds that do so for a workflow.
//!
//! The document half is pure: [`source`] lists files, [`parse`](mod@parse) turns bytes into one Markdown text (by content first, then by
//! name), [`chunk`](mod@chunk) cuts that text. Each reader in [`reader`] runs in time linear in its input and in bounded memory, as
//! far as its library allows; what still crashes or explodes does so in a worker process, alone.
//!
//! May import: everything on the floors below. Never: parses a document in the process of the engine.

pub mod charset;
pub mod chunk;
pub mod media_type;
pub mod ocr;
pub mod outline;
pub mod parse;
pub mod reader;
pub mod source;
mod tokens;

pub use chunk::{ChunkOptions, chunk};
pub use parse::{Ocr, ParseError, ParseOptions, parse, parse_file};

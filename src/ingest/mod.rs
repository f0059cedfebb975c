//! Documents: finds them, reads them and cuts them into chunks. Also the step kinds that do this in a workflow.
//!
//! The document half is pure: [`source`] lists files, [`parse`](mod@parse) turns bytes into one Markdown text (by
//! content first, then by name), and [`chunk`](mod@chunk) cuts that text. Each reader in [`reader`] runs in linear time
//! and bounded memory, as far as its library allows. Readers run in a separate worker process, so a document that
//! crashes its reader or exhausts memory harms nothing else.
//!
//! May import: everything on the floors below. Never: parses a document in the process of the engine.

pub mod batch;
pub mod charset;
pub mod chunk;
mod content;
mod docling;
mod error;
pub mod fetch;
pub mod file_uri;
pub mod follow;
pub mod item;
pub mod media_type;
mod newest_runs;
pub mod ocr;
pub mod outline;
pub mod parameter_sets;
pub mod parameters;
pub mod parse;
mod parse_error;
mod parse_options;
pub mod parser;
pub mod reader;
pub mod removal;
pub mod source;
pub mod step;
pub mod sync;
mod tokens;
pub mod upload;
mod waiting;
mod workflow;

pub use chunk::{ChunkOptions, chunk};
pub use error::{Error, Result};
pub use newest_runs::newest_runs;
pub use parameters::{database_path, kept_database_path, raises_limit, reaches_beyond};
pub use parse::parse;
#[cfg(any(test, feature = "internals"))]
pub use parse::parse_file;
pub use parse_error::ParseError;
pub use parse_options::{Ocr, ParseOptions};
pub use workflow::{KINDS, WORKFLOW, definition};

use crate::engine::Registry;

/// Registers the step kinds of the ingest workflow.
pub fn register(registry: &mut Registry) {
    let [validate, parse, chunk, embed, store] = KINDS;
    registry.register(validate, step::ValidateKind);
    registry.register(parse, step::ParseKind);
    registry.register(chunk, step::ChunkKind);
    registry.register(embed, step::EmbedKind::default());
    registry.register(store, step::StoreKind::default());
    registry.look_after(removal::Removals);
    registry.look_after(waiting::Waiting);
}

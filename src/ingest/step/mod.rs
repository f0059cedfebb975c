//! The step kinds. They read artifacts, write artifacts and report; none accesses the engine database.

mod again;
mod cache_key;
mod chunk;
mod embed;
mod input;
mod outcome;
mod parse;
mod store;
mod validate;
mod writer;

pub(super) use cache_key::cache_key;
pub use chunk::ChunkKind;
pub use embed::EmbedKind;
pub use parse::ParseKind;
pub use store::StoreKind;
pub use validate::ValidateKind;

use cache_key::cache_key_of;
use input::{bytes_of, check_memory, item_of, json_of, kept, parameters_of, readable};
use outcome::{Work, ended, go_on, no_room, of_artifact, of_engine, of_io, of_vector, with_hint};

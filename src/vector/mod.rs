//! The vector databases, one SQLite file each, and all of their SQL.
//!
//! Owns: the schema (`schema.sql`), the verbs that replace and remove documents, the two indexes (full text and
//! vectors), the filter language and its translation to SQL, and maintenance (check, vacuum). May import: `model`,
//! `decide`, `os`, `settings`. Never: knows about workflows, steps or the engine database; computes an embedding; takes
//! a file lock (the caller holds it during every write, and the epoch fences a writer that has lost it).
//!
//! A write needs an [`Epoch`], which only [`VectorDb::raise_epoch`] returns. The caller takes the file lock and raises
//! the epoch. From then on, every older writer gets [`Error::Fenced`] inside its own transaction. Readers never wait:
//! they see the last committed state, even while a document is replaced, during a vacuum and after a crash.

pub mod backup;
mod check;
mod chunk;
mod connection;
mod database;
mod document;
mod error;
mod filter;
mod foreign;
mod hidden;
mod info;
mod knn;
mod marks;
mod repair;
mod replace;
mod text;
mod vacuum;

pub use check::CheckReport;
pub use chunk::{ChunkId, FoundChunk, Scored, TextHash};
pub use connection::Durability;
pub use database::{Epoch, OpenOptions, Snapshot, VectorDb, refuse_other_owners};
pub use document::{Document, DocumentPage, DocumentQuery, DocumentRow, Origin, Removal};
pub use error::{Error, Result};
pub use filter::{Filter, FilterError};
pub use info::Info;
pub use marks::marks;
pub use repair::RepairReport;
pub use replace::{ChunkRow, Stored};
pub use text::{Term, TextQuery, is_unspaced};
pub use vacuum::VacuumReport;

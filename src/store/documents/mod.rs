//! What ingestion stores: documents, their versions, batches and removals.

pub mod batch_group;
pub mod document;
pub mod document_batch;
pub mod document_removal;
pub mod document_uri;
pub mod sync_state;
pub mod synced_folder;

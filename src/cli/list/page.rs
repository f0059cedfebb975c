//! Options that lists share.

use crate::model::Status;
use clap_complete::engine::ArgValueCompleter;

/// The part of a list to show.
#[derive(Debug, Clone, clap::Args)]
pub struct Page {
    /// Only with this status: pending, running, waiting, completed, error, failed or cancelled
    #[arg(long, value_name = "STATUS", add = ArgValueCompleter::new(crate::cli::complete::statuses))]
    pub status: Option<Status>,
    /// Maximum number to list
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: usize,
}

/// A status as an adjective: `failed `.
pub fn lower(status: Status) -> String {
    format!("{} ", status.name().to_lowercase())
}

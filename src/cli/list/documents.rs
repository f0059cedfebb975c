use crate::cli::{context::Context, db, failure::Result};
use clap_complete::engine::ArgValueCompleter;

/// Documents of a vector database, by source and URI
#[derive(Debug, clap::Args)]
pub struct Documents {
    /// A name, or a path to a file [default: the setting `database`]
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(crate::cli::complete::databases))]
    db: Option<String>,
    #[command(flatten)]
    page: db::DocumentPage,
}

impl Documents {
    pub fn run(self, cx: &Context) -> Result<()> {
        db::documents(cx, self.db.as_deref(), &self.page)
    }
}

use super::{context::Context, failure::Result, pause};
use clap_complete::engine::ArgValueCompleter;

/// Resume a paused group or step type
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A group such as g12, or a step type such as parse
    #[arg(add = ArgValueCompleter::new(super::complete::pausable))]
    target: String,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        pause::set(cx, &self.target, false)
    }
}

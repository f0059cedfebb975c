use super::{CommandLine, context::Context, failure::Result};
use clap::CommandFactory;

/// Print the completions of a shell
///
/// For bash: `windlass completions bash > ~/.local/share/bash-completion/completions/windlass`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut CommandLine::command(), "windlass", &mut script);
        cx.output.bytes(&script)
    }
}

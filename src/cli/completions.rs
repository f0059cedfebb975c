use super::{complete::VARIABLE, context::Context, failure::Result, suggestion};
use clap_complete::env::Shells;

/// Print shell completions for commands, flags, and current ids, statuses and names
///
/// For bash: `windlass completions bash > ~/.local/share/bash-completion/completions/windlass`.
/// For zsh: `windlass completions zsh > ~/.zfunc/_windlass`, with `fpath+=~/.zfunc` before `compinit`.
/// For fish: `windlass completions fish > ~/.config/fish/completions/windlass.fish`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
    shell: String,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let mut script = Vec::new();
        if let Some(shell) = Shells::builtins().completer(&self.shell) {
            shell.write_registration(VARIABLE, "windlass", "windlass", &suggestion::program_path(), &mut script)?;
        }
        cx.output.bytes(&script)
    }
}

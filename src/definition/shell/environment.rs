//! Environment variables that are more than data, because a shell or another program runs their contents.

/// The special variables that a shell evaluates when they are in its environment.
const SPECIAL_IN_ENV: &[&str] = &["BASH_ENV", "ENV", "PROMPT_COMMAND", "PS0", "PS1", "PS4"];
/// Variables whose value some program runs, or reads as options that run something.
const RUN_BY_PROGRAMS: &[&str] = &[
    "BROWSER",
    "EDITOR",
    "GIT_ASKPASS",
    "GIT_EDITOR",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_SEQUENCE_EDITOR",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "JAVA_TOOL_OPTIONS",
    "LD_AUDIT",
    "LD_PRELOAD",
    "LESSCLOSE",
    "LESSOPEN",
    "MAKEFLAGS",
    "MANPAGER",
    "MFLAGS",
    "NODE_OPTIONS",
    "PAGER",
    "PERL5DB",
    "PERL5OPT",
    "PYTHONSTARTUP",
    "RSYNC_RSH",
    "RUBYOPT",
    "SSH_ASKPASS",
    "TAR_OPTIONS",
    "VISUAL",
];

pub(super) fn run_by_programs(name: &str) -> bool {
    RUN_BY_PROGRAMS.contains(&name)
}

/// Whether no value may be put into the environment under this name.
pub(in crate::definition) fn runs(name: &str) -> bool {
    SPECIAL_IN_ENV.contains(&name) || RUN_BY_PROGRAMS.contains(&name) || name.starts_with("BASH_FUNC_")
}

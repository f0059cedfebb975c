//! Programs that run a command which they are given: as the value of an option, as words that they join for a shell, or as
//! the words behind their own.

use super::{
    script::Script,
    word::{Content, READ, Word, base},
};

pub(super) const COMMAND: &str =
    "write the command out, and pass the value in a variable (`env: { NAME: \"{{ ... }}\" }`)";
const JOINED: &str = "write the command as a text of its own, which reads the value from its input or from a file";

/// Options of which the value is a command, code, or a file of code that is loaded. A name that ends with `*` matches
/// names with this prefix and digits behind it.
const COMMANDS: &[(&[&str], &[&str])] = &[
    (&["tar"], &["--checkpoint-action", "--to-command", "--use-compress-program", "-I", "--info-script", "-F"]),
    (&["tar", "cpio", "mt"], &["--new-volume-script", "--rsh-command", "--rmt-command"]),
    (&["rsync"], &["-e", "--rsh", "--rsync-path"]),
    (&["git"], &["--exec", "-x", "--extcmd", "--upload-pack", "-u", "--receive-pack", "--open-files-in-pager", "-O"]),
    (
        &["git"],
        &["--tree-filter", "--index-filter", "--msg-filter", "--env-filter", "--commit-filter", "--parent-filter"],
    ),
    (&["git"], &["--exec-path", "--config-env", "--config", "--template", "--smtp-server", "--sendmail-cmd"]),
    (&["hg"], &["--config", "--ssh", "--remotecmd"]),
    (&["svn"], &["--config-option", "--diff-cmd", "--diff3-cmd", "--merge-cmd", "--editor-cmd"]),
    (&["split"], &["--filter"]),
    (&["sort"], &["--compress-program"]),
    (&["wget"], &["--use-askpass", "-e", "--execute"]),
    (&["scp", "sftp"], &["-S"]),
    (&["mosh"], &["--ssh", "--server", "--client"]),
    (&["zip"], &["-TT", "--unzip-command"]),
    (&["man"], &["-P", "--pager", "-H", "--html"]),
    (&["gdb"], &["-ex", "--eval-command", "-iex", "--init-eval-command"]),
    (&["lldb"], &["-o", "-O", "--one-line", "--one-line-before-file"]),
    (&["make", "gmake"], &["--eval"]),
    (&["m4"], &["-D", "--define"]),
    (
        &["cc", "c++", "gcc*", "g++*", "clang*", "clang++*", "gfortran*"],
        &["-wrapper", "-B", "-fplugin", "-specs", "--specs"],
    ),
    (&["ld", "ar", "nm"], &["-plugin", "--plugin"]),
    (&["rustc"], &["-C", "--codegen"]),
    (&["cargo"], &["--config"]),
    (&["go"], &["-toolexec", "--toolexec", "-exec", "--exec", "-vettool"]),
    (&["npm", "npx", "pnpm", "yarn"], &["--script-shell", "--node-options", "-c", "--call", "--shell"]),
    (&["sbatch"], &["--wrap"]),
    (&["srun", "salloc"], &["--prolog", "--epilog", "--task-prolog", "--task-epilog"]),
    (&["rg"], &["--pre"]),
    (&["less"], &["+"]),
    (&["entr"], &["-s"]),
    (&["nix-shell", "nix"], &["--run", "--command", "--expr", "-E"]),
    (&["nix-build", "nix-instantiate"], &["--expr", "-E"]),
    (&["nc", "ncat", "netcat"], &["-e", "-c", "--exec", "--sh-exec", "--lua-exec"]),
    (&["lftp"], &["-c", "-e"]),
    (&["xterm", "urxvt", "konsole", "xfce4-terminal"], &["-e"]),
    (&["gcloud"], &["--command"]),
    (&["vagrant"], &["-c", "--command"]),
    (&["ansible"], &["-a", "--args"]),
    (&["condor_submit"], &["-append"]),
    (&["deno"], &["eval"]),
    (&["redis-cli", "valkey-cli"], &["eval", "EVAL"]),
    (&["capsh"], &["-c"]),
];

/// Programs that join words of theirs to a text for a shell, on this or on another machine; only behind the second word, if
/// there is one.
const JOINING: &[(&str, &[&str])] = &[
    ("bsub", &[]),
    ("qsub", &[]),
    ("pdsh", &[]),
    ("clush", &[]),
    ("pssh", &[]),
    ("adb", &["shell", "exec-out"]),
    ("tmux", &["new", "new-session", "new-window", "neww", "split-window", "splitw", "respawn-pane", "respawn-window"]),
    ("tmux", &["run", "run-shell", "if", "if-shell", "send", "send-keys", "pipe-pane", "popup", "display-popup"]),
    ("screen", &["-X"]),
];

/// Programs that start another one from the words behind their own.
const RUNNERS: &[&str] = &[
    "apptainer",
    "bwrap",
    "busybox",
    "catchsegv",
    "cgexec",
    "chpst",
    "chroot",
    "chronic",
    "chrt",
    "dbus-run-session",
    "doas",
    "docker",
    "entr",
    "env",
    "fakechroot",
    "fakeroot",
    "faketime",
    "fd",
    "find",
    "firejail",
    "flock",
    "gdbserver",
    "ionice",
    "kubectl",
    "lxc-attach",
    "mpiexec",
    "mpirun",
    "nice",
    "nohup",
    "nsenter",
    "numactl",
    "parallel",
    "perf",
    "pkexec",
    "podman",
    "prlimit",
    "proot",
    "rlwrap",
    "runcon",
    "runuser",
    "salloc",
    "setarch",
    "setpriv",
    "setsid",
    "singularity",
    "softlimit",
    "srun",
    "start-stop-daemon",
    "stdbuf",
    "strace",
    "ltrace",
    "sudo",
    "systemd-inhibit",
    "systemd-run",
    "taskset",
    "time",
    "timeout",
    "torify",
    "torsocks",
    "tsocks",
    "unbuffer",
    "unshare",
    "valgrind",
    "xargs",
    "xvfb-run",
];
/// Programs that take words for data, and verbs behind which words are names of packages.
const QUOTING: &[&str] =
    &["echo", "printf", "print", "grep", "egrep", "fgrep", "rg", "ag", "which", "whereis", "type", "man"];
const ABOUT_PACKAGES: &[&str] =
    &["add", "create", "info", "install", "list", "remove", "search", "show", "uninstall", "update", "upgrade"];

pub(super) fn is_runner(name: &str) -> bool {
    RUNNERS.contains(&name)
}

/// Whether the word there is no program but a text or the name of a package.
pub(super) fn is_quoting(words: &[Word], at: usize) -> bool {
    QUOTING.contains(&base(&words[0])) || words[1..at].iter().any(|it| ABOUT_PACKAGES.contains(&it.text.as_str()))
}

impl Script {
    /// Notes what options give to a program as a command.
    pub(super) fn commands(&mut self, name: &str, words: &[Word]) {
        let is_name = |it: &&str| match it.strip_suffix('*') {
            Some(begins) => {
                name.strip_prefix(begins).is_some_and(|it| it.bytes().all(|it| matches!(it, b'0'..=b'9' | b'.' | b'-')))
            }
            None => *it == name,
        };
        for option in COMMANDS.iter().filter(|it| it.0.iter().any(is_name)).flat_map(|it| it.1) {
            for (at, word) in words.iter().enumerate() {
                let Some(rest) = word.text.strip_prefix(option) else { continue };
                let is_short = option.len() == 2 || *option == "+";
                let found = match rest.strip_prefix('=') {
                    _ if rest.is_empty() => words.get(at + 1).cloned(),
                    Some(rest) => Some(Word { text: rest.to_string(), ..word.clone() }),
                    None if is_short => Some(Word { text: rest.to_string(), ..word.clone() }),
                    None => None,
                };
                if let Some(word) = found {
                    self.run(word.content.clone(), format!("in a command that `{name} {option}` runs"), COMMAND);
                }
            }
        }
        if name == "socat" {
            let is_program = |it: &&Word| {
                let kind = it.text.split(':').next().unwrap_or_default().to_ascii_uppercase();
                ["EXEC", "SYSTEM", "SHELL"].contains(&kind.as_str()) || it.is_open()
            };
            for word in words.iter().filter(is_program) {
                self.run(word.content.clone(), "in a command that `socat` runs".to_string(), COMMAND);
            }
        }
        if name == "crontab" && words.iter().any(|it| it.text == "-") {
            self.run(Content::of(READ), "in what `crontab` reads".to_string(), COMMAND);
        }
    }

    /// Notes words that a program joins to a text for a shell.
    pub(super) fn joined(&mut self, name: &str, words: &[Word]) {
        for (_, verbs) in JOINING.iter().filter(|it| it.0 == name) {
            let begins = match verbs.is_empty() {
                true => 0,
                false => match words.iter().position(|it| verbs.contains(&it.text.as_str())) {
                    Some(at) => at + 1,
                    None => continue,
                },
            };
            for word in &words[begins..] {
                let place = format!("in the command that `{name}` gives to a shell");
                self.run(word.content.clone(), place, JOINED);
            }
        }
    }
}

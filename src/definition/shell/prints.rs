//! The values that a command can print: those in its arguments and its environment.

use super::{
    script::{Flow, Script},
    word::{Content, PRINTED, RETURNED, SPOT, Word, formatted, names_in},
};

/// Commands that don't print their environment unless explicitly asked.
const QUIET: &[&str] = &[
    ":",
    ".",
    "[",
    "alias",
    "awk",
    "base64",
    "basename",
    "bc",
    "bg",
    "blkid",
    "break",
    "cat",
    "cd",
    "chmod",
    "chown",
    "cksum",
    "cmp",
    "column",
    "comm",
    "continue",
    "cp",
    "curl",
    "cut",
    "date",
    "df",
    "diff",
    "dirname",
    "du",
    "echo",
    "egrep",
    "eval",
    "exit",
    "expr",
    "false",
    "ffprobe",
    "fg",
    "fgrep",
    "file",
    "find",
    "fold",
    "free",
    "gawk",
    "getconf",
    "getopts",
    "git",
    "grep",
    "groups",
    "gunzip",
    "gzip",
    "hash",
    "head",
    "hexdump",
    "hostname",
    "iconv",
    "id",
    "identify",
    "jobs",
    "join",
    "jq",
    "kill",
    "let",
    "ln",
    "local",
    "ls",
    "lsblk",
    "mapfile",
    "mawk",
    "md5sum",
    "mkdir",
    "mktemp",
    "mv",
    "nl",
    "nproc",
    "numfmt",
    "od",
    "paste",
    "pgrep",
    "pidof",
    "printf",
    "ps",
    "pwd",
    "read",
    "readlink",
    "realpath",
    "return",
    "rev",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sha1sum",
    "sha256sum",
    "shift",
    "shuf",
    "sleep",
    "sort",
    "source",
    "split",
    "stat",
    "stty",
    "sum",
    "sync",
    "tac",
    "tail",
    "tar",
    "tee",
    "test",
    "time",
    "times",
    "touch",
    "tput",
    "tr",
    "trap",
    "true",
    "tty",
    "type",
    "ulimit",
    "umask",
    "uname",
    "uniq",
    "unset",
    "unxz",
    "uptime",
    "wait",
    "wc",
    "which",
    "who",
    "whoami",
    "xxd",
    "xz",
    "yes",
    "zcat",
    "zgrep",
    "zstd",
];
/// Commands that print all variables if called without arguments.
const LISTING: &[&str] = &["declare", "env", "export", "printenv", "readonly", "set", "typeset"];
/// Words in programs that access the environment.
const LOOKED_UP: &[&str] = &["ENV", "ENVIRON", "environ", "environb", "getenv", "printenv"];

/// Records what this command can print.
pub(super) fn printed(script: &mut Script, command: &Word, arguments: &[Word], all: Content) {
    let name = command.text.rsplit('/').next().unwrap_or_default();
    let mut printed = all;
    let texts = || arguments.iter().filter(|it| !it.text.starts_with('-')).flat_map(|it| names_in(&it.text));
    let lists = LISTING.contains(&name) && arguments.iter().all(|it| it.text.starts_with('-'));
    let looks = texts().any(|it| LOOKED_UP.contains(&it.as_str()) || (name == "jq" && it == "env"));
    if lists || looks {
        printed.names.push("WINDLASS_ITEM".into());
    }
    if script.functions.contains(&command.text) {
        printed.names.push(RETURNED.into());
    } else if command.is_unknown() || !(QUIET.contains(&name) || LISTING.contains(&name) || is_syntax(name)) {
        printed.names.extend(texts());
        printed.names.push(PRINTED.into());
    } else {
        printed.names.extend(texts().filter(|it| name == "printenv" || it.starts_with("WINDLASS_")));
    }
    // For text that is read or passed on later by an unknown command, only certain names count.
    let certain = printed.names.iter().filter(|it| *it != PRINTED).cloned().collect();
    let certain = Content { names: certain, values: printed.values.clone(), ..Content::default() };
    if !certain.is_empty() {
        script.flows.push(Flow { name: "@".into(), content: certain });
    }
    if matches!(name, "echo" | "printf") {
        let texts: Vec<&str> = arguments.iter().map(|it| it.text.as_str()).collect();
        let whole = texts.iter().copied().filter(|it| !it.contains(SPOT));
        printed.texts.extend(whole.map(formatted).chain([formatted(&texts.join(" "))]));
    }
    script.give(&printed);
}

fn is_syntax(name: &str) -> bool {
    matches!(name, "for" | "select" | "case" | "in" | "function" | "[[" | "")
}

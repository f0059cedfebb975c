//! The command line: one file per command; output for people or as `--json`; failures and exit codes.
//!
//! Data goes to stdout, messages go to stderr. The fields of `--json` are promises (`docs/json.md`), and so are the
//! exit codes (`failure.rs`). Commands ask questions only if a person sits at the terminal.
//!
//! May import: everything on the floors below. Never: writes SQL or decides what the engine decides.

mod approve;
mod backup;
mod cancel;
mod complete;
mod completions;
mod context;
mod database;
mod db;
mod db_remove;
mod doctor;
mod events;
mod export;
mod failure;
mod group_end;
mod ingest;
mod ingest_report;
mod init;
mod items;
mod list;
mod locks;
mod logs;
mod name;
mod output;
mod paint;
mod parameters;
mod pause;
mod progress;
mod prove;
mod prune;
mod reject;
mod restore;
mod resume;
mod retry;
mod run;
mod schedule;
mod search;
mod serve;
mod settings;
mod show;
mod show_file;
mod signal;
mod status;
mod stop;
mod submit;
mod suggestion;
mod table;
mod tip;
mod trust;
mod ui;
mod vacuum;
mod wait;
mod why;
mod wording;
mod work;
mod worker;

use crate::model::printable;
use clap::{CommandFactory, Parser, error::ErrorKind};
use context::Context;
use failure::{Exit, Failure, Result};
use output::Output;
use std::path::PathBuf;

/// A durable workflow engine for one machine: one binary, one SQLite file.
///
/// Start with `windlass ingest DIR`, then `windlass search "what you want to know"`.
/// Or run any command over many items: `windlass run --each 'convert {{ item }} {{ item }}.webp' --items *.png`.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, subcommand_required = true, arg_required_else_help = true, after_help = EXITS)]
struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXITS: &str = "Exit codes: 0 done, 1 error, 2 usage, 3 the work failed, 4 not found, 5 locked or conflicting, \
                     6 cancelled, 7 timed out waiting, 74 disk full or I/O error, \
                     75 already running under a supervisor, 130 and 143 stopped by a signal.";

#[derive(Debug, clap::Args)]
struct Global {
    /// The home directory [default: WINDLASS_HOME, otherwise the nearest .windlass from here upward, otherwise the platform's]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Print JSON (stable fields; see docs/json.md)
    #[arg(long, global = true)]
    json: bool,
    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print more, and absolute times
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Print absolute times, in UTC
    #[arg(long, global = true)]
    utc: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Ingest(ingest::Args),
    Search(search::Args),
    Run(run::Args),
    Submit(submit::Args),
    Wait(wait::Args),
    Worker(worker::Args),
    Serve(serve::Args),
    Stop(stop::Args),
    Ui(ui::Args),
    /// List workers and their processes; the same as `windlass list workers`
    Workers,
    Status(status::Args),
    List(list::Args),
    Show(show::Args),
    Why(why::Args),
    Logs(logs::Args),
    Events(events::Args),
    Schedule(schedule::Args),
    Export(export::Args),
    Approve(approve::Args),
    Reject(reject::Args),
    Signal(signal::Args),
    Cancel(cancel::Args),
    Retry(retry::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    Locks(locks::Args),
    Vacuum(vacuum::Args),
    Prune(prune::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Db(db::Args),
    Doctor(doctor::Args),
    Settings(settings::Args),
    Prove(prove::Args),
    Init(init::Args),
    Trust(trust::Args),
    Completions(completions::Args),
}

/// Parses and runs the command line. Returns the exit code of the process.
pub fn main() -> i32 {
    complete::answer(CommandLine::command);
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // The error message repeats what was typed, which may be a file name.
            let typed = std::env::args_os().map(|it| it.to_string_lossy().into_owned());
            let shown: Vec<String> = typed.map(|it| printable::printable(&it).into_owned()).collect();
            if error.kind() == ErrorKind::InvalidUtf8 {
                return not_utf8();
            }
            let error = CommandLine::try_parse_from(&shown).err().unwrap_or(error);
            let error = tip::tried(error, &shown, |it| CommandLine::try_parse_from(it));
            // A reader that went away while the help was printed is not an error.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.code() } else { Exit::Done.code() };
        }
    };
    let output = Output::new(line.global.json, line.global.quiet, line.global.verbose, line.global.utc);
    let context = Context::new(line.global.home, output);
    suggestion::begin(&context.home_flag());
    let reads = line.command.only_reads();
    let ended = line.command.run(&context);
    if reads {
        context.say_who_writes();
    }
    context.close();
    match ended {
        Ok(()) => Exit::Done.code(),
        Err(failure) => {
            failure.report(output.json, output.lively);
            failure.exit.code()
        }
    }
}

/// Names the argument that is not UTF-8; clap only reports that one exists.
fn not_utf8() -> i32 {
    let bad = std::env::args_os().skip(1).find(|it| it.to_str().is_none()).unwrap_or_default();
    let bad = bad.to_string_lossy();
    let failure = Failure::usage(format!("the argument `{}` is not UTF-8", printable::printable(&bad)))
        .hint("rename the file, for example with `convmv`");
    failure.report(false, false);
    failure.exit.code()
}

impl Command {
    /// `status` reports such problems itself.
    fn only_reads(&self) -> bool {
        use Command::*;
        matches!(self, Workers | List(_) | Show(_) | Why(_) | Logs(_) | Events(_) | Export(_) | Search(_) | Doctor(_))
    }

    fn run(self, cx: &Context) -> Result<()> {
        match self {
            Command::Ingest(args) => args.run(cx),
            Command::Search(args) => args.run(cx),
            Command::Run(args) => args.run(cx),
            Command::Submit(args) => args.run(cx),
            Command::Wait(args) => args.run(cx),
            Command::Worker(args) => args.run(cx),
            Command::Serve(args) => args.run(cx),
            Command::Stop(args) => args.run(cx),
            Command::Ui(args) => args.run(cx),
            Command::Workers => list::list_workers(cx),
            Command::Status(args) => args.run(cx),
            Command::List(args) => args.run(cx),
            Command::Show(args) => args.run(cx),
            Command::Why(args) => args.run(cx),
            Command::Logs(args) => args.run(cx),
            Command::Events(args) => args.run(cx),
            Command::Schedule(args) => args.run(cx),
            Command::Export(args) => args.run(cx),
            Command::Approve(args) => args.run(cx),
            Command::Reject(args) => args.run(cx),
            Command::Signal(args) => args.run(cx),
            Command::Cancel(args) => args.run(cx),
            Command::Retry(args) => args.run(cx),
            Command::Pause(args) => args.run(cx),
            Command::Resume(args) => args.run(cx),
            Command::Locks(args) => args.run(cx),
            Command::Vacuum(args) => args.run(cx),
            Command::Prune(args) => args.run(cx),
            Command::Backup(args) => args.run(cx),
            Command::Restore(args) => args.run(cx),
            Command::Db(args) => args.run(cx),
            Command::Doctor(args) => args.run(cx),
            Command::Settings(args) => args.run(cx),
            Command::Prove(args) => args.run(cx),
            Command::Init(args) => args.run(cx),
            Command::Trust(args) => args.run(cx),
            Command::Completions(args) => args.run(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::{fs, path::Path};

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    /// The commands that a program would build from a text between backticks, with sample values for placeholders.
    fn readings(text: &str) -> Vec<Vec<String>> {
        let text = [" > ", " | ", " && "].iter().fold(text, |text, it| text.split(it).next().unwrap_or_default());
        // An optional flag directly follows a word.
        let text = text.replace("{flag}", "").replace("{of_database}", "").replace("documents{}", "documents");
        let mut words: Vec<String> = vec!["windlass".to_string(), String::new()];
        let mut quote = None;
        for letter in text.chars() {
            match letter {
                '"' | '\'' if quote == Some(letter) => quote = None,
                '"' | '\'' if quote.is_none() => quote = Some(letter),
                ' ' if quote.is_none() => words.push(String::new()),
                _ => words.iter_mut().last().unwrap().push(letter),
            }
        }
        words.retain(|it| !matches!(it.as_str(), "" | "..."));
        let open = |it: &String| it.starts_with('{') || it.len() > 1 && it.bytes().all(|it| it.is_ascii_uppercase());
        let fills = ["g1", "s1", "r1", "1", "name"];
        let with = |fill: &str| words.iter().map(|it| if open(it) { fill.to_string() } else { it.clone() }).collect();
        let without = words.iter().filter(|it| !open(it)).cloned().collect();
        fills.into_iter().map(with).chain([without]).collect()
    }

    /// The files below a directory.
    fn files(dir: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).unwrap().map(|it| it.unwrap().path());
        let inside = |it: PathBuf| if it.is_dir() { files(&it) } else { vec![it] };
        entries.flat_map(inside).filter(|it| it.extension().is_some_and(|it| it == "rs" || it == "md")).collect()
    }

    /// The text of a program with the line breaks in its strings and comments removed.
    fn joined(text: &str) -> String {
        let mut joined = String::new();
        for line in text.lines() {
            let bare = line.trim_start();
            let bare = bare.strip_prefix("///").or(bare.strip_prefix("//!")).map_or(bare, str::trim_start);
            joined.push_str(bare.strip_suffix('\\').unwrap_or(bare));
            joined.push_str(if bare.ends_with('\\') { "" } else { " " });
        }
        joined.replace("\\\"", "\"")
    }

    #[test]
    fn every_command_that_a_hint_names_can_be_typed() {
        let (mut seen, mut refused) = (0, Vec::new());
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in ["src", "docs"].iter().flat_map(|it| files(&root.join(it))) {
            let text = fs::read_to_string(&file).unwrap();
            let text = joined(&text);
            for part in text.split("`windlass ").skip(1) {
                let Some((command, _)) = part.split_once('`') else { continue };
                let is_code = |it: char| !(it.is_ascii_lowercase() || matches!(it, '-' | '{'));
                if command.starts_with(is_code) || command.starts_with("is ") || command == "{command}" {
                    continue;
                }
                seen += 1;
                let readings = readings(command);
                // A command name or option on its own is only a mention, not a whole command.
                let is_mention = !command.contains(['\'', '"', '{']);
                let works = |it: &Vec<String>| match CommandLine::try_parse_from(it).map_err(|it| it.kind()) {
                    Ok(_) | Err(ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand) => {
                        true
                    }
                    Err(ErrorKind::MissingRequiredArgument | ErrorKind::InvalidValue) => is_mention,
                    Err(_) => false,
                };
                if !readings.iter().any(works) {
                    refused.push(format!("{}: `windlass {command}`", file.display()));
                }
            }
        }
        assert!(seen > 100, "{seen}");
        assert!(refused.is_empty(), "{refused:#?}");
    }

    #[test]
    fn every_command_and_argument_explains_itself() {
        fn check(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "{path} has no help");
            for argument in command.get_arguments().filter(|it| !it.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{path} {} has no help", argument.get_id());
            }
            for inner in command.get_subcommands().filter(|it| it.get_name() != "help") {
                check(inner, &format!("{path} {}", inner.get_name()));
            }
        }
        check(&CommandLine::command(), "windlass");
    }
}

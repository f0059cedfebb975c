//! Suggested commands, written so that they can be typed as they are: with the path of this program if `windlass` would
//! not be found, and with `--home` if it was given.

use super::wording::quoted;
use std::{env, fs, sync::OnceLock};

static CALL: OnceLock<String> = OnceLock::new();

/// Records how this process was started. `home_flag` is `--home DIR ` or empty.
pub fn begin(home_flag: &str) {
    let _ = CALL.set(format!("{} {home_flag}", quoted(&called())));
}

/// `windlass` if PATH leads to this program, otherwise an absolute path to it.
pub fn program_path() -> String {
    let called = called();
    match called.contains('/') {
        true => fs::canonicalize(&called).map_or(called, |it| it.to_string_lossy().into_owned()),
        false => called,
    }
}

fn called() -> String {
    let argument = env::args_os().next().unwrap_or_default().to_string_lossy().into_owned();
    program(&argument, |name| {
        env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .map(|dir| dir.join(name))
            .find(|it| it.is_file())
            .and_then(|it| fs::canonicalize(it).ok())
            .map(|it| it.to_string_lossy().into_owned())
    })
}

/// `windlass` if it leads to this program, otherwise a path that does. `find` looks up a name in PATH.
fn program(argument: &str, find: impl Fn(&str) -> Option<String>) -> String {
    let this = || env::current_exe().and_then(fs::canonicalize).map(|it| it.to_string_lossy().into_owned());
    let api = match argument.contains('/') {
        true => fs::canonicalize(argument).ok().map(|it| it.to_string_lossy().into_owned()),
        false => this().ok(),
    };
    if api.is_some() && find("windlass") == api {
        return "windlass".to_string();
    }
    match argument {
        _ if argument.contains('/') => argument.to_string(),
        _ if find(argument).is_some() => argument.to_string(),
        _ => this().unwrap_or_else(|_| argument.to_string()),
    }
}

/// A suggested command, ready to type.
pub fn command(text: &str) -> String {
    match text.strip_prefix("windlass ") {
        Some(rest) => format!("{}{rest}", call(rest)),
        None => text.to_string(),
    }
}

/// A sentence with commands between backticks.
pub fn sentence(text: &str) -> String {
    const SIGN: &str = "`windlass ";
    let mut parts = text.split(SIGN);
    let mut said = parts.next().unwrap_or_default().to_string();
    for rest in parts {
        said.push('`');
        said.push_str(&call(rest));
        said.push_str(rest);
    }
    said
}

/// The part before the arguments `rest`, with a trailing space.
fn call(rest: &str) -> String {
    let call = CALL.get().map_or("windlass ", String::as_str);
    match rest.starts_with("--home ") {
        true => format!("{} ", call.split(" --home ").next().unwrap_or(call).trim_end()),
        false => call.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_suggestion_names_the_program_as_it_was_called() {
        let nowhere = |_: &str| None;
        assert_eq!(program("target/debug/windlass", nowhere), "target/debug/windlass");
        let elsewhere = |_: &str| Some("/usr/bin/windlass".to_string());
        assert_eq!(program("./windlass", elsewhere), "./windlass", "another windlass is in the way");
        let this = fs::canonicalize(env::current_exe().unwrap()).unwrap().to_string_lossy().into_owned();
        assert_eq!(program(&this, |_| Some(this.clone())), "windlass");
        assert_eq!(program("wl", |name| (name == "wl").then(|| "/bin/wl".to_string())), "wl");
        assert!(Path::new(&program("windlass", nowhere)).is_absolute());
    }

    #[test]
    fn every_command_between_backticks_is_made_typeable() {
        let _ = CALL.set("./windlass --home /x ".to_string());
        assert_eq!(
            sentence("see `windlass why s1` or `windlass logs s1`"),
            "see `./windlass --home /x why s1` or `./windlass --home /x logs s1`"
        );
        assert_eq!(command("windlass retry r1"), "./windlass --home /x retry r1");
        assert_eq!(command("windlass --home /x run --resume g1"), "./windlass --home /x run --resume g1");
        assert_eq!(sentence("windlass is already running"), "windlass is already running");
    }
}

use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    output,
    paint::Paint,
    table::{Cell, Table},
    wording::quoted,
};
use crate::{
    engine::{Engine, LockWait},
    model::{Holder, HolderKind, Millis, ResourceKey},
    os::ownership,
    process::run_in_foreground,
    store::resource_lock::{self, Forced},
    view,
};
use clap_complete::engine::ArgValueCompleter;
use std::ffi::OsString;

/// Show resource locks; hold one for a command; clear one by force
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the held keys and their holders
    List,
    /// Hold a key while a command runs, and exit with its code
    ///
    /// For instance `windlass locks hold vec:/data/docs.db -- cp /data/docs.db /backup/`.
    Hold {
        /// The key, as `windlass locks` shows it
        #[arg(add = ArgValueCompleter::new(super::complete::keys))]
        key: String,
        /// Give up after this time if another process holds it; 0s: don't wait
        #[arg(long, value_name = "TIME")]
        max_wait: Option<Millis>,
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "CMD")]
        argv: Vec<OsString>,
    },
    /// Clear a key's row that its holder did not release; the history records it
    Release {
        /// The key, as `windlass locks` shows it
        #[arg(add = ArgValueCompleter::new(super::complete::keys))]
        key: String,
        /// Required: takes the key away from its holder
        #[arg(long)]
        force: bool,
        /// The reason, for the history
        #[arg(long, default_value = "released by hand", value_name = "TEXT")]
        why: String,
    },
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        match self.command {
            None | Some(Command::List) => list(cx),
            Some(Command::Hold { key, max_wait, argv }) => hold(cx, &ResourceKey(key), max_wait, &argv),
            Some(Command::Release { key, force, why }) => release(cx, &ResourceKey(key), force, &why),
        }
    }
}

/// This process as a lock holder.
pub fn this_process() -> Holder {
    Holder { kind: HolderKind::Cli, id: i64::from(std::process::id()) }
}

/// This user and process, as recorded in the history.
pub fn this_user() -> String {
    let user = rustix::process::getuid().as_raw();
    format!("{} (uid {user}), process {}", user_name(), std::process::id())
}

/// The name of this user on this machine.
pub fn user_name() -> String {
    let name = std::env::var("USER").ok().filter(|it| !it.is_empty());
    ownership::name_of(rustix::process::getuid().as_raw()).or(name).unwrap_or_else(|| "a user".to_string())
}

pub fn wait_of(max_wait: Option<Millis>) -> LockWait {
    match max_wait {
        None => LockWait::Forever,
        Some(Millis(0)) => LockWait::No,
        Some(time) => LockWait::AtMost(time),
    }
}

fn list(cx: &Context) -> Result<()> {
    let engine = cx.engine()?;
    let held = view::locks(engine)?;
    if cx.output.json {
        return cx.output.document(&held);
    }
    if held.locks.is_empty() {
        cx.output.note("no resource key is held");
        return Ok(());
    }
    let mut table = Table::new(&["~KEY", "HOLDER", ">PID", "TAKEN", "FILE LOCK"]);
    for view::Lock { row: it, file_locked, file_holder, file_pid } in &held.locks {
        let file = match file_locked {
            true => Cell::painted("held", Paint::Busy),
            false => Cell::painted("free", Paint::Dim),
        };
        let (who, pid) = match file_holder {
            Some(stranger) => (format!("{stranger} holds the file; {} waits", waiter(&it.holder)), *file_pid),
            None => (holder(&it.holder), it.identity.as_ref().map(|it| it.pid)),
        };
        table.row([
            it.key.to_string().into(),
            who.into(),
            pid.map(|it| it.to_string()).unwrap_or_default().into(),
            cx.when(it.acquired).into(),
            file,
        ]);
    }
    cx.output.table(&table)
}

fn holder(holder: &Holder) -> String {
    match holder.kind {
        HolderKind::Step => format!("step s{}", holder.id),
        HolderKind::Web => "web request".to_string(),
        HolderKind::Cli => "command line".to_string(),
        HolderKind::Hook => format!("hook {}", holder.id),
    }
}

fn waiter(it: &Holder) -> String {
    match it.kind {
        HolderKind::Step => format!("s{}", it.id),
        _ => holder(it),
    }
}

fn hold(cx: &Context, key: &ResourceKey, max_wait: Option<Millis>, argv: &[OsString]) -> Result<()> {
    let engine = cx.engine()?;
    let guard = take(cx, key, max_wait)?;
    let every = engine.options().lock_ttl.duration() / 4;
    let mut lost = false;
    let code = run_in_foreground(argv, guard.file(), every, || {
        // The key was taken away by force. The file lock still excludes other processes, and the command does not
        // notice; warn the user.
        if !lost && matches!(guard.refresh(), Ok(false)) {
            lost = true;
            cx.output.warn(format!("the lock `{key}` was taken away by force"));
        }
    });
    drop(guard);
    let program = argv.first().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    match code {
        Ok(0) => Ok(()),
        Ok(code) => Err(Failure::of_command(code)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::not_found(format!("there is no program `{program}`")))
        }
        Err(error) => Err(Failure::new(Exit::Error, format!("failed to run `{program}`: {error}"))),
    }
}

/// Takes a key for this command. Reports which holder it waits for.
pub fn take(cx: &Context, key: &ResourceKey, max_wait: Option<Millis>) -> Result<crate::engine::KeyGuard> {
    let engine = cx.engine()?;
    match engine.hold_key(key, this_process(), LockWait::No) {
        Err(crate::engine::Error::Locked { holder, .. }) if max_wait != Some(Millis(0)) => {
            cx.output.note(format!("waiting for `{key}`, held by {holder}"));
            Ok(engine.hold_key(key, this_process(), wait_of(max_wait))?)
        }
        taken => Ok(taken?),
    }
}

/// The failure if no process holds the key. Its row may still exist.
fn unheld(engine: &Engine, key: &ResourceKey) -> Result<Failure> {
    Ok(match engine.store().read(|tx| resource_lock::holder_of(tx, &key.0))? {
        Some(_) => Failure::new(Exit::Conflict, format!("no process holds `{key}`; its row expires within a minute"))
            .hint(take_away(key)),
        None => Failure::not_found(format!("`{key}` is not held")).hint("see `windlass locks`"),
    })
}

fn take_away(key: &ResourceKey) -> String {
    format!("wait for it, or take it away with `windlass locks release {} --force`", quoted(&key.0))
}

fn release(cx: &Context, key: &ResourceKey, force: bool, why: &str) -> Result<()> {
    let engine = cx.engine()?;
    if !force {
        let Some(holder) = engine.holder_of(key)? else { return Err(unheld(engine, key)?) };
        let question = format!("`{key}` is held by {holder}. Take it away?");
        if output::can_ask() && output::ask(&question) {
            return release(cx, key, true, why);
        }
        return Err(Failure::new(Exit::Conflict, format!("`{key}` is held by {holder}")).hint(take_away(key)));
    }
    if engine.store().read(|tx| resource_lock::holder_of(tx, &key.0))?.is_none() && !view::is_file_locked(engine, key) {
        return Err(unheld(engine, key)?);
    }
    let released = view::force_release(engine, Forced { key: key.clone(), why: why.to_string(), by: this_user() })?;
    if !released {
        return Err(Failure::not_found(format!("`{key}` is not held")).hint("see `windlass locks`"));
    }
    match cx.output.json {
        true => cx.output.document(&serde_json::json!({"key": key, "released": true})),
        false => cx.output.line(format!("released `{key}`")),
    }
}

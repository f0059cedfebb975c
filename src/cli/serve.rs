use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    output::Output,
};
use crate::{
    daemon::{
        self, launch,
        serve::Start,
        startup::{Starter, StartupEvent},
    },
    os::{Supervisor, detached},
    settings::LogFormat,
};
use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
};

/// Run workers, hooks and the web server in one process, until stopped
///
/// After the first Ctrl-C or SIGTERM, running steps may finish (setting `stop_timeout`); a second one kills them. If a
/// daemon of this home is already running, says so and exits with 0.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The address to listen on, such as `127.0.0.1:8787`; with port 0 the system chooses one [default: setting `listen`]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Move to the background when ready; messages go to `serve.log` in the home directory
    #[arg(long, conflicts_with = "supervised")]
    background: bool,
    /// For supervisors: exit with 75 if a daemon is already running, so that it is not restarted in a loop
    #[arg(long)]
    supervised: bool,
    /// This process is the one in the background
    #[arg(long, hide = true)]
    in_background: bool,
    /// Started automatically, not by a person: a stop in progress takes precedence
    #[arg(long, hide = true)]
    by_itself: bool,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        if self.background {
            return self.start_background(cx);
        }
        let ended = self.serve(cx);
        match &ended {
            // The starter gets the reason; this process's own message goes to the log.
            Err(failure) if self.in_background => tell(&StartupEvent::Failed {
                message: failure.message.clone().unwrap_or_default(),
                hint: failure.hint.clone(),
                exit: failure.exit.code(),
            }),
            _ => {}
        }
        ended
    }

    fn serve(&self, cx: &Context) -> Result<()> {
        let mut settings = cx.settings()?.clone();
        settings.listen = self.listen.unwrap_or(settings.listen);
        cx.start_server_log(&settings)?;
        cx.first_use(&settings)?;
        let start = Start { by_itself: self.by_itself, background: self.in_background };
        let starter: Starter = match self.in_background {
            true => Arc::new(|said| tell(&said)),
            false => messages_for_people(cx.output, settings.log_format, ui_command(cx), self.supervised || is_kept()),
        };
        match daemon::serve::run(settings, start, starter) {
            Err(daemon::Error::AlreadyRunning { holder, pid, http }) if self.in_background => {
                tell(&StartupEvent::Already { holder, pid, http });
                Ok(())
            }
            Err(error @ daemon::Error::AlreadyRunning { .. }) => {
                let supervised = self.supervised || Supervisor::of_environment().is_there();
                already(cx, error, if supervised { Exit::AlreadyRunning } else { Exit::Done })
            }
            ended => Ok(ended?),
        }
    }

    fn start_background(self, cx: &Context) -> Result<()> {
        cx.first_use(cx.settings()?)?;
        let started = launch::start(cx.settings()?, self.listen, false, |what| cx.output.note(what));
        match started {
            Err(error @ daemon::Error::AlreadyRunning { .. }) => {
                let supervised = Supervisor::of_environment().is_there();
                already(cx, error, if supervised { Exit::AlreadyRunning } else { Exit::Done })
            }
            Err(error) => Err(error.into()),
            Ok(it) if cx.output.json => cx.output.document(&found("started", it.pid, &it.http, &it.link, is_kept())),
            Ok(it) => {
                cx.output.note(format!("windlass runs in the background (pid {})", it.pid));
                match is_kept() {
                    true => {
                        cx.output.line(format!("http://{}/", it.http))?;
                        cx.output.note(format!("open it with `{}`", ui_command(cx)));
                        Ok(())
                    }
                    false => cx.output.line(it.link),
                }
            }
        }
    }
}

/// Writes one line to the pipe between a starting daemon and its starter. The reader closes the pipe after the last
/// line.
fn tell(said: &StartupEvent) {
    let line = serde_json::to_string(said).unwrap_or_default() + "\n";
    // Not through the buffer of stdout: the line contains a link, so unread output must not end up in the log.
    let _ = detached::say(line.as_bytes());
    if !matches!(said, StartupEvent::Progress { .. }) {
        let _ = detached::close_output();
    }
}

/// Whether others may be able to read the output. Only a terminal is private to this user; a pipe may lead to a log.
fn is_kept() -> bool {
    Supervisor::of_environment().is_there() || !io::stdout().is_terminal()
}

/// The line for programs about a daemon that is ready.
fn found(state: &str, pid: u32, http: &str, link: &str, kept: bool) -> serde_json::Value {
    match kept {
        true => serde_json::json!({"state": state, "pid": pid, "http": http}),
        false => serde_json::json!({"state": state, "pid": pid, "http": http, "link": link}),
    }
}

/// Prints messages for a person at the terminal. If a program reads the log, only log lines are printed. If the output
/// may be `kept`, it does not include the link, which others could read there.
fn messages_for_people(output: Output, format: LogFormat, ui: String, kept: bool) -> Starter {
    let slow = AtomicBool::new(false);
    let note = move |text: &str| match format {
        LogFormat::Human => output.note(text),
        LogFormat::Json => tracing::info!("{text}"),
    };
    Arc::new(move |said| match said {
        StartupEvent::Progress { what } => {
            slow.store(true, Ordering::Relaxed);
            note(&what);
        }
        StartupEvent::Ready { pid, http, link } => {
            if output.json {
                let _ = output.event(&found("ready", pid, &http, &link, kept));
                return;
            }
            if slow.load(Ordering::Relaxed) {
                note("ready");
            }
            if kept {
                let address = link.find("/open/").map_or(link.as_str(), |it| &link[..it]);
                let _ = output.flushed(format!("{address}/"));
                return note(&format!("open it with `{ui}`"));
            }
            let _ = output.flushed(link);
            if http.parse().is_ok_and(|it: SocketAddr| it.ip().is_unspecified()) {
                note(
                    "it listens on every address: on another machine, replace the host in the link with this machine's address.",
                );
            }
            note("open it once in a browser; for another one use `windlass ui`. Stop with Ctrl-C.");
        }
        StartupEvent::Already { .. } | StartupEvent::Failed { .. } => {}
    })
}

fn already(cx: &Context, error: daemon::Error, exit: Exit) -> Result<()> {
    if let daemon::Error::AlreadyRunning { pid, http, .. } = &error
        && cx.output.json
    {
        cx.output.document(&serde_json::json!({"state": "already running", "pid": pid, "http": http}))?;
    } else {
        cx.output.note(error.to_string());
    }
    match exit {
        Exit::Done => Ok(()),
        exit => Err(Failure::quiet(exit)),
    }
}

/// Starts the daemon if the settings say so, after a command has submitted work. A failure is only printed, because the
/// work is already on disk.
pub fn autostart(cx: &Context, no_autostart: bool) -> Result<bool> {
    let settings = cx.settings()?;
    match launch::ensure(settings, settings.autostart && !no_autostart, |what| cx.output.note(what)) {
        Ok(launch::Ensured::Started(it)) => {
            cx.output.note(format!("started windlass in the background (pid {}, http://{})", it.pid, it.http));
            Ok(true)
        }
        Ok(launch::Ensured::Running(_)) => Ok(true),
        Ok(launch::Ensured::NotWanted) => Ok(false),
        Err(error) => {
            let failure = Failure::from(error);
            cx.output.warn(failure.message.unwrap_or_default());
            let flag = cx.home_flag();
            cx.output.note(format!("start it with `windlass {flag}serve --background`"));
            Ok(false)
        }
    }
}

/// The command that opens the page of this home.
fn ui_command(cx: &Context) -> String {
    format!("windlass {}ui", cx.home_flag())
}

/// The command that starts a daemon for this home.
pub fn start_command(cx: &Context) -> String {
    format!("windlass {}serve --background", cx.home_flag())
}

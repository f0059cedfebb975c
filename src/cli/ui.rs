use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    serve,
};
use crate::{
    daemon::{
        contact,
        launch::{self, Ensured},
        serve::from_here,
    },
    http::token,
    os::browser,
};
use std::time::{Duration, Instant};

/// Open the page in a browser with a one-time link
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the link instead of opening it
    #[arg(long)]
    print: bool,
    /// Do not start the daemon, even if the setting `autostart` is on
    #[arg(long)]
    no_autostart: bool,
}

const ANSWER: Duration = Duration::from_secs(5);
/// The time limit for a browser to start and open the link.
const BROWSER: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let link = self.link(cx)?;
        if cx.output.json {
            return cx.output.document(&serde_json::json!({"link": link}));
        }
        if !self.print && opened(cx, &link)? {
            return Ok(());
        }
        cx.output.line(link)
    }

    fn link(&self, cx: &Context) -> Result<String> {
        let settings = cx.settings()?;
        let wanted = settings.autostart && !self.no_autostart;
        let http = match launch::ensure(settings, wanted, |what| cx.output.note(what))? {
            Ensured::Started(started) => return Ok(started.link),
            Ensured::Running(http) => http,
            Ensured::NotWanted => {
                return Err(Failure::new(Exit::Error, "windlass is not running, so there is no page to open")
                    .hint(format!("start it with `{}`", serve::start_command(cx))));
            }
        };
        let silent = || {
            Failure::new(Exit::Error, "windlass is running, but its web server does not answer")
                .hint("see `windlass status`; `windlass stop` ends it, by force if necessary")
        };
        let (http, token) = http.zip(token::find(settings)?).ok_or_else(silent)?;
        let issued = contact::post(&http, "/api/v1/session", &token, ANSWER).ok_or_else(silent)?;
        let path = issued["path"].as_str().ok_or_else(silent)?;
        let http = http.parse().map_or(http, |it| from_here(it).to_string());
        Ok(format!("http://{http}{path}"))
    }
}

/// Opens the link in the user's browser and waits until it is opened. False if the user has to open it.
fn opened(cx: &Context, link: &str) -> Result<bool> {
    let home = &cx.settings()?.home;
    let mut opening = match browser::open(link, home) {
        Ok(Some(opening)) => opening,
        Ok(None) => return Ok(false),
        Err(error) => {
            cx.output.warn(format!("failed to start a browser: {error}"));
            return Ok(false);
        }
    };
    let begun = Instant::now();
    while begun.elapsed() < BROWSER {
        if contact::is_spent(link, ANSWER) {
            cx.output.note("opened in your browser");
            return Ok(true);
        }
        if opening.has_failed() {
            break;
        }
        std::thread::sleep(LOOK);
    }
    cx.output.note("no browser opened it; open this link yourself:");
    Ok(false)
}

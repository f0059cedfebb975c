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
use std::time::Duration;

/// Open the page in a browser, let in by a one-time link
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the link and open nothing
    #[arg(long)]
    print: bool,
    /// Do not start the daemon, whatever the setting `autostart` says
    #[arg(long)]
    no_autostart: bool,
}

const ANSWER: Duration = Duration::from_secs(5);

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let link = self.link(cx)?;
        let opened = !self.print && !cx.output.json && browser::open(&link);
        if cx.output.json {
            return cx.output.document(&serde_json::json!({"link": link}));
        }
        if opened {
            cx.output.note("opened in your browser:");
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
                return Err(Failure::new(Exit::Error, "windlass does not run, so there is no page to open")
                    .hint(format!("start it with `{}`", serve::start_command(cx))));
            }
        };
        let silent = || {
            Failure::new(Exit::Error, "windlass runs, but its web server does not answer")
                .hint("see `windlass status`; `windlass stop` ends it, with force if need be")
        };
        let (http, token) = http.zip(token::find(settings)?).ok_or_else(silent)?;
        let issued = contact::post(&http, "/api/v1/session", &token, ANSWER).ok_or_else(silent)?;
        let path = issued["path"].as_str().ok_or_else(silent)?;
        let http = http.parse().map_or(http, |it| from_here(it).to_string());
        Ok(format!("http://{http}{path}"))
    }
}

use super::{
    context::Context,
    failure::{Exit, Failure, Result},
};
use crate::daemon;

/// Run workers, hooks and the web server in one process, until stopped
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen, such as `127.0.0.1:8787`; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<std::net::SocketAddr>,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let mut settings = cx.settings()?.clone();
        if let Some(listen) = self.listen {
            settings.listen = listen;
        }
        daemon::serve::run(settings, |address, path| {
            let _ = cx.output.flushed(format!("http://{address}{path}"));
        })
        .map_err(|error| Failure::new(Exit::Error, format!("{error:#}")))
    }
}

//! The log: one subscriber that formats everything, to stderr.

use crate::{os::stderr::Forgiving, settings::LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt};

/// Starts logging for this process. `filter` is a level or a filter such as `windlass::engine=debug`.
///
/// Returns what is wrong with the filter, or that another log runs already (an embedding program's own).
pub fn start_log(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("`log.level`: {error}"))?;
    let builder = fmt().with_env_filter(filter).with_writer(|| Forgiving).with_target(false);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let started = match format {
        LogFormat::Human => builder.with_ansi(colour).compact().finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    started.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_refused_and_a_second_log_too() {
        assert!(start_log("windlass=loudly", LogFormat::Human).unwrap_err().starts_with("`log.level`"));
        let first = start_log("warn", LogFormat::Json);
        assert!(first.is_err() || start_log("warn", LogFormat::Human).is_err());
    }
}

//! The log: one subscriber that formats all events, to stderr. Each event is one line, even if it contains text from
//! elsewhere.

use crate::{
    model::printable::{printable, printable_json},
    os::stderr::Forgiving,
    settings::LogFormat,
};
use std::io::{self, IsTerminal, Write};
use tracing::{Subscriber, field::Field};
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt,
    fmt::{
        self, MakeWriter,
        format::{Writer, debug_fn},
    },
    util::SubscriberInitExt,
};

/// Starts logging for this process. `filter` is a level or a filter such as `windlass::engine=debug`.
///
/// Returns an error if the filter is invalid or another logger is already running, such as that of an embedding
/// program.
pub fn start_log(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("`log.level`: {error}"))?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let started = match format {
        LogFormat::Human => human(filter, colour, || Forgiving).try_init(),
        LogFormat::Json => json(filter, || Escaping(Forgiving)).try_init(),
    };
    started.map_err(|error| error.to_string())
}

fn human<W>(filter: EnvFilter, colour: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let fields = debug_fn(|writer: &mut Writer<'_>, field: &Field, value| {
        let value = format!("{value:?}");
        match field.name() {
            "message" => write!(writer, "{}", printable(&value)),
            name => write!(writer, "{name}={}", printable(&value)),
        }
    });
    let builder = fmt().with_env_filter(filter).with_writer(writer).with_target(false).with_ansi(colour);
    builder.compact().fmt_fields(fields.delimited(" ")).finish()
}

fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    fmt().with_env_filter(filter).with_writer(writer).with_target(false).json().flatten_event(true).finish()
}

fn fmt() -> fmt::SubscriberBuilder {
    fmt::fmt()
}

/// Writes lines of JSON, escaping characters that JSON permits but a terminal would interpret. Each event is one write.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(printable_json(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_wrong_filter_is_refused_and_a_second_log_too() {
        assert!(start_log("windlass=loudly", LogFormat::Human).unwrap_err().starts_with("`log.level`"));
        let first = start_log("warn", LogFormat::Json);
        assert!(first.is_err() || start_log("warn", LogFormat::Human).is_err());
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_text_of_others_forges_a_line_or_steers_a_terminal() {
        let hostile = "a\n2026-01-01 ERROR forged\r\x1b[2J\u{9b}31m\u{202e}";
        let log = || {
            let _span = tracing::info_span!("step", name = %hostile).entered();
            tracing::info!(path = %hostile, name = hostile, seen = ?hostile, "said {hostile}");
        };
        let (plain, lines) = (Lines::default(), Lines::default());
        let (plain_writer, lines_writer) = (plain.clone(), lines.clone());
        let filter = || EnvFilter::new("info");
        tracing::subscriber::with_default(human(filter(), false, move || plain_writer.clone()), log);
        tracing::subscriber::with_default(json(filter(), move || Escaping(lines_writer.clone())), log);
        for lines in [plain, lines] {
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(!text.trim_end().contains(crate::model::printable::steers), "{text:?}");
            assert!(text.contains("forged") && text.contains("said a\\n2026"), "{text}");
        }
    }
}

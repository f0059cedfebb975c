use super::{complete, context::Context, failure::Result};
use crate::{
    ingest::item::{Item, ItemDocument},
    model::{
        GroupId, RunId,
        printable::{printable, printable_json},
    },
    view::{self, Outcome},
};
use clap_complete::engine::ArgValueCompleter;
use std::io::{self, BufWriter, Write};

/// Write the results of a group's runs: one JSON document per line, or CSV
///
/// Each run has its item, its status, the reason of a failure, and the status and value of each step. The item of `ingest` is
/// the path or address of its document; with `--json` it is the JSON object. The output is streamed, so a group may have any
/// size.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The group, such as g12
    #[arg(value_name = "GROUP", add = ArgValueCompleter::new(complete::groups))]
    group: GroupId,
    /// Write comma-separated values, for spreadsheets; a text that looks like a formula gets an apostrophe in front
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// How many runs are read at once.
const RUNS: usize = 200;

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let store = cx.store()?;
        let names = view::step_names(store, self.group)?;
        let mut out = BufWriter::new(io::stdout().lock());
        if self.csv {
            write_row(&mut out, head(&names))?;
        }
        let mut after: Option<RunId> = None;
        loop {
            let mut runs = view::outcomes(store, self.group, &names, after, RUNS)?;
            if !cx.output.json {
                runs.iter_mut().for_each(|it| it.item = readable(std::mem::take(&mut it.item)));
            }
            for run in &runs {
                match self.csv {
                    true => write_row(&mut out, row(cx, run, &names))?,
                    false => {
                        let line = serde_json::to_string(run).map_err(io::Error::from)?;
                        writeln!(out, "{}", printable_json(&line))?;
                    }
                }
            }
            match runs.last().filter(|_| runs.len() == RUNS) {
                Some(last) => after = Some(last.run),
                None => break,
            }
        }
        out.flush()?;
        Ok(())
    }
}

/// An item of `ingest` as people know it: the paths or URLs of its documents. Any other item is shown unchanged.
fn readable(item: String) -> String {
    match serde_json::from_str::<Item>(&item) {
        Ok(ingested) => ingested.documents.iter().map(ItemDocument::place).collect::<Vec<_>>().join(", "),
        Err(_) => item,
    }
}

fn head(names: &[String]) -> Vec<String> {
    let api = ["run", "item", "status", "ended", "reason"].map(str::to_string);
    let of_steps = names.iter().flat_map(|it| [format!("{it} status"), format!("{it} value")]);
    api.into_iter().chain(of_steps).collect()
}

fn row(cx: &Context, run: &Outcome, names: &[String]) -> Vec<String> {
    let text = |value: Option<&serde_json::Value>| match value {
        None => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let api = [
        run.run.to_string(),
        run.item.clone(),
        run.status.name().to_string(),
        run.ended.map(|it| cx.calendar(it)).unwrap_or_default(),
        run.reason.clone().unwrap_or_default(),
    ];
    let of_steps = names.iter().flat_map(|it| [text(run.steps.get(it)), text(run.values.get(it))]);
    // Steps and items must not be able to control the terminal.
    let shown = |it: String| if cx.output.width.is_some() { printable(&it).into_owned() } else { it };
    api.into_iter().chain(of_steps).map(shown).collect()
}

/// Prevents spreadsheets from evaluating a text as a formula, as OWASP advises. Items and step results are untrusted.
/// Numbers are unchanged.
fn guarded(text: String) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let digits_alone = text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    match is_formula && !(digits_alone && text.parse::<f64>().is_ok()) {
        true => format!("'{text}"),
        false => text,
    }
}

/// Writes a row as RFC 4180 defines it.
fn write_row(out: &mut impl Write, cells: Vec<String>) -> io::Result<()> {
    let cell = |it: String| match it.contains(['"', ',', '\n', '\r']) || it.starts_with(' ') || it.ends_with(' ') {
        true => format!("\"{}\"", it.replace('"', "\"\"")),
        false => it,
    };
    let cells: Vec<String> = cells.into_iter().map(guarded).map(cell).collect();
    write!(out, "{}\r\n", cells.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula_and_a_number_stays_one() {
        for text in ["-5", "+3.25", "-1e-9", "7", "a=b", "", "r1", "'-x"] {
            assert_eq!(guarded(text.into()), text);
        }
        for text in
            ["=1+1", "+1+1", "-2+3", "-x", "@SUM(A1)", "\t=1", "\r=1", "-inf", "+nan", "-", "－1", "=cmd|' /C calc'!A0"]
        {
            assert_eq!(guarded(text.into()), format!("'{text}"));
        }
        let mut out = Vec::new();
        write_row(&mut out, vec!["=HYPERLINK(\"u\",\"x\")".into(), "-5".into()]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\"'=HYPERLINK(\"\"u\"\",\"\"x\"\")\",-5\r\n");
    }
}

use super::{
    context::Context,
    database,
    failure::{Failure, Result},
    output::{Output, Paint},
    wording::{count, place, plain},
};
use crate::{
    search::{HITS_MAX, Hit, Mode, Query},
    vector::Filter,
    view,
};
use clap_complete::engine::ArgValueCompleter;

/// Find passages in what was ingested
///
/// By words and by meaning together, unless `--mode` says otherwise. No character of the query has a special meaning.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What you want to know
    #[arg(required = true)]
    query: Vec<String>,
    /// How many passages at most
    #[arg(short, long, default_value_t = 10, value_name = "N")]
    k: usize,
    /// The vector database: a name, or a path to its file [default: the setting `database`]
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(super::complete::databases))]
    db: Option<String>,
    /// hybrid (words and meaning), text (words), or vector (meaning)
    #[arg(long, default_value = "hybrid")]
    mode: Mode,
    /// Only passages for which this holds, such as 'source = "manuals" and page < 10'
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let query = Query {
            k: self.k,
            mode: self.mode,
            filter: self.filter.as_deref().map(str::parse::<Filter>).transpose()?,
            ..Query::new(self.query.join(" "))
        };
        if !(1..=HITS_MAX).contains(&query.k) {
            return Err(Failure::usage(format!("`-k` must be 1 to {HITS_MAX}")));
        }
        let found = view::find(&database::named(cx, self.db.as_deref())?, &query)?;
        if cx.output.json {
            return cx.output.document(&found);
        }
        let hits = &found.hits;
        for (at, hit) in hits.iter().enumerate() {
            show(&cx.output, at + 1, hit)?;
        }
        if hits.is_empty() {
            cx.output.note(format!("nothing found in {} of `{}`", count(found.documents, "document"), found.database));
        }
        Ok(())
    }
}

fn show(output: &Output, at: usize, hit: &Hit) -> Result<()> {
    let uri = place(&hit.uri);
    let title = hit.title.as_deref().filter(|it| !it.trim().is_empty()).map(plain);
    let mut head = format!("{at:>2}  {}", output.paint(Paint::Bold, title.as_deref().unwrap_or(&uri)));
    let above: Vec<String> = hit.headings.iter().map(|it| plain(it)).filter(|it| Some(it) != title.as_ref()).collect();
    if !above.is_empty() {
        head.push_str(&format!(" > {}", above.join(" > ")));
    }
    output.line(head)?;
    let page = hit.page.map(|it| format!(", page {it}")).unwrap_or_default();
    output.line(output.paint(Paint::Dim, &format!("    {uri}{page}  ({:.3})", hit.score)))?;
    for line in folded(&passage(output, hit), output.width.unwrap_or(100).min(100).saturating_sub(4)) {
        output.line(format!("    {line}"))?;
    }
    output.line("")
}

/// The passage on one line, its matching words marked: by colour on a terminal, else by `*`.
fn passage(output: &Output, hit: &Hit) -> String {
    let text = &hit.passage.passage;
    let mut shown = String::new();
    let mut from = 0;
    for mark in &hit.passage.marks {
        let (Some(before), Some(word)) = (text.get(from..mark.start), text.get(mark.clone())) else { continue };
        shown.push_str(&plain(before));
        match output.color {
            true => shown.push_str(&output.paint(Paint::Warn, &plain(word))),
            false => shown.push_str(&format!("*{}*", plain(word))),
        }
        from = mark.end;
    }
    shown.push_str(&plain(text.get(from..).unwrap_or_default()));
    let (before, after) = hit.passage.cut;
    format!("{}{shown}{}", if before { "… " } else { "" }, if after { " …" } else { "" })
}

/// Cuts a text into lines of at most `most` columns, between words. Colour takes no room.
fn folded(text: &str, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut taken = 0;
    for word in text.split_whitespace() {
        let wide = visible_width(word);
        if taken > 0 && taken + 1 + wide > most {
            lines.push(std::mem::take(&mut line));
            taken = 0;
        }
        if taken > 0 {
            line.push(' ');
            taken += 1;
        }
        line.push_str(word);
        taken += wide;
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

fn visible_width(word: &str) -> usize {
    let mut inside = false;
    let visible: String = word
        .chars()
        .filter(|it| {
            let begins = *it == '\x1b';
            let hidden = inside || begins;
            inside = begins || inside && *it != 'm';
            !hidden
        })
        .collect();
    super::wording::width(&visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_between_words_and_colour_takes_no_room() {
        assert_eq!(folded("one two  three", 7), ["one two", "three"]);
        assert_eq!(folded("\x1b[33mone\x1b[0m two", 7), ["\x1b[33mone\x1b[0m two"]);
        assert_eq!(folded("", 7), Vec::<String>::new());
    }
}

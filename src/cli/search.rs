use super::{
    context::Context,
    database,
    failure::{Failure, Result},
    output::Output,
    paint::Paint,
    wording::{count, place, plain, quoted},
};
use crate::{
    search::{HITS_MAX, Hit, Mode, Query, Snippet},
    settings::Score,
    vector::Filter,
    view,
};
use clap_complete::engine::ArgValueCompleter;
use std::ops::Range;

/// Search the ingested documents for passages
///
/// Searches by words and by meaning, unless `--mode` says otherwise. The query is searched literally; it has no operators.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What you want to know
    #[arg(required = true)]
    query: Vec<String>,
    /// The maximum number of passages
    #[arg(short, long, default_value_t = 10, value_name = "N")]
    k: usize,
    /// The vector database: a name, or a path to its file [default: the setting `database`]
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(super::complete::databases))]
    db: Option<String>,
    /// hybrid (words and meaning), text (words), or vector (meaning)
    #[arg(long, default_value = "hybrid")]
    mode: Mode,
    /// Only passages that match, such as 'source = "manuals" and page < 10'
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// The lowest cosine, from 0 to 1, of a passage that contains no word of the query; 0 shows the nearest passages,
    /// however far [default: the setting `search.min_score`]
    #[arg(long, value_name = "COSINE")]
    min_score: Option<Score>,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let min_score = self.min_score.or(cx.settings()?.search_min_score);
        let query = Query {
            min_score: min_score.map(|it| it.0),
            k: self.k,
            mode: self.mode,
            filter: self.filter.as_deref().map(str::parse::<Filter>).transpose()?,
            ..Query::new(self.query.join(" "))
        };
        if query.text.trim().is_empty() {
            return Err(Failure::usage("the query is empty").hint("for instance `windlass search heavy load`"));
        }
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
            cx.output.note(nothing(&found, self.db.as_deref()));
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
    let kind = if hit.navigation { ", contents or index" } else { "" };
    output.line(output.paint(Paint::Dim, &format!("    {uri}{page}  ({:.3}{kind})", hit.score)))?;
    for line in folded(output, hit, output.width.unwrap_or(100).min(100).saturating_sub(4)) {
        output.line(format!("    {line}"))?;
    }
    output.line("")
}

/// A suggestion if nothing was found.
fn nothing(found: &view::Found, requested: Option<&str>) -> String {
    let place = format!("nothing found in {} of `{}`", count(found.documents, "document"), found.database);
    match (found.mode, found.min_score) {
        _ if found.documents == 0 => place,
        _ if found.filter_matches == Some(false) => {
            format!("{place}: the filter matches none of them; see `windlass db documents{}`", of_database(requested))
        }
        (Mode::Text, _) => format!("{place}: no passage has a word of the query; try other words, or `--mode hybrid`"),
        (_, Some(_)) => {
            format!("{place}: no passage is near the query; try other words, or `--min-score 0` for the nearest")
        }
        (_, None) => format!("{place}: try other words"),
    }
}

/// The database as the last word of a command. Empty if it is the default.
fn of_database(requested: Option<&str>) -> String {
    requested.map(|it| format!(" {}", quoted(it))).unwrap_or_default()
}

/// The snippet in lines of at most `most` columns, split between words. Matching words are bold if the terminal has
/// colour; foreign text can't add styles.
fn folded(output: &Output, hit: &Hit, most: usize) -> Vec<String> {
    let snippet = &hit.snippet;
    let (mut lines, mut line, mut taken) = (Vec::new(), String::new(), 0);
    let (before, after) = snippet.snippet_cut;
    let words = words(&snippet.snippet).map(|it| word(output, snippet, it));
    let dots = |is_cut: bool| is_cut.then(|| ("…".to_string(), 1));
    for (word, wide) in dots(before).into_iter().chain(words).chain(dots(after)) {
        if taken > 0 && taken + 1 + wide > most {
            lines.push(std::mem::take(&mut line));
            taken = 0;
        }
        if taken > 0 {
            line.push(' ');
            taken += 1;
        }
        line.push_str(&word);
        taken += wide;
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The positions of the words in a text.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.split_whitespace().map(|it| {
        let start = it.as_ptr() as usize - text.as_ptr() as usize;
        start..start + it.len()
    })
}

/// A word as printed, and its width in columns. Styles take no columns.
fn word(output: &Output, snippet: &Snippet, range: Range<usize>) -> (String, usize) {
    let text = &snippet.snippet;
    let (mut shown, mut wide, mut at) = (String::new(), 0, range.start);
    let mut push = |piece: Option<&str>, is_marked: bool| {
        let piece = plain(piece.unwrap_or_default());
        wide += super::wording::width(&piece);
        match is_marked && !piece.is_empty() {
            true => shown.push_str(&output.paint(Paint::Bold, &piece)),
            false => shown.push_str(&piece),
        }
    };
    for mark in snippet.highlights.iter().filter(|it| it.start < range.end && it.end > range.start) {
        let (start, end) = (mark.start.max(at), mark.end.min(range.end));
        push(text.get(at..start), false);
        push(text.get(start..end), true);
        at = end;
    }
    push(text.get(at..range.end), false);
    (shown, wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(color: bool) -> Output {
        Output { json: false, quiet: false, verbose: false, utc: false, color, lively: false, width: None }
    }

    fn hit(text: &str, highlights: &[Range<usize>], snippet_cut: (bool, bool)) -> Hit {
        let snippet = Snippet { snippet: text.to_string(), highlights: highlights.to_vec(), snippet_cut };
        Hit {
            score: 1.0,
            source: String::new(),
            uri: String::new(),
            title: None,
            media_type: String::new(),
            headings: Vec::new(),
            page: None,
            chunk: 0,
            range: 0..0,
            navigation: false,
            snippet,
            passage: Default::default(),
        }
    }

    #[test]
    fn lines_are_cut_between_words_and_style_takes_no_room() {
        let folded = |text: &str, most| super::folded(&output(false), &hit(text, &[], (false, false)), most);
        assert_eq!(folded("one two\n three", 7), ["one two", "three"]);
        assert_eq!(folded("", 7), Vec::<String>::new());
        let marked = hit("one two (three)", &[0..3, 9..14], (false, true));
        let output = output(true);
        let bold = |it: &str| output.paint(Paint::Bold, it);
        let lines = super::folded(&output, &marked, 7);
        assert_eq!(lines, [format!("{} two", bold("one")), format!("({})", bold("three")), "…".to_string()]);
    }

    #[test]
    fn a_mark_over_several_words_stays_within_each_of_them() {
        let output = output(true);
        let bold = |it: &str| output.paint(Paint::Bold, it);
        let lines = super::folded(&output, &hit("a b\nc", std::slice::from_ref(&(0..3)), (false, false)), 80);
        assert_eq!(lines, [format!("{} {} c", bold("a"), bold("b"))]);
    }
}

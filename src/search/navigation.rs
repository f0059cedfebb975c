//! Recognises chunks that only lead to others: tables of contents, indexes, menus, breadcrumbs, lists of links.

use crate::vector::FoundChunk;

/// A chunk is navigation if at least this share of its letters is in lines that only lead elsewhere.
const SHARE: f64 = 0.7;
/// The same for links that were counted when the document was read, in percent.
const LINKED_MIN: u8 = 70;
/// Fewer links or lines than this are not a list of links, a table of contents or an index.
const LINES_MIN: usize = 3;
/// Bare titles may be links that lost their targets in a reader, or things that the author lists. A list counts as
/// links if it is this long or is below a heading that says so.
const TITLES_MIN: usize = 12;
const TITLE_LETTERS: usize = 60;
const TITLE_WORDS: usize = 8;
/// Headings, in lower case, above lists that lead elsewhere.
const HEADINGS: &[&str] = &[
    "contents",
    "table of contents",
    "index",
    "on this page",
    "in this section",
    "navigation",
    "menu",
    "see also",
    "related",
    "related topics",
    "related pages",
    "related articles",
    "sitemap",
    "site map",
    "inhalt",
    "inhaltsverzeichnis",
    "siehe auch",
    "sommaire",
    "table des matières",
    "voir aussi",
    "índice",
    "contenido",
    "véase también",
    "contenuti",
    "indice",
    "vedi anche",
    "содержание",
    "оглавление",
    "см. также",
    "目次",
    "関連項目",
    "参照",
    "目录",
    "参见",
    "参考",
    "차례",
    "목차",
    "같이 보기",
    "참고",
];

pub(super) fn is_navigation(found: &FoundChunk) -> bool {
    // Lines of source code or tabular data never lead elsewhere.
    if matches!(found.media_type.as_str(), "text/x-source" | "text/csv" | "text/tab-separated-values") {
        return false;
    }
    // Readers that drop the targets of links have counted them.
    if found.chunk.linked >= LINKED_MIN {
        return true;
    }
    leads_elsewhere(&found.chunk.text, found.chunk.headings.last().map_or("", String::as_str))
}

/// The kind of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// A link, an entry of a table of contents or of an index, a breadcrumb.
    Leads,
    /// A few words in a list that are not a sentence.
    Title,
    Says,
}

fn leads_elsewhere(text: &str, heading: &str) -> bool {
    let is_heading = |line: &str| {
        let line = line.trim_matches(|it: char| it.is_whitespace() || "#:：".contains(it)).to_lowercase();
        HEADINGS.contains(&line.as_str())
    };
    // The heading of a page is an ordinary line where a reader could not tell it from text.
    let first = text.lines().find(|it| !it.trim().is_empty()).filter(|it| is_heading(it)).map(str::trim);
    let named = is_heading(heading) || first.is_some();
    let (mut letters, mut leading, mut titled) = (0, 0, 0);
    let (mut leads, mut titles, mut paths) = (0, 0, 0);
    let (mut paged, mut pages) = (0, 0);
    let mut in_code = false;
    for line in text.lines().map(str::trim) {
        let is_fence = line.starts_with("```") || line.starts_with("~~~");
        in_code ^= is_fence;
        if line.is_empty() || is_fence || line.starts_with('#') && !in_code || Some(line) == first {
            continue;
        }
        let length = line.chars().filter(|it| !it.is_whitespace()).count();
        letters += length;
        if in_code || line.starts_with('|') {
            continue;
        }
        if is_path(line) {
            (leading, paths) = (leading + length, paths + 1);
            continue;
        }
        match kind(line) {
            // `Brakes 12`: the dots may have been lost.
            Line::Says | Line::Title if named && ends_in_page(line) => (paged, pages) = (paged + length, pages + 1),
            // A line with several links counts as a list of them.
            Line::Leads => (leading, leads) = (leading + length, leads + line.matches("](").count().max(1)),
            Line::Title => (titled, titles) = (titled + length, titles + 1),
            Line::Says => (),
        }
    }
    if pages >= LINES_MIN {
        (leading, leads) = (leading + paged, leads + pages);
    }
    let share = |part: usize| part as f64 >= SHARE * letters as f64;
    let enough = |lines: usize| lines >= LINES_MIN || paths > 0 || named && lines > 0;
    letters > 0
        && (share(leading) && enough(leads) || share(leading + titled) && (titles + leads >= TITLES_MIN || named))
}

fn kind(line: &str) -> Line {
    let (listed, rest) = item(line);
    let (shown, linked) = without_targets(rest);
    let letters = shown.chars().filter(|it| it.is_alphanumeric()).count();
    if linked > 0 && linked as f64 >= SHARE * letters as f64 {
        return Line::Leads;
    }
    if is_entry(rest) {
        return Line::Leads;
    }
    let short = shown.chars().count() <= TITLE_LETTERS && shown.split_whitespace().count() <= TITLE_WORDS;
    // `- 500 g flour` and `- name: what it is` have content of their own.
    let says = shown.starts_with(|it: char| it.is_numeric())
        || shown.ends_with(['.', '!', '?', ':', ';', ',', '。', '！', '？', '：'])
        || [": ", " = ", " – ", " — ", " - ", "："].iter().any(|it| shown.contains(it));
    if listed && short && !says && letters > 0 { Line::Title } else { Line::Says }
}

/// Whether the line is a list item or a numbered title, and the text after its marker.
fn item(line: &str) -> (bool, &str) {
    if let Some(rest) = ["- ", "* ", "+ ", "• "].iter().find_map(|it| line.strip_prefix(it)) {
        return (true, rest.trim_start());
    }
    let number = line.bytes().take_while(|it| it.is_ascii_digit() || *it == b'.').count();
    let rest = line[number..].strip_prefix(')').unwrap_or(&line[number..]);
    let numbered = number > 0 && line[..number].contains('.') || rest.len() < line.len() - number;
    if numbered && rest.starts_with(' ') && line.as_bytes()[0] != b'.' { (true, rest.trim()) } else { (false, line) }
}

/// The text without link targets, and the number of letters inside links.
fn without_targets(text: &str) -> (String, usize) {
    let (mut shown, mut linked, mut rest) = (String::new(), 0, text);
    while let Some((before, behind)) = rest.split_once('[') {
        shown.push_str(before);
        let Some((words, after)) = behind.split_once("](") else {
            shown.push_str(behind);
            return (shown, linked);
        };
        // Only the innermost bracket belongs to the link.
        let words = words.rsplit('[').next().unwrap_or(words);
        shown.push_str(words);
        linked += words.chars().filter(|it| it.is_alphanumeric()).count();
        rest = after.split_once(')').map_or("", |it| it.1);
    }
    shown.push_str(rest);
    (shown.trim().to_string(), linked)
}

/// `Brakes ........ 12`, `Brakes … 12` and `brake, 12, 45–47`.
fn is_entry(line: &str) -> bool {
    let title = line.trim_end_matches(|it: char| it.is_ascii_digit() || " ,-–".contains(it));
    let pages = &line[title.len()..];
    if title.len() == line.len() || !title.contains(char::is_alphabetic) || title.chars().count() > 2 * TITLE_LETTERS {
        return false;
    }
    let dots = title.chars().rev().take_while(|it| matches!(it, '.' | ' ' | '·' | '…' | '_')).filter(|it| *it != ' ');
    let dots: usize = dots.map(|it| if it == '…' { 3 } else { 1 }).sum();
    let numbers: Vec<&str> = pages.split([' ', ',', '-', '–']).filter(|it| !it.is_empty()).collect();
    let is_index = pages.starts_with(", ") && !numbers.is_empty() && title.split_whitespace().count() <= TITLE_WORDS;
    numbers.iter().all(|it| it.len() <= 4) && (dots >= 3 && !numbers.is_empty() || is_index)
}

/// `Brakes 12`
fn ends_in_page(line: &str) -> bool {
    let Some((title, page)) = line.rsplit_once(' ') else { return false };
    let is_page = (1..=4).contains(&page.len()) && page.bytes().all(|it| it.is_ascii_digit());
    is_page && title.contains(char::is_alphabetic) && title.chars().count() <= 2 * TITLE_LETTERS
}

/// `Home > Manuals > Brakes`, `std::collections::hash_map`, `Previous | Up | Next`: at least three short parts.
fn is_path(line: &str) -> bool {
    const MOST: usize = 120;
    let is_part = |part: &str| !part.trim().is_empty() && part.split_whitespace().count() <= 3;
    line.len() <= MOST
        && !line.ends_with(['.', '!', '?', ';', ')'])
        && [" > ", " › ", " » ", " | ", " / ", " · ", " → ", "::"].iter().any(|it| {
            let parts: Vec<&str> = line.split(it).collect();
            let whole = *it != "::" || !line.contains(char::is_whitespace);
            whole && parts.len() >= 3 && parts.iter().all(|it| is_part(it))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_leads_elsewhere_is_told_from_text() {
        let titles = |count: usize| (0..count).map(|it| format!("- Chapter of part {}x\n", it)).collect::<String>();
        for (text, heading) in [
            ("- [Brakes](a.md)\n- [Ropes and chains](b.md)\n- [Inspection](c.md) (new)", "Manual"),
            ("Brakes ......... 12\nRopes . . . . . . 14\nInspection … 20\n", ""),
            ("anchor, 12, 45–47\nbrake, 3\ncrank, 9, 11\npawl, 7-8", ""),
            ("# See also\n\n- The hand winch\n- Ropes", "See also"),
            ("[Home](/) [Manuals](/m) [Shop](/s)\n[Contact](/c)\n[Imprint](/i)", ""),
            ("[Why wet ropes rot](a.md) | [Rope care](b.md) | [Do ropes rot](c.md) and [Knots](d.md)", ""),
            ("Home > Manuals > Brakes", ""),
            ("std::collections::hash_map", "Drain"),
            (&titles(12), ""),
            ("Contents\n\nRope care 3\nRope loads 9\nCapstans and bollards 12", ""),
            ("1 Rope care 3\n2 Rope loads 9\n2.1 Capstans and bollards 12", "Table of contents"),
            ("1.1 The hand winch\n1.2 The steam winch\n1.3 Ropes", "Contents"),
        ] {
            assert!(leads_elsewhere(text, heading), "{text}");
        }
        for (text, heading) in [
            ("", ""),
            ("# Title alone", "Title alone"),
            ("Buy milk", ""),
            ("Anna 3\nBen 9\nCarl 15", "Scores"),
            ("Index\n\nThe index of a rope says how many strands it has. It is 12 for most of them in 1999", ""),
            ("[Brakes](a.md) and [ropes](b.md)", ""),
            ("The [brake](a.md) holds the drum while the load is lowered. See [ropes](b.md).", "Index"),
            ("- Linux\n- macOS\n- FreeBSD", "Supported platforms"),
            (&"- 500 g of flour\n".repeat(14), "Bread"),
            (&"- name: what it is\n".repeat(14), "Fields"),
            (&"- It stops by itself.\n".repeat(14), "Contents"),
            ("1. Turn the crank without a load.\n2. Pull the brake.\n3. Look along the rope.", "Before each lift"),
            ("```\nstd::a::b\nstd::a::c\n```\nPrints a path.", "See also"),
            ("| Part | Page |\n|---|---|\n| a, 1 | 2 |", ""),
            ("The load was 20 t in 1999, 2000, 2001", ""),
            ("If a > b > c holds, the rope breaks.", ""),
        ] {
            assert!(!leads_elsewhere(text, heading), "{text}");
        }
    }
}

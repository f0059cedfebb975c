//! Renders Markdown as plain text for people. Words stay in order; pure markup is removed: markers of headings, quotes,
//! emphasis and code, pipes and delimiter rows of tables, fences, link targets. Nothing here is recursive, and every
//! step takes linear time, since a chunk can contain any text.

mod inline;
mod signs;

pub(super) use signs::Signs;

use inline::inline;
use std::borrow::Cow;

/// Stands before a list item and between the cells of a row.
const BULLET: &str = "• ";
const CELLS: &str = " · ";

/// The text as displayed.
pub(super) fn plain(text: &str, signs: Signs) -> String {
    if signs == Signs::None {
        return text.to_string();
    }
    let mut shown = Shown { text: String::with_capacity(text.len()), paragraph: Vec::new(), signs, is_last: false };
    let mut fence = fence_before(text);
    // Lines indented by four spaces are code only after a blank line and outside of a list.
    let (mut after_blank, mut in_list, mut in_code) = (true, false, false);
    for line in text.lines() {
        if let Some(open) = fence {
            match closes(line, open) {
                true => fence = None,
                false => shown.line(line),
            }
            continue;
        }
        if let Some(open) = opens(line) {
            shown.end_paragraph();
            fence = Some(open);
            continue;
        }
        if signs == Signs::Fences {
            shown.line(line);
            continue;
        }
        let bare = line.trim();
        let set_in = line.starts_with("    ") || line.starts_with('\t');
        in_code = set_in && !in_list && (after_blank || in_code) && signs == Signs::All;
        after_blank = bare.is_empty();
        if in_code && !bare.is_empty() {
            shown.end_paragraph();
            shown.line(line);
            continue;
        }
        let (begins, rest) = block_start(bare);
        in_list = begins == Start::Item || in_list && (set_in || after_blank || line.starts_with(' '));
        match begins {
            _ if rest.is_empty() || is_rule(rest) => shown.end_paragraph(),
            _ if signs == Signs::All && is_definition(rest) => shown.end_paragraph(),
            Start::Heading => {
                shown.end_paragraph();
                shown.paragraph.push(Cow::Borrowed(without_closing_signs(rest)));
                shown.end_paragraph();
            }
            Start::Item => {
                shown.end_paragraph();
                shown.paragraph.push(Cow::Owned(format!("{BULLET}{}", without_box(rest))));
            }
            Start::Text if is_row(rest) => {
                shown.end_paragraph();
                shown.paragraph.push(Cow::Owned(cells(rest)));
                shown.end_paragraph();
            }
            Start::Text => shown.paragraph.push(Cow::Borrowed(rest)),
        }
    }
    shown.is_last = true;
    shown.end_paragraph();
    shown.text.truncate(shown.text.trim_end().len());
    shown.text
}

struct Shown<'a> {
    text: String,
    /// Lines whose emphasis, code and links may span several lines.
    paragraph: Vec<Cow<'a, str>>,
    signs: Signs,
    /// Whether the paragraph is the last one of the text.
    is_last: bool,
}

impl Shown<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn end_paragraph(&mut self) {
        if self.paragraph.is_empty() {
            return;
        }
        let paragraph = std::mem::take(&mut self.paragraph).join("\n");
        let line = inline(&paragraph, self.signs, self.text.is_empty(), self.is_last);
        if !line.trim().is_empty() {
            self.line(line.trim_end());
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Text,
    Heading,
    Item,
}

/// What a line begins, and the line without its markers. Quote markers are removed too.
fn block_start(bare: &str) -> (Start, &str) {
    let mut rest = bare;
    while let Some(quoted) = rest.strip_prefix('>') {
        rest = quoted.trim_start();
    }
    let level = rest.bytes().take_while(|it| *it == b'#').count();
    if (1..=6).contains(&level) && (rest.len() == level || rest[level..].starts_with([' ', '\t'])) {
        return (Start::Heading, rest[level..].trim());
    }
    let mut begins = Start::Text;
    // A list item can contain another one.
    while !is_rule(rest) && rest.starts_with(['-', '*', '+']) && rest[1..].starts_with([' ', '\t']) {
        begins = Start::Item;
        rest = rest[1..].trim_start();
    }
    (begins, rest)
}

/// `## Title ##` is `Title`.
fn without_closing_signs(heading: &str) -> &str {
    let kept = heading.trim_end_matches('#');
    if kept.is_empty() || kept.ends_with([' ', '\t']) { kept.trim_end() } else { heading }
}

/// A task list item without its checkbox.
fn without_box(item: &str) -> &str {
    ["[ ] ", "[x] ", "[X] "].iter().find_map(|it| item.strip_prefix(it)).unwrap_or(item)
}

/// A thematic break, the underline of a heading, or the delimiter row of a table.
fn is_rule(line: &str) -> bool {
    let signs = line.bytes().filter(|it| !matches!(it, b' ' | b'\t')).count();
    let only = |allowed: &[u8]| line.bytes().all(|it| matches!(it, b' ' | b'\t') || allowed.contains(&it));
    let rule = ["-", "*", "_", "="].iter().any(|it| only(it.as_bytes()));
    signs >= 3 && rule || line.contains('|') && line.contains('-') && only(b"|-:")
}

/// `[name]: https://...`, which displays nothing.
fn is_definition(line: &str) -> bool {
    let Some((name, target)) = line.strip_prefix('[').and_then(|it| it.split_once("]:")) else { return false };
    let target = target.trim();
    let address = target.split_whitespace().next().unwrap_or_default();
    !name.is_empty() && !name.starts_with('^') && (address.contains([':', '/', '#']) || address.starts_with('<'))
}

fn is_row(line: &str) -> bool {
    line.starts_with('|') && line[1..].contains('|')
}

fn cells(row: &str) -> String {
    let mut cells = vec![String::new()];
    let mut letters = row.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\\', Some('|')) => cells.last_mut().into_iter().for_each(|it| it.extend(letters.next())),
            ('|', _) => cells.push(String::new()),
            _ => cells.last_mut().into_iter().for_each(|it| it.push(letter)),
        }
    }
    let full: Vec<&str> = cells.iter().map(|it| it.trim()).filter(|it| !it.is_empty()).collect();
    full.join(CELLS)
}

/// The fence that is already open at the beginning of a text cut from the middle of a listing. The first fence must
/// then be a closing one: it names no language, stands directly below a line, and has no partner.
fn fence_before(text: &str) -> Option<&str> {
    let fences = text.lines().filter_map(opens).count();
    let (mut above, mut first) = ("", None);
    for line in text.lines() {
        if let Some(fence) = opens(line) {
            first = Some((above, line.trim(), fence));
            break;
        }
        above = line;
    }
    let (above, line, fence) = first.filter(|_| fences % 2 == 1)?;
    (line == fence && !above.trim().is_empty()).then_some(fence)
}

/// The fence that a line opens: three or more backticks or tildes.
fn opens(line: &str) -> Option<&str> {
    let rest = line.trim_start();
    let sign = rest.bytes().next().filter(|it| matches!(it, b'`' | b'~'))?;
    let length = rest.bytes().take_while(|it| *it == sign).count();
    let info = &rest[length..];
    (length >= 3 && !(sign == b'`' && info.contains('`'))).then(|| &rest[..length])
}

fn closes(line: &str, fence: &str) -> bool {
    let bare = line.trim();
    bare.starts_with(fence) && bare.bytes().all(|it| fence.as_bytes()[0] == it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> String {
        plain(text, Signs::All)
    }

    #[test]
    fn signs_go_and_words_stay() {
        for (text, shown) in [
            (
                "## The *hand* winch ##\n\nIt has a **ratchet**, a ***pawl*** and a `crank`.",
                "The hand winch\nIt has a ratchet, a pawl and a crank.",
            ),
            (
                "A [rope](https://x.org/a_(b) \"t\") and ![a hook](hook.png) [here][1] [there][].\n\n[1]: https://x.org",
                "A rope and a hook here there.",
            ),
            ("| Part | Load |\n|:---|---:|\n| **Hook** | 2 \\| 3 t |\n| | 4 |", "Part · Load\nHook · 2 | 3 t\n4"),
            ("```sh\n# no heading\nls *.md\n```\n\nafter", "# no heading\nls *.md\nafter"),
            ("text\n\n    char *p = *q;\n\nend", "text\n    char *p = *q;\nend"),
            (
                "> quoted\n> > deeper\n\n- one\n- [x] two\n  * three\n\n1. first",
                "quoted\ndeeper\n• one\n• two\n• three\n1. first",
            ),
            ("Title\n===\n\n---\n\n* * *\nend", "Title\nend"),
            (
                "snake_case_name, 2 * 3 * 4, 2**3, **kwargs and a[0][1]",
                "snake_case_name, 2 * 3 * 4, 2**3, **kwargs and a[0][1]",
            ),
            ("_one_ __two__ ~~three~~ ~4 un*frigging*believable", "one two three ~4 unfriggingbelievable"),
            ("\\*not\\* emphasis \\\\ \\# ", "*not* emphasis \\ #"),
            (
                "<https://x.org> a<br>b <b>bold</b> Vec<u8> x < y<!-- gone --> R&amp;D",
                "https://x.org a b bold Vec<u8> x < y R&D",
            ),
            ("``a ` b`` and a lone ` tick", "a ` b and a lone ` tick"),
            ("**bold\nover lines** [a\nlink](x)", "bold\nover lines a\nlink"),
            ("", ""),
        ] {
            assert_eq!(all(text), shown, "{text:?}");
        }
    }

    #[test]
    fn what_was_cut_in_the_middle_of_emphasis_a_link_or_a_listing_shows_no_signs_either() {
        for (text, shown) in [
            ("deep sea. It ends.** After **that**.", "deep sea. It ends. After that."),
            ("words of a link](https://x.org/long) and more", "words of a link and more"),
            ("One.\n\n**It begins here. And goes on.", "One.\nIt begins here. And goes on."),
            ("a | b\n# no heading\n```\n\n> **quoted** text", "a | b\n# no heading\nquoted text"),
            ("Text:\n\n```\na | b", "Text:\na | b"),
            ("2**3 is 8. So it is. f(**kwargs) too", "2**3 is 8. So it is. f(**kwargs) too"),
        ] {
            assert_eq!(all(text), shown, "{text:?}");
        }
    }

    #[test]
    fn what_an_author_typed_is_left_alone_where_it_is_no_markup() {
        let source = "```py\ndef f(*args, **kw):\n    # x\n    return __name__\n```";
        let body = "def f(*args, **kw):\n    # x\n    return __name__";
        assert_eq!(plain(source, Signs::of("text/x-source")), body);
        let typed = "# no heading\n* 2 *x* _y_ [a](b) | c |";
        assert_eq!(plain(typed, Signs::of("text/plain")), typed);
        let page = "## Names\n\nThe method __init__ takes *args; 2 * 3 * 4 of **them** in `f(*x)`. [a](b) \\# c";
        let shown = "Names\nThe method __init__ takes *args; 2 * 3 * 4 of them in f(*x). [a](b) # c";
        assert_eq!(plain(page, Signs::of("text/html")), shown);
    }

    fn letters(text: &str) -> String {
        text.chars().filter(|it| it.is_alphanumeric()).collect()
    }

    proptest! {
        #[test]
        fn signs_alone_take_no_letter(text in "[a-zé東1 *_#>|\\\\\n+=~`-]{0,300}") {
            // Text after a fence would be the name of a language.
            let mut text = text;
            while text.contains("``") || text.contains("~~~") {
                text = text.replace("``", "`").replace("~~~", "~~");
            }
            for signs in [Signs::None, Signs::Fences, Signs::Readers, Signs::All] {
                prop_assert_eq!(letters(&plain(&text, signs)), letters(&text));
            }
        }

        #[test]
        fn any_text_keeps_its_words_in_order(text in "([a-zé東 \n*_`#>|!<()&;:/~-]|\\[|\\]|\\]\\(|<br>|<!--|-->|```|\\PC){0,200}") {
            for signs in [Signs::Readers, Signs::All] {
                let mut left = text.chars();
                let shown = plain(&text, signs);
                for letter in shown.chars().filter(|it| it.is_alphanumeric()) {
                    prop_assert!(left.any(|it| it == letter), "{:?} is not in order in {:?}", letter, shown);
                }
            }
        }

        #[test]
        fn words_in_markup_are_shown_as_they_stand(words in prop::collection::vec("[a-zé東]{1,6}", 1..20), signs in any::<u64>()) {
            let dressed = |(at, word): (usize, &String)| match (signs >> (at * 3)) & 7 {
                0 => format!("**{word}**"),
                1 => format!("*{word}*"),
                2 => format!("`{word}`"),
                3 => format!("[{word}](https://x.org/y)"),
                4 => format!("\n\n## {word}\n\n"),
                5 => format!("\n- {word}\n"),
                6 => format!("\n\n| {word} |\n|---|\n\n"),
                _ => word.clone(),
            };
            let text: Vec<String> = words.iter().enumerate().map(dressed).collect();
            let shown = plain(&text.join(" "), Signs::All).replace(['•', '·'], " ");
            let shown: Vec<&str> = shown.split_whitespace().collect();
            prop_assert_eq!(shown, words);
        }
    }
}

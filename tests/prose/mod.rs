//! Words that our prose avoids. Most of them mark a sentence that hides who acts, or that was translated word by word.
//! Code does not count: code spans and blocks of a page are skipped, and in sources only texts for people are checked.

const REFUSED: &[&str] = &[
    "anew",
    "goes on",
    "hereby",
    "mend",
    "mended",
    "mends",
    "nobody",
    "tell",
    "tells",
    "thereby",
    "told",
    "whoever",
    "whose life",
];

/// A line, counted from 1, and the refused word in it.
pub type Found = (usize, &'static str);

/// Checks a Markdown page outside its code.
pub fn in_page(page: &str) -> Vec<Found> {
    let mut in_code = false;
    let mut found = Vec::new();
    for (number, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let outside: Vec<&str> = line.split('`').step_by(2).collect();
            found.extend(refused(&outside.join(" ")).map(|word| (number + 1, word)));
        }
    }
    found
}

/// Checks doc comments: those of commands and their flags are the help.
pub fn in_help(code: &str) -> Vec<Found> {
    let lines = code.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("///"));
    lines.flat_map(|(number, line)| refused(line).map(move |word| (number + 1, word))).collect()
}

/// Checks string literals. `quotes` delimit them.
pub fn in_literals(code: &str, quotes: &[char]) -> Vec<Found> {
    let literals = literals(code, quotes);
    literals.iter().flat_map(|(line, text)| refused(text).map(|word| (*line, word))).collect()
}

fn refused(text: &str) -> impl Iterator<Item = &'static str> + use<> {
    let words = text.to_lowercase();
    let words: Vec<&str> =
        words.split(|it: char| !it.is_alphanumeric() && it != '_').filter(|it| !it.is_empty()).collect();
    let text = format!(" {} ", words.join(" "));
    REFUSED.iter().copied().filter(move |word| text.contains(&format!(" {word} ")))
}

/// Each literal with its line. Comments and characters in single quotes are skipped, and raw strings end at their
/// hashes.
fn literals(code: &str, quotes: &[char]) -> Vec<(usize, String)> {
    let text: Vec<char> = code.chars().collect();
    let at = |index: usize| text.get(index).copied().unwrap_or('\0');
    let (mut found, mut here, mut line) = (Vec::new(), 0, 1);
    while here < text.len() {
        let begin = here;
        match at(here) {
            '/' if at(here + 1) == '/' => {
                while here < text.len() && at(here) != '\n' {
                    here += 1
                }
            }
            '\'' if at(here + 1) == '\\' => here += 4,
            '\'' if at(here + 2) == '\'' => here += 3,
            quote if quotes.contains(&quote) => {
                let hashes = text[..here].iter().rev().take_while(|it| **it == '#').count();
                let raw = here > hashes && at(here - hashes - 1) == 'r';
                let ends = |it: usize| at(it) == quote && (!raw || (0..hashes).all(|hash| at(it + 1 + hash) == '#'));
                here += 1;
                while here < text.len() && !ends(here) {
                    here += if at(here) == '\\' && !raw { 2 } else { 1 };
                }
                here += 1;
                found.push((line, text[begin + 1..(here - 1).min(text.len())].iter().collect()));
            }
            _ => here += 1,
        }
        line += text[begin..here.min(text.len())].iter().filter(|it| **it == '\n').count();
    }
    found
}

#[test]
fn only_prose_is_searched() {
    let page = "A page tells.\n\n```\ntold\n```\n\nIt `tells` nothing; whoever Goes\ton";
    assert_eq!(in_page(page), [(1, "tells"), (7, "goes on"), (7, "whoever")]);
    let code = "/// Told.\nlet told = \"a \\\" mend\"; // nobody\nlet c = '\"';\nlet raw = r#\"anew \" tell\"#;\nlet key = \"told_full\";";
    assert_eq!(in_help(code), [(1, "told")]);
    assert_eq!(in_literals(code, &['"']), [(2, "mend"), (4, "anew"), (4, "tell")]);
}

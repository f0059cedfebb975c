//! Right-to-left text: reorders text from its visual order on the page to reading order.

/// Letters of Hebrew, Arabic and the scripts between them.
pub fn is_right_to_left(letter: char) -> bool {
    matches!(letter, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
        && !is_number(letter)
}

/// Digits, which run from left to right in every script.
fn is_number(letter: char) -> bool {
    letter.is_ascii_digit() || matches!(letter, '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}')
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
    Number,
    Neutral,
}

fn side(letter: char) -> Side {
    match letter {
        _ if is_number(letter) => Side::Number,
        _ if is_right_to_left(letter) => Side::Right,
        _ if letter.is_alphabetic() => Side::Left,
        _ => Side::Neutral,
    }
}

/// Whether a line is read from right to left, because most of its letters are.
fn reads_right_to_left(line: &[char]) -> bool {
    let count = |wanted: Side| line.iter().filter(|it| side(**it) == wanted).count();
    count(Side::Right) > count(Side::Left)
}

/// Puts a line, given in visual order from left to right, into reading order. Lines without right-to-left letters are
/// unchanged.
pub fn in_reading_order(line: &str) -> String {
    if !line.chars().any(is_right_to_left) {
        return line.to_string();
    }
    let letters: Vec<char> = line.chars().collect();
    let backwards = reads_right_to_left(&letters);
    let mut runs = runs(&letters, if backwards { Side::Right } else { Side::Left });
    if backwards {
        runs.reverse();
    }
    let mut out = String::with_capacity(line.len());
    for (side, range) in runs {
        let run = &letters[range];
        match side {
            Side::Right => out.extend(turned(run)),
            _ => out.extend(run),
        }
    }
    out
}

/// Reverses a right-to-left run. Marks stay after their letters, and brackets are mirrored.
fn turned(run: &[char]) -> Vec<char> {
    let mut out: Vec<char> = Vec::with_capacity(run.len());
    for letter in run.iter().rev() {
        out.push(match letter {
            '(' => ')',
            ')' => '(',
            '[' => ']',
            ']' => '[',
            '{' => '}',
            '}' => '{',
            '<' => '>',
            '>' => '<',
            '«' => '»',
            '»' => '«',
            letter => *letter,
        });
    }
    out
}

/// Splits the line where the direction changes. Neutral characters follow their neighbours if these agree, otherwise
/// the line.
fn runs(letters: &[char], line: Side) -> Vec<(Side, std::ops::Range<usize>)> {
    let mut sides: Vec<Side> = letters.iter().map(|it| side(*it)).collect();
    let strong = |side: Side| if side == Side::Number { Side::Left } else { side };
    let mut at = 0;
    while at < sides.len() {
        if sides[at] != Side::Neutral {
            at += 1;
            continue;
        }
        let end = (at..sides.len()).find(|it| sides[*it] != Side::Neutral).unwrap_or(sides.len());
        let before = at.checked_sub(1).map_or(line, |it| strong(sides[it]));
        let after = sides.get(end).map_or(line, |it| strong(*it));
        // A separator between two digits is part of the number: 12.5, 3/4.
        let digits = at > 0 && end == at + 1 && sides[at - 1] == Side::Number && sides.get(end) == Some(&Side::Number);
        let inside = digits && matches!(letters[at], '.' | ',' | '/' | ':' | '-');
        let side = if inside {
            Side::Number
        } else if before == after {
            before
        } else {
            line
        };
        sides[at..end].fill(side);
        at = end;
    }
    let mut runs: Vec<(Side, std::ops::Range<usize>)> = Vec::new();
    for (index, side) in sides.into_iter().map(strong).enumerate() {
        match runs.last_mut() {
            Some((last, range)) if *last == side => range.end = index + 1,
            _ => runs.push((side, index..index + 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_in_the_order_of_reading() {
        let backwards = |text: &str| text.chars().rev().collect::<String>();
        for (seen, read) in [
            ("plain (text) 12".to_string(), "plain (text) 12".to_string()),
            (backwards("שלום עולם"), "שלום עולם".to_string()),
            (format!("12.5 {}", backwards("מחיר")), "מחיר 12.5".to_string()),
            (format!("Linux {}", backwards("מערכת ההפעלה")), "מערכת ההפעלה Linux".to_string()),
            (format!("The word {} means peace", backwards("שלום")), "The word שלום means peace".to_string()),
            (backwards("(שלום)").replace(')', "<").replace('(', ")").replace('<', "("), "(שלום)".to_string()),
        ] {
            assert_eq!(in_reading_order(&seen), read);
        }
    }
}

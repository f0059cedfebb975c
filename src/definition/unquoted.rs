//! Detects templates without quotes. YAML reads `{{` at the start of a value as a mapping.

/// If line `line` (from 1), which YAML refuses, has such a template: the problem, and how to write the line.
pub(super) fn template(text: &str, line: u64) -> Option<(String, Option<String>)> {
    let quoted = quoted(text.lines().nth(line.checked_sub(1)? as usize)?)?;
    let message = "YAML takes a `{{` that begins a value for a mapping".to_string();
    Some((message, Some(format!("put the value in quotes: `{quoted}`"))))
}

/// The line with quotes around the value that begins with a template.
fn quoted(line: &str) -> Option<String> {
    let begins = |at: usize| {
        let before = line[..at].trim_end();
        let is_value = before.ends_with(':') && before.len() < at || before.ends_with(['[', ',', '{']);
        before.is_empty() || is_value || before.rsplit([' ', '\t']).next() == Some("-")
    };
    let at = line.match_indices("{{").map(|it| it.0).find(|it| begins(*it))?;
    let value = line[at..].trim_end();
    // In `[...]` and `{...}` the value ends where its template ends.
    let in_list = line[..at].contains(['[', '{']);
    let value = if in_list { value.find("}}").map_or(value, |it| &value[..it + 2]) } else { value };
    let quoted = match value.contains('"') {
        true => format!("'{}'", value.replace('\'', "''")),
        false => format!("\"{}\"", value.replace('\\', "\\\\")),
    };
    let before = if in_list { "" } else { line[..at].trim_start() };
    Some(format!("{before}{quoted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_begins_a_value_is_shown_in_quotes() {
        for (line, written) in [
            ("    run: {{ item }}", Some("run: \"{{ item }}\"")),
            ("    run: {{ item }} --help  ", Some("run: \"{{ item }} --help\"")),
            ("    run: {{ params.cc }} -o \"x y\" it's", Some("run: '{{ params.cc }} -o \"x y\" it''s'")),
            ("    env: { X: {{ item }}, Y: a }", Some("\"{{ item }}\"")),
            ("    run: [echo, {{ item }}]", Some("\"{{ item }}\"")),
            ("    run: [{{ item }}, a]", Some("\"{{ item }}\"")),
            ("      - {{ item }}", Some("- \"{{ item }}\"")),
            ("{{ item }}", Some("\"{{ item }}\"")),
            ("    run: echo {{ item }}", None),
            ("    run: \"{{ item }}\"", None),
            ("    run: cp x-{{ item }} y", None),
            ("    run: a:{{ item }}", None),
            ("    timeout: soon", None),
        ] {
            assert_eq!(quoted(line).as_deref(), written, "{line}");
        }
    }
}

//! Parses a filter.

use super::condition::{
    COMPARISONS_MAX, Column, Comparison, DEPTH_MAX, Filter, FilterError, LENGTH_MAX, Literal, Node,
};

/// `any := all ("or" all)*`, `all := one ("and" one)*`, `one := "not" one | "(" any ")" | column comparison literal`.
pub(super) fn parse(text: &str) -> Result<Filter, FilterError> {
    if text.len() > LENGTH_MAX {
        return Err(FilterError::TooLarge);
    }
    let mut reader = Reader { tokens: tokens(text)?, next: 0, comparisons: 0, depth: 0 };
    let root = reader.any()?;
    match reader.take() {
        None => Ok(Filter { root }),
        Some(token) => Err(token.unexpected("`and`, `or` or the end")),
    }
}

#[derive(Debug, Clone)]
struct Token {
    at: usize,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Open,
    Close,
    Word(String),
    Comparison(Comparison),
    Literal(Literal),
}

impl Token {
    fn unexpected(self, expected: &'static str) -> FilterError {
        let found = match self.kind {
            Kind::Open => "(".to_string(),
            Kind::Close => ")".to_string(),
            Kind::Word(word) => word,
            Kind::Comparison(comparison) => comparison.to_string(),
            Kind::Literal(literal) => literal.to_string(),
        };
        FilterError::Unexpected { at: self.at, found, expected }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(it) if it.eq_ignore_ascii_case(word))
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length) = match letter {
            _ if letter.is_whitespace() => {
                at += letter.len_utf8();
                continue;
            }
            '(' => (Kind::Open, 1),
            ')' => (Kind::Close, 1),
            '=' | '!' | '<' | '>' => comparison(rest, at)?,
            '"' | '\'' => quoted(rest, letter)?,
            '-' | '+' | '0'..='9' => number(rest, at)?,
            _ if is_name(letter) => {
                let length = rest.find(|it| !is_name(it)).unwrap_or(rest.len());
                (Kind::Word(rest[..length].to_string()), length)
            }
            _ => {
                let expected = "a column, a comparison, a quoted string or a number";
                return Err(FilterError::Unexpected { at, found: letter.to_string(), expected });
            }
        };
        found.push(Token { at, kind });
        at += length;
    }
    Ok(found)
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-')
}

fn comparison(rest: &str, at: usize) -> Result<(Kind, usize), FilterError> {
    use Comparison::*;
    let known = [
        ("!=", NotEqual),
        ("<>", NotEqual),
        ("<=", LessOrEqual),
        (">=", GreaterOrEqual),
        ("==", Equal),
        ("=", Equal),
        ("<", Less),
        (">", Greater),
    ];
    match known.into_iter().find(|it| rest.starts_with(it.0)) {
        Some((sign, comparison)) => Ok((Kind::Comparison(comparison), sign.len())),
        None => Err(FilterError::Unexpected { at, found: "!".into(), expected: "`!=`" }),
    }
}

/// Text in single or double quotes. A quote inside it is doubled.
fn quoted(rest: &str, mark: char) -> Result<(Kind, usize), FilterError> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == mark && letters.next_if(|it| it.1 == mark).is_none() {
            return Ok((Kind::Literal(Literal::Text(text)), at + 1));
        }
        text.push(letter);
    }
    Err(FilterError::Short { expected: "a closing quotation mark" })
}

fn number(rest: &str, at: usize) -> Result<(Kind, usize), FilterError> {
    let length =
        rest.find(|it: char| !it.is_ascii_alphanumeric() && !matches!(it, '.' | '-' | '+')).unwrap_or(rest.len());
    let digits = &rest[..length];
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Kind::Literal(Literal::Number(number)), length)),
        _ => Err(FilterError::Unexpected { at, found: digits.to_string(), expected: "a number" }),
    }
}

struct Reader {
    tokens: Vec<Token>,
    next: usize,
    comparisons: usize,
    depth: usize,
}

impl Reader {
    fn any(&mut self) -> Result<Node, FilterError> {
        self.list("or", Reader::all, Node::Any)
    }

    fn all(&mut self) -> Result<Node, FilterError> {
        self.list("and", Reader::one, Node::All)
    }

    fn list(
        &mut self,
        word: &str,
        part: fn(&mut Reader) -> Result<Node, FilterError>,
        join: fn(Vec<Node>) -> Node,
    ) -> Result<Node, FilterError> {
        let first = part(self)?;
        let mut nodes = vec![first];
        while self.skip(word) {
            nodes.push(part(self)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { join(nodes) })
    }

    fn one(&mut self) -> Result<Node, FilterError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(FilterError::TooLarge);
        }
        let node = if self.skip("not") { Node::Not(Box::new(self.one()?)) } else { self.primary()? };
        self.depth -= 1;
        Ok(node)
    }

    fn primary(&mut self) -> Result<Node, FilterError> {
        let token = self.need("a column or `(`")?;
        match token.kind {
            Kind::Open => {
                let node = self.any()?;
                let closing = self.need("`)`")?;
                match closing.kind {
                    Kind::Close => Ok(node),
                    _ => Err(closing.unexpected("`)`")),
                }
            }
            Kind::Word(name) => self.compare(&name),
            _ => Err(token.unexpected("a column or `(`")),
        }
    }

    fn compare(&mut self, name: &str) -> Result<Node, FilterError> {
        self.comparisons += 1;
        if self.comparisons > COMPARISONS_MAX {
            return Err(FilterError::TooLarge);
        }
        let column = column(name)?;
        let expected = "one of = != < <= > >= like";
        let token = self.need(expected)?;
        let comparison = match token.kind {
            Kind::Comparison(comparison) => comparison,
            _ if token.is_word("like") => Comparison::Like,
            _ => return Err(token.unexpected(expected)),
        };
        let expected = "a quoted string or a number";
        let token = self.need(expected)?;
        let Kind::Literal(literal) = token.kind else {
            return Err(token.unexpected(expected));
        };
        fitting(&column, comparison, &literal)?;
        Ok(Node::Compare(column, comparison, literal))
    }

    fn skip(&mut self, word: &str) -> bool {
        let found = self.tokens.get(self.next).is_some_and(|it| it.is_word(word));
        self.next += usize::from(found);
        found
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn need(&mut self, expected: &'static str) -> Result<Token, FilterError> {
        self.take().ok_or(FilterError::Short { expected })
    }
}

fn column(name: &str) -> Result<Column, FilterError> {
    let lower = name.to_ascii_lowercase();
    Ok(match lower.as_str() {
        "source" => Column::Source,
        "uri" => Column::Uri,
        "title" => Column::Title,
        "media_type" => Column::MediaType,
        "page" => Column::Page,
        _ => match lower.starts_with("meta.").then(|| &name["meta.".len()..]) {
            Some(key) if !key.is_empty() => Column::Meta(key.to_string()),
            _ => return Err(FilterError::UnknownColumn { name: name.to_string() }),
        },
    })
}

fn fitting(column: &Column, comparison: Comparison, literal: &Literal) -> Result<(), FilterError> {
    let wanted = match (column, literal) {
        (Column::Page, Literal::Text(_)) => "number",
        (Column::Page, _) if comparison == Comparison::Like => "text to be liked",
        (Column::Page | Column::Meta(_), _) => return Ok(()),
        (_, Literal::Number(_)) => "quoted string",
        _ => return Ok(()),
    };
    Err(FilterError::WrongType { column: column.to_string(), literal: literal.to_string(), wanted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn and_binds_before_or_and_case_does_not_matter() {
        let read = |text: &str| text.parse::<Filter>().unwrap().to_string();
        assert_eq!(read("page<3 OR page>9 And title = 'it''s'"), r#"page < 3 or (page > 9 and title = "it's")"#);
        assert_eq!(
            read("(page<3 or page>9) and not uri LIKE '%a'"),
            r#"(page < 3 or page > 9) and not (uri like "%a")"#
        );
        assert_eq!(read("META.Year >= 1999"), "meta.Year >= 1999");
        assert_eq!(read("((((source=\"x\"))))"), r#"source = "x""#);
    }

    #[test]
    fn mistakes_are_refused_with_their_place() {
        for (text, said) in [
            ("", "ends early"),
            ("page <", "ends early"),
            ("page < 'ten'", "not a number"),
            ("page ~ 3", "at byte 5"),
            ("colour = 'red'", "unknown column `colour`"),
            ("title = 5", "not a quoted string"),
            ("title = red", "`red` at byte 8"),
            ("page = 1 page = 2", "at byte 9"),
            ("(page = 1", "ends early"),
            ("title = 'open", "closing quotation mark"),
            ("page = 1)", "at byte 8"),
            ("page = 1e999", "at byte 7"),
            ("meta. = 1", "unknown column"),
            ("page like 3", "to be liked"),
        ] {
            let error = text.parse::<Filter>().unwrap_err();
            assert!(error.to_string().contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let deep = format!("{}page = 1{}", "(".repeat(40), ")".repeat(40));
        let nots = format!("{} page = 1", "not ".repeat(40));
        let wide = vec!["page = 1"; 65].join(" or ");
        let long = format!("title = '{}'", "x".repeat(5000));
        for text in [deep, nots, wide, long] {
            assert_eq!(text.parse::<Filter>().unwrap_err(), FilterError::TooLarge);
        }
        assert!(vec!["page = 1"; 64].join(" or ").parse::<Filter>().is_ok());
    }

    fn node() -> impl Strategy<Value = Node> {
        let text = prop_oneof![Just(Column::Source), Just(Column::Uri), Just(Column::Title), Just(Column::MediaType)];
        let sign = prop_oneof![
            Just(Comparison::Equal),
            Just(Comparison::NotEqual),
            Just(Comparison::Less),
            Just(Comparison::GreaterOrEqual)
        ];
        let words = (text, sign.clone(), "\\PC{0,12}").prop_map(|(c, s, l)| Node::Compare(c, s, Literal::Text(l)));
        let pages = (sign.clone(), -99.0..999.0).prop_map(|(s, l)| Node::Compare(Column::Page, s, Literal::Number(l)));
        let metas = ("[a-zA-Z0-9_.-]{1,8}", sign, "\\PC{0,12}")
            .prop_map(|(key, s, l)| Node::Compare(Column::Meta(key), s, Literal::Text(l)));
        prop_oneof![words, pages, metas].prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4).prop_map(Node::All),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Node::Any),
                inner.prop_map(|it| Node::Not(Box::new(it))),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_printed_filter_reads_back_as_itself(root in node()) {
            let filter = Filter { root };
            prop_assert_eq!(filter.to_string().parse::<Filter>().unwrap(), filter);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
            let _ = text.parse::<Filter>();
        }

        #[test]
        fn no_heap_of_tokens_makes_the_reader_panic(
            words in prop::collection::vec(
                prop::sample::select(vec!["(", ")", "not", "and", "or", "page", "title", "=", "<", "like", "'a'", "1", "meta.x"]),
                0..60,
            )
        ) {
            let _ = words.join(" ").parse::<Filter>();
        }
    }
}

//! The types of docs/json.md: parses the subset of TypeScript that the page uses, and checks printed documents against
//! them.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
enum Type {
    Text,
    Number,
    Boolean,
    Null,
    Unknown,
    Literal(Value),
    Named(String),
    List(Box<Type>),
    Tuple(Vec<Type>),
    Record(Box<Type>),
    Union(Vec<Type>),
    Object(Vec<Field>),
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    optional: bool,
    /// The page says when it is present.
    sometimes: bool,
    of: Type,
}

#[derive(Debug)]
struct Declared {
    base: Option<String>,
    body: Type,
    sometimes: bool,
}

#[derive(Debug, Default)]
pub struct Page {
    declared: BTreeMap<String, Declared>,
    /// The commands in the tables, each with the names of the types that it prints.
    pub commands: BTreeMap<String, Vec<String>>,
    /// What was seen: fields, fields that were not null, and the alternatives of unions.
    seen: BTreeSet<String>,
}

impl Page {
    pub fn read(text: &str) -> Page {
        let mut page = Page::default();
        for block in text.split("```ts\n").skip(1) {
            let mut reader = Reader::new(block.split("```").next().unwrap());
            while reader.more() {
                let (name, declared) = reader.declaration();
                assert!(page.declared.insert(name.clone(), declared).is_none(), "{name} is declared twice");
            }
        }
        let mut in_table = false;
        for line in text.lines() {
            in_table = line.starts_with("| command | ") || in_table && line.starts_with('|');
            if let (true, Some((commands, types))) = (in_table && line.starts_with("| `"), line.split_once(" | ")) {
                let types: Vec<String> = spans(types).filter(|it| page.declared.contains_key(it)).collect();
                assert!(!types.is_empty(), "no type: {line}");
                page.commands.extend(spans(commands).map(|it| (it, types.clone())));
            }
        }
        page
    }

    /// Checks a document of a command against its types.
    pub fn hold(&mut self, command: &str, document: &Value) {
        let types = self.commands.get(command).unwrap_or_else(|| panic!("docs/json.md does not have `{command}`"));
        let types = Type::Union(types.iter().cloned().map(Type::Named).collect());
        self.check(document, &types, command).unwrap_or_else(|why| panic!("`{command}`: {why}\nin {document}"));
    }

    /// Checks a document against a type.
    pub fn hold_type(&mut self, name: &str, document: &Value) {
        self.check(document, &Type::Named(name.into()), name).unwrap_or_else(|why| panic!("{why}\nin {document}"));
    }

    /// The texts in a union of texts.
    pub fn texts(&self, name: &str) -> BTreeSet<String> {
        let Type::Union(all) = &self.declared[name].body else { panic!("{name} is no union") };
        let text = |it: &Type| match it {
            Type::Literal(Value::String(text)) => text.clone(),
            other => panic!("{name} has {other:?}"),
        };
        all.iter().map(text).collect()
    }

    /// Everything on the page that was never printed.
    pub fn never_seen(&self) -> Vec<String> {
        let mut missing = BTreeSet::new();
        for (name, declared) in self.declared.iter().filter(|it| !it.1.sometimes) {
            self.look(&declared.body, name, &mut missing);
        }
        missing.into_iter().collect()
    }

    fn look(&self, of: &Type, at: &str, missing: &mut BTreeSet<String>) {
        match of {
            Type::Object(fields) => {
                for field in fields.iter().filter(|it| !it.sometimes) {
                    let at = format!("{at}.{}", field.name);
                    // The parts of what was never seen are not listed.
                    match self.seen.contains(&at) {
                        true => self.look(&field.of, &at, missing),
                        false => _ = missing.insert(at),
                    }
                }
            }
            Type::List(of) | Type::Record(of) if matches!(**of, Type::Object(_)) => self.look(of, at, missing),
            Type::Union(all) => {
                for of in all {
                    if let Type::Named(name) = of
                        && self.declared.get(name).is_some_and(|it| !it.sometimes && matches!(it.body, Type::Object(_)))
                        && !self.seen.contains(name)
                    {
                        missing.insert(format!("{at} as a {name}"));
                    }
                    self.look(of, at, missing);
                }
            }
            _ => {}
        }
    }

    fn check(&mut self, value: &Value, of: &Type, at: &str) -> Result<(), String> {
        let fits = match of {
            Type::Text => value.is_string(),
            Type::Number => value.is_number(),
            Type::Boolean => value.is_boolean(),
            Type::Null => value.is_null(),
            Type::Unknown => true,
            Type::Literal(literal) => value == literal,
            Type::Named(name) => return self.check_named(value, name, at),
            Type::Union(all) => return self.check_union(value, all, at),
            Type::Object(fields) => return self.check_fields(value, &fields.clone(), at),
            Type::List(of) => match value.as_array() {
                Some(list) => return list.iter().try_for_each(|it| self.check(it, of, at)),
                None => false,
            },
            Type::Record(of) => match value.as_object() {
                Some(map) => return map.values().try_for_each(|it| self.check(it, of, at)),
                None => false,
            },
            Type::Tuple(all) => match value.as_array() {
                Some(list) if list.len() == all.len() => {
                    return list.iter().zip(all).try_for_each(|(it, of)| self.check(it, of, at));
                }
                _ => false,
            },
        };
        if fits { Ok(()) } else { Err(format!("{at} is {value}, which is no {of:?}")) }
    }

    fn check_named(&mut self, value: &Value, name: &str, at: &str) -> Result<(), String> {
        let declared = self.declared.get(name).ok_or_else(|| format!("the type {name} is nowhere declared"))?;
        if !matches!(declared.body, Type::Object(_)) {
            return self.check(value, &declared.body.clone(), at);
        }
        // A field belongs to the type that declares it, whatever type extends that.
        let (mut fields, mut next) = (Vec::new(), Some(name));
        while let Some(name) = next {
            let declared = self.declared.get(name).ok_or_else(|| format!("the type {name} is nowhere declared"))?;
            let Type::Object(own) = &declared.body else { return Err(format!("{name} can't be extended")) };
            fields.push((name.to_string(), own.clone()));
            next = declared.base.as_deref();
        }
        let object = value.as_object().ok_or_else(|| format!("{at} is {value}, which is no {name}"))?;
        let known: BTreeSet<&str> = fields.iter().flat_map(|it| &it.1).map(|it| it.name.as_str()).collect();
        if let Some(more) = object.keys().find(|it| !known.contains(it.as_str())) {
            return Err(format!("{name}.{more} is printed, and docs/json.md does not have it"));
        }
        for (name, own) in &fields {
            let own_part = object.iter().filter(|it| own.iter().any(|field| field.name == *it.0));
            let own_part = Value::Object(own_part.map(|it| (it.0.clone(), it.1.clone())).collect());
            self.check_fields(&own_part, own, name)?;
        }
        self.seen.insert(name.to_string());
        Ok(())
    }

    fn check_union(&mut self, value: &Value, all: &[Type], at: &str) -> Result<(), String> {
        let mut wrong = Vec::new();
        for of in all {
            // A document that does not fit does not count as seen.
            let before = self.seen.clone();
            match self.check(value, of, at) {
                Ok(()) => return Ok(()),
                Err(why) => wrong.push(why),
            }
            self.seen = before;
        }
        Err(wrong.join("\n  or: "))
    }

    fn check_fields(&mut self, value: &Value, fields: &[Field], at: &str) -> Result<(), String> {
        let object = value.as_object().ok_or_else(|| format!("{at} is {value}, which is no object"))?;
        if let Some(more) = object.keys().find(|it| fields.iter().all(|field| field.name != **it)) {
            return Err(format!("{at}.{more} is printed, and docs/json.md does not have it"));
        }
        for field in fields {
            let at = format!("{at}.{}", field.name);
            match object.get(&field.name) {
                Some(value) => {
                    self.check(value, &field.of, &at)?;
                    let says_something = !value.is_null() || matches!(field.of, Type::Unknown);
                    says_something.then(|| self.seen.insert(at));
                }
                None if field.optional => {}
                None => return Err(format!("{at} is missing")),
            }
        }
        Ok(())
    }
}

/// The texts between backquotes.
pub fn spans(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_string)
}

/// Reads declarations from the words of a block.
struct Reader {
    words: Vec<(usize, String)>,
    at: usize,
    /// The lines whose comment says when something is present.
    sometimes: BTreeSet<usize>,
}

impl Reader {
    fn new(block: &str) -> Reader {
        let (mut words, mut sometimes) = (Vec::new(), BTreeSet::new());
        for (no, line) in block.lines().enumerate() {
            let (code, comment) = line.split_once("//").unwrap_or((line, ""));
            if ["only if", "only of", "only where"].iter().any(|it| comment.contains(it)) {
                sometimes.insert(no);
            }
            let mut rest = code.trim_start();
            while let Some(first) = rest.chars().next() {
                let is_word = |it: char| it.is_alphanumeric() || it == '_';
                let end = match first {
                    '"' => rest[1..].find('"').expect("a text ends on its line") + 2,
                    first if is_word(first) => rest.find(|it| !is_word(it)).unwrap_or(rest.len()),
                    _ => 1,
                };
                words.push((no, rest[..end].to_string()));
                rest = rest[end..].trim_start();
            }
        }
        Reader { words, at: 0, sometimes }
    }

    fn more(&self) -> bool {
        self.at < self.words.len()
    }

    fn peek(&self) -> &str {
        self.words.get(self.at).map_or("", |it| it.1.as_str())
    }

    fn next(&mut self) -> String {
        self.at += 1;
        self.words.get(self.at - 1).unwrap_or_else(|| panic!("the block ends too early")).1.clone()
    }

    fn take(&mut self, word: &str) -> bool {
        let is = self.peek() == word;
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, word: &str) {
        let line = self.words.get(self.at).map_or(0, |it| it.0);
        assert!(self.take(word), "line {line} of a block: `{word}` is expected before `{}`", self.peek());
    }

    fn declaration(&mut self) -> (String, Declared) {
        let (line, kind, name) = (self.words[self.at].0, self.next(), self.next());
        let sometimes = self.sometimes.contains(&line);
        if kind == "type" {
            self.expect("=");
            return (name, Declared { base: None, body: self.union(), sometimes });
        }
        assert_eq!(kind, "interface", "before {name}");
        let base = self.take("extends").then(|| self.next());
        self.expect("{");
        (name, Declared { base, body: self.fields(), sometimes })
    }

    fn fields(&mut self) -> Type {
        let mut fields = Vec::new();
        while !self.take("}") {
            let name = self.next();
            let optional = self.take("?");
            self.expect(":");
            let of = self.union();
            let sometimes = self.sometimes.contains(&self.words[self.at - 1].0);
            self.take(",");
            fields.push(Field { name, optional, sometimes, of });
        }
        Type::Object(fields)
    }

    fn union(&mut self) -> Type {
        let mut all = vec![self.list()];
        while self.take("|") {
            all.push(self.list());
        }
        if all.len() == 1 { all.remove(0) } else { Type::Union(all) }
    }

    fn list(&mut self) -> Type {
        let mut of = self.plain();
        while self.peek() == "[" {
            self.expect("[");
            self.expect("]");
            of = Type::List(Box::new(of));
        }
        of
    }

    fn plain(&mut self) -> Type {
        let word = self.next();
        match word.as_str() {
            "string" => Type::Text,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            "null" => Type::Null,
            "unknown" => Type::Unknown,
            "true" => Type::Literal(true.into()),
            "{" => self.fields(),
            "[" => {
                let mut all = vec![self.union()];
                while self.take(",") {
                    all.push(self.union());
                }
                self.expect("]");
                Type::Tuple(all)
            }
            "Record" => {
                ["<", "string", ","].iter().for_each(|it| self.expect(it));
                let of = self.union();
                self.expect(">");
                Type::Record(Box::new(of))
            }
            text if text.starts_with('"') => Type::Literal(text.trim_matches('"').into()),
            name => Type::Named(name.to_string()),
        }
    }
}

//! Parses the tokens of a condition into a tree.

use super::{
    problem::Problem,
    scan::{Token, scan},
};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Literal(Value),
    /// `item`, `params`, or the variable of a macro.
    Name(String),
    /// `inputs.NAME.value` or `inputs.NAME.status`.
    Input(String, InputField),
    RunFailed,
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Select(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    /// Whether the field exists.
    Has(Box<Node>, String),
    Not(Box<Node>),
    Negative(Box<Node>),
    Binary(&'static str, Box<Node>, Box<Node>),
    Choice(Box<Node>, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
    /// Macro, list, variable, and the expression that is evaluated for each element.
    Each(Each, Box<Node>, String, Box<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputField {
    Value,
    Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Text,
    Int,
    Double,
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Each {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

const MOST_DEPTH: usize = 32;

/// By precedence, lowest first.
const BINARY: &[&[&str]] =
    &[&["||"], &["&&"], &["==", "!=", "<", "<=", ">", ">=", "in"], &["+", "-"], &["*", "/", "%"]];

const NAMES_HINT: &str =
    "a condition knows `item`, `params`, `inputs.STEP.value`, `inputs.STEP.status` and `run.failed`";

pub(super) fn parse(source: &str) -> Result<Node, Problem> {
    let mut parser = Parser { tokens: scan(source)?, at: 0, depth: 0, variables: Vec::new() };
    let node = parser.choice()?;
    match parser.next() {
        Token::End => Ok(node),
        other => Err(unexpected(&other)),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// The variables of the enclosing macros.
    variables: Vec<String>,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(it) if *it == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), Problem> {
        match self.eat(sign) {
            true => Ok(()),
            false => Err((format!("`{sign}` is missing before {}", shown(self.peek())), None)),
        }
    }

    fn name(&mut self) -> Result<String, Problem> {
        match self.next() {
            Token::Name(name) => Ok(name),
            other => Err((format!("a name is missing before {}", shown(&other)), None)),
        }
    }

    /// Each nested call is one level deeper.
    fn choice(&mut self) -> Result<Node, Problem> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err((format!("it is nested more than {MOST_DEPTH} levels deep"), None));
        }
        let node = self.binary(0)?;
        let node = match self.eat("?") {
            true => {
                let yes = self.choice()?;
                self.expect(":")?;
                Node::Choice(Box::new(node), Box::new(yes), Box::new(self.choice()?))
            }
            false => node,
        };
        self.depth -= 1;
        Ok(node)
    }

    fn binary(&mut self, level: usize) -> Result<Node, Problem> {
        let Some(signs) = BINARY.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        let mut length = 0;
        loop {
            let sign = signs.iter().copied().find(|sign| match self.peek() {
                Token::Sign(it) => it == sign,
                Token::Name(it) => it == sign,
                _ => false,
            });
            let Some(sign) = sign else { return Ok(left) };
            // A long chain of operators makes a deep tree.
            length += 1;
            if length > MOST_DEPTH * 4 {
                return Err((format!("more than {} operators stand in a row", MOST_DEPTH * 4), None));
            }
            self.at += 1;
            let right = self.binary(level + 1)?;
            left = Node::Binary(sign, Box::new(left), Box::new(right));
        }
    }

    fn unary(&mut self) -> Result<Node, Problem> {
        let wrap: fn(Box<Node>) -> Node = match self.peek() {
            Token::Sign("!") => Node::Not,
            Token::Sign("-") => Node::Negative,
            _ => return self.member(),
        };
        self.at += 1;
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err((format!("it is nested more than {MOST_DEPTH} levels deep"), None));
        }
        let node = wrap(Box::new(self.unary()?));
        self.depth -= 1;
        Ok(node)
    }

    fn member(&mut self) -> Result<Node, Problem> {
        let mut node = self.primary()?;
        let mut length = 0;
        loop {
            length += 1;
            if length > MOST_DEPTH * 2 {
                return Err((format!("more than {} fields stand in a row", MOST_DEPTH * 2), None));
            }
            if self.eat("[") {
                let index = self.choice()?;
                self.expect("]")?;
                node = Node::Index(Box::new(node), Box::new(index));
            } else if self.eat(".") {
                let name = self.name()?;
                node = match self.eat("(") {
                    true => self.method(node, &name)?,
                    false => Node::Select(Box::new(node), name),
                };
            } else {
                return Ok(node);
            }
        }
    }

    fn primary(&mut self) -> Result<Node, Problem> {
        match self.next() {
            Token::Int(it) => Ok(Node::Literal(it.into())),
            Token::Double(it) => Ok(Node::Literal(it.into())),
            Token::Text(it) => Ok(Node::Literal(it.into())),
            Token::Sign("(") => {
                let node = self.choice()?;
                self.expect(")")?;
                Ok(node)
            }
            Token::Sign("[") => Ok(Node::List(self.listed("]")?)),
            Token::Sign("{") => self.map(),
            Token::Name(name) => self.named(name),
            other => Err(unexpected(&other)),
        }
    }

    fn named(&mut self, name: String) -> Result<Node, Problem> {
        match name.as_str() {
            "true" => Ok(Node::Literal(true.into())),
            "false" => Ok(Node::Literal(false.into())),
            "null" => Ok(Node::Literal(Value::Null)),
            _ if self.variables.contains(&name) => Ok(Node::Name(name)),
            _ if self.eat("(") => self.function(&name),
            "item" | "params" => Ok(Node::Name(name)),
            "inputs" => self.input(),
            "run" => {
                self.expect(".")?;
                match self.name()?.as_str() {
                    "failed" => Ok(Node::RunFailed),
                    other => Err((format!("`run.{other}` is not known"), Some("write `run.failed`".into()))),
                }
            }
            _ => Err((format!("`{name}` is not known here"), Some(NAMES_HINT.into()))),
        }
    }

    fn input(&mut self) -> Result<Node, Problem> {
        let hint = "write `inputs.STEP.value` or `inputs.STEP.status`; `inputs[\"a-step\"]` where a name has a `-`";
        let problem = |what: String| (what, Some(hint.to_string()));
        let step = if self.eat("[") {
            let Token::Text(step) = self.next() else { return Err(problem("a step is named in quotes".into())) };
            self.expect("]")?;
            step
        } else if self.eat(".") {
            self.name()?
        } else {
            return Err(problem("`inputs` stands alone".into()));
        };
        let field = if self.eat(".") { self.name()? } else { String::new() };
        match field.as_str() {
            "value" => Ok(Node::Input(step, InputField::Value)),
            "status" => Ok(Node::Input(step, InputField::Status)),
            "" => Err(problem(format!("`inputs.{step}` is not a value"))),
            other => Err(problem(format!("`inputs.{step}.{other}` is not known"))),
        }
    }

    fn listed(&mut self, end: &str) -> Result<Vec<Node>, Problem> {
        let mut found = Vec::new();
        while !self.eat(end) {
            if !found.is_empty() {
                self.expect(",")?;
            }
            found.push(self.choice()?);
        }
        Ok(found)
    }

    fn map(&mut self) -> Result<Node, Problem> {
        let mut found = Vec::new();
        while !self.eat("}") {
            if !found.is_empty() {
                self.expect(",")?;
            }
            let key = self.choice()?;
            self.expect(":")?;
            found.push((key, self.choice()?));
        }
        Ok(Node::Map(found))
    }

    fn function(&mut self, name: &str) -> Result<Node, Problem> {
        let arguments = self.listed(")")?;
        let (function, count) = match name {
            "has" => return has(arguments),
            "size" => (Function::Size, 1),
            "string" => (Function::Text, 1),
            "int" => (Function::Int, 1),
            "double" => (Function::Double, 1),
            _ => return Err(no_function(name)),
        };
        call(name, function, arguments, count)
    }

    fn method(&mut self, target: Node, name: &str) -> Result<Node, Problem> {
        let each = match name {
            "all" => Each::All,
            "exists" => Each::Exists,
            "exists_one" => Each::ExistsOne,
            "filter" => Each::Filter,
            "map" => Each::Map,
            _ => {
                let mut arguments = vec![target];
                arguments.extend(self.listed(")")?);
                let (function, count) = match name {
                    "size" => (Function::Size, 1),
                    "contains" => (Function::Contains, 2),
                    "startsWith" => (Function::StartsWith, 2),
                    "endsWith" => (Function::EndsWith, 2),
                    _ => return Err(no_function(name)),
                };
                return call(name, function, arguments, count);
            }
        };
        let variable = self.name()?;
        self.expect(",")?;
        self.variables.push(variable.clone());
        let body = self.choice()?;
        self.variables.pop();
        self.expect(")")?;
        Ok(Node::Each(each, Box::new(target), variable, Box::new(body)))
    }
}

fn has(mut arguments: Vec<Node>) -> Result<Node, Problem> {
    match (arguments.pop(), arguments.is_empty()) {
        (Some(Node::Select(of, name)), true) => Ok(Node::Has(of, name)),
        _ => Err(("`has` asks for one field".into(), Some("write `has(item.field)`".into()))),
    }
}

fn call(name: &str, function: Function, arguments: Vec<Node>, count: usize) -> Result<Node, Problem> {
    match arguments.len() == count {
        true => Ok(Node::Call(function, arguments)),
        false => Err((format!("`{name}` has {} arguments, not {count}", arguments.len()), None)),
    }
}

fn no_function(name: &str) -> Problem {
    let hint = "there are size, has, string, int, double, contains, startsWith, endsWith, all, exists, exists_one, filter, map";
    (format!("`{name}` is not a function"), Some(hint.into()))
}

fn unexpected(token: &Token) -> Problem {
    (format!("{} is not expected here", shown(token)), None)
}

fn shown(token: &Token) -> String {
    match token {
        Token::Name(it) => format!("`{it}`"),
        Token::Int(it) => format!("`{it}`"),
        Token::Double(it) => format!("`{it}`"),
        Token::Text(it) => format!("'{it}'"),
        Token::Sign(it) => format!("`{it}`"),
        Token::End => "the end".to_string(),
    }
}

/// Calls `visit` for a node and all its descendants.
pub(super) fn walk(node: &Node, visit: &mut impl FnMut(&Node)) {
    visit(node);
    for below in children(node) {
        walk(below, visit);
    }
}

pub(super) fn children(node: &Node) -> Vec<&Node> {
    match node {
        Node::Literal(_) | Node::Name(_) | Node::Input(..) | Node::RunFailed => Vec::new(),
        Node::List(all) | Node::Call(_, all) => all.iter().collect(),
        Node::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
        Node::Select(of, _) | Node::Has(of, _) | Node::Not(of) | Node::Negative(of) => vec![of],
        Node::Index(left, right) | Node::Binary(_, left, right) | Node::Each(_, left, _, right) => vec![left, right],
        Node::Choice(one, two, three) => vec![one, two, three],
    }
}

//! Checks a condition before its values are known.

use super::{
    parse::{Each, Function, InputField, Node, walk},
    problem::Problem,
};
use crate::definition::yaml::did_you_mean;
use serde_json::Value;

/// How a step that another step needs can have ended.
pub(super) const STATUSES: [&str; 4] = ["completed", "skipped", "failed", "cancelled"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Number,
    Text,
    List,
    Map,
    Null,
    Unknown,
}

impl Type {
    fn words(self) -> &'static str {
        match self {
            Type::Bool => "true or false",
            Type::Number => "a number",
            Type::Text => "a text",
            Type::List => "a list",
            Type::Map => "an object",
            Type::Null => "null",
            Type::Unknown => "a value",
        }
    }

    fn may_be(self, wanted: &[Type]) -> bool {
        self == Type::Unknown || wanted.contains(&self)
    }
}

/// Refuses operators and functions on types that they can't take, and a result that is not a boolean.
pub(super) fn types(root: &Node) -> Result<(), Problem> {
    match type_of(root)? {
        Type::Bool | Type::Unknown => Ok(()),
        other => Err((format!("a condition is true or false, this is {}", other.words()), None)),
    }
}

/// Refuses an expression that can't be a text.
pub(super) fn text(root: &Node) -> Result<(), Problem> {
    match type_of(root)? {
        Type::Text | Type::Unknown => Ok(()),
        other => Err((format!("a text is wanted, this is {}", other.words()), None)),
    }
}

/// Refuses an expression that can't be a list.
pub(super) fn list(root: &Node) -> Result<(), Problem> {
    match type_of(root)? {
        Type::List | Type::Unknown => Ok(()),
        other => Err((format!("`for_each` takes a list, this is {}", other.words()), None)),
    }
}

pub(super) fn inputs(root: &Node, needs: &[&str]) -> Result<(), Problem> {
    let mut problem = None;
    walk(root, &mut |node| {
        let Node::Input(step, _) = node else { return };
        if problem.is_some() || needs.contains(&step.as_str()) {
            return;
        }
        let dashed = needs.iter().find(|it| it.starts_with(&format!("{step}-")));
        let hint = match (dashed, needs) {
            (Some(name), _) => format!("a name with `-` is written `inputs[\"{name}\"]`"),
            (None, []) => "this step needs no other: list the step in `needs`".to_string(),
            (None, needs) => format!("{} (or list it in `needs`)", did_you_mean(step, needs.iter().copied())),
        };
        problem = Some((format!("`inputs.{step}` is not among the steps that this one needs"), Some(hint)));
    });
    problem.map_or(Ok(()), Err)
}

pub(super) fn type_of(node: &Node) -> Result<Type, Problem> {
    Ok(match node {
        Node::Literal(value) => match value {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Number(_) => Type::Number,
            Value::String(_) => Type::Text,
            Value::Array(_) => Type::List,
            Value::Object(_) => Type::Map,
        },
        Node::Name(name) if name == "params" => Type::Map,
        Node::Name(_) | Node::Input(_, InputField::Value) => Type::Unknown,
        Node::Input(_, InputField::Status) => Type::Text,
        Node::RunFailed => Type::Bool,
        Node::List(all) => {
            all.iter().try_for_each(|it| type_of(it).map(|_| ()))?;
            Type::List
        }
        Node::Map(pairs) => {
            for (key, value) in pairs {
                want(key, &[Type::Text], "a key")?;
                type_of(value)?;
            }
            Type::Map
        }
        Node::Select(of, name) => {
            want(of, &[Type::Map], &format!("what `.{name}` is taken from"))?;
            Type::Unknown
        }
        Node::Has(of, _) => {
            want(of, &[Type::Map], "what `has` looks into")?;
            Type::Bool
        }
        Node::Index(of, index) => {
            want(of, &[Type::List, Type::Map], "what `[ ]` is taken from")?;
            want(index, &[Type::Number, Type::Text], "what stands in `[ ]`")?;
            Type::Unknown
        }
        Node::Not(of) => want(of, &[Type::Bool], "what `!` negates")?,
        Node::Negative(of) => want(of, &[Type::Number], "what `-` negates")?,
        Node::Binary(sign, left, right) => binary(sign, left, right)?,
        Node::Choice(condition, yes, no) => {
            want(condition, &[Type::Bool], "what stands before `?`")?;
            let (yes, no) = (type_of(yes)?, type_of(no)?);
            if yes == no { yes } else { Type::Unknown }
        }
        Node::Call(function, arguments) => call(*function, arguments)?,
        Node::Each(each, list, _, body) => {
            want(list, &[Type::List, Type::Map], "what is looped over")?;
            match each {
                Each::Map => {
                    type_of(body)?;
                    Type::List
                }
                Each::Filter => want(body, &[Type::Bool], "what is asked of each").map(|_| Type::List)?,
                Each::All | Each::Exists | Each::ExistsOne => {
                    want(body, &[Type::Bool], "what is asked of each").map(|_| Type::Bool)?
                }
            }
        }
    })
}

fn want(node: &Node, wanted: &[Type], what: &str) -> Result<Type, Problem> {
    let found = type_of(node)?;
    if found.may_be(wanted) {
        return Ok(if found == Type::Unknown && wanted.len() == 1 { wanted[0] } else { found });
    }
    let words: Vec<&str> = wanted.iter().map(|it| it.words()).collect();
    Err((format!("{what} must be {}, not {}", words.join(" or "), found.words()), None))
}

fn binary(sign: &'static str, left: &Node, right: &Node) -> Result<Type, Problem> {
    let side = format!("beside `{sign}`");
    match sign {
        "||" | "&&" => {
            want(left, &[Type::Bool], &format!("what stands {side}"))?;
            want(right, &[Type::Bool], &format!("what stands {side}"))
        }
        "in" => {
            type_of(left)?;
            want(right, &[Type::List, Type::Map], "what stands behind `in`")?;
            Ok(Type::Bool)
        }
        "==" | "!=" => {
            let (one, two) = (type_of(left)?, type_of(right)?);
            statuses(left, right)?;
            statuses(right, left)?;
            let null = one == Type::Null || two == Type::Null;
            if one == two || null || one == Type::Unknown || two == Type::Unknown {
                return Ok(Type::Bool);
            }
            Err((format!("{} is compared with {}", one.words(), two.words()), Some(quotes(one, two).to_string())))
        }
        "<" | "<=" | ">" | ">=" => same(sign, left, right, &[Type::Number, Type::Text, Type::Bool]).map(|_| Type::Bool),
        "+" => same(sign, left, right, &[Type::Number, Type::Text, Type::List]),
        _ => same(sign, left, right, &[Type::Number]),
    }
}

fn quotes(one: Type, two: Type) -> &'static str {
    match (one, two) {
        (Type::Number, Type::Text) | (Type::Text, Type::Number) => "write numbers without quotes, or convert: int(x)",
        (Type::Bool, Type::Text) | (Type::Text, Type::Bool) => "write true and false without quotes",
        _ => "both sides must be of one kind",
    }
}

fn same(sign: &str, left: &Node, right: &Node, wanted: &[Type]) -> Result<Type, Problem> {
    let what = format!("what stands beside `{sign}`");
    let (one, two) = (want(left, wanted, &what)?, want(right, wanted, &what)?);
    match (one, two) {
        (Type::Unknown, other) | (other, Type::Unknown) => Ok(other),
        (one, two) if one == two => Ok(one),
        (one, two) => {
            let message = format!("`{sign}` stands between {} and {}", one.words(), two.words());
            Err((message, Some(quotes(one, two).to_string())))
        }
    }
}

/// A status is one of four words; a comparison with any other word would always be false.
fn statuses(left: &Node, right: &Node) -> Result<(), Problem> {
    match (left, right) {
        (Node::Input(step, InputField::Status), Node::Literal(Value::String(word)))
            if !STATUSES.contains(&word.as_str()) =>
        {
            let hint = did_you_mean(&word.to_lowercase(), STATUSES.iter().copied());
            Err((format!("`inputs.{step}.status` is never '{word}'"), Some(hint)))
        }
        _ => Ok(()),
    }
}

fn call(function: Function, arguments: &[Node]) -> Result<Type, Problem> {
    let texts = |name: &str| {
        arguments.iter().try_for_each(|it| want(it, &[Type::Text], &format!("what `{name}` takes")).map(|_| ()))
    };
    match function {
        Function::Size => {
            want(&arguments[0], &[Type::Text, Type::List, Type::Map], "what `size` takes")?;
            Ok(Type::Number)
        }
        Function::Text => {
            want(&arguments[0], &[Type::Text, Type::Number, Type::Bool], "what `string` takes")?;
            Ok(Type::Text)
        }
        Function::Int | Function::Double => {
            want(&arguments[0], &[Type::Text, Type::Number], "what is made a number")?;
            Ok(Type::Number)
        }
        Function::Contains => texts("contains").map(|()| Type::Bool),
        Function::StartsWith => texts("startsWith").map(|()| Type::Bool),
        Function::EndsWith => texts("endsWith").map(|()| Type::Bool),
    }
}

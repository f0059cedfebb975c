//! Evaluates a condition.

use super::{
    facts::Facts,
    parse::{Each, Function, InputField, Node},
};
use serde_json::{Map, Number, Value};
use std::{borrow::Cow, cell::Cell, cmp::Ordering};

/// The budget of one evaluation, a few milliseconds. A node, an element of a list and 16 bytes of text cost 1 each.
const MOST_WORK: u64 = 200_000;
/// The budget for a list, which is evaluated once for many runs.
const MOST_WORK_OF_A_LIST: u64 = 20_000_000;

type Found<'a> = Result<Cow<'a, Value>, String>;

pub(super) fn judge<'a>(root: &'a Node, facts: &'a Facts<'_>) -> Found<'a> {
    Judge { facts, work: Cell::new(MOST_WORK) }.value(root, &Scope::Whole)
}

/// Evaluates the list of a `for_each`, which may be long.
pub(super) fn judge_list<'a>(root: &'a Node, facts: &'a Facts<'_>) -> Found<'a> {
    Judge { facts, work: Cell::new(MOST_WORK_OF_A_LIST) }.value(root, &Scope::Whole)
}

/// The type of a value, for people.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

struct Judge<'a> {
    facts: &'a Facts<'a>,
    work: Cell<u64>,
}

/// The variables of the enclosing macros, innermost first.
enum Scope<'s, 'a> {
    Whole,
    Variable { name: &'s str, value: Cow<'a, Value>, around: &'s Scope<'s, 'a> },
}

impl<'a> Scope<'_, 'a> {
    fn find(&self, wanted: &str) -> Option<Cow<'a, Value>> {
        match self {
            Scope::Whole => None,
            Scope::Variable { name, value, .. } if *name == wanted => Some(value.clone()),
            Scope::Variable { around, .. } => around.find(wanted),
        }
    }
}

fn yes<'a>(it: bool) -> Found<'a> {
    Ok(Cow::Owned(Value::Bool(it)))
}

impl<'a> Judge<'a> {
    fn spend(&self, work: usize) -> Result<(), String> {
        let left = self.work.get().checked_sub(work as u64 + 1);
        self.work.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| "it takes too long with these values".to_string())
    }

    fn value(&self, node: &'a Node, scope: &Scope<'_, 'a>) -> Found<'a> {
        self.spend(0)?;
        match node {
            Node::Literal(value) => Ok(Cow::Borrowed(value)),
            Node::Name(name) => self.named(name, scope),
            Node::Input(step, field) => self.input(step, *field),
            Node::RunFailed => yes(self.facts.run_failed),
            Node::List(all) => {
                let all = all.iter().map(|it| self.owned(self.value(it, scope)?));
                Ok(Cow::Owned(Value::Array(all.collect::<Result<_, _>>()?)))
            }
            Node::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| {
                    let key = self.value(key, scope)?;
                    let key = self.text(&key, "a key")?.to_string();
                    Ok((key, self.owned(self.value(value, scope)?)?))
                });
                Ok(Cow::Owned(Value::Object(pairs.collect::<Result<Map<_, _>, String>>()?)))
            }
            Node::Select(of, name) => {
                let of = self.value(of, scope)?;
                self.field(of, name)
            }
            Node::Has(of, name) => match self.value(of, scope)?.as_ref() {
                Value::Object(map) => yes(map.contains_key(name)),
                other => Err(format!("`has` looks for `{name}` in {}", kind(other))),
            },
            Node::Index(of, index) => {
                let (of, index) = (self.value(of, scope)?, self.value(index, scope)?);
                self.element(of, &index)
            }
            Node::Not(of) => yes(!self.bool(of, scope)?),
            Node::Negative(of) => match self.value(of, scope)?.as_ref() {
                Value::Number(it) => self.number(&0.into(), "-", it),
                other => Err(format!("`-` negates {}", kind(other))),
            },
            Node::Binary("||", left, right) => self.either(left, right, true, scope),
            Node::Binary("&&", left, right) => self.either(left, right, false, scope),
            Node::Binary(sign, left, right) => {
                let (left, right) = (self.value(left, scope)?, self.value(right, scope)?);
                self.binary(sign, &left, &right)
            }
            Node::Choice(condition, one, two) => {
                let chosen = if self.bool(condition, scope)? { one } else { two };
                self.value(chosen, scope)
            }
            Node::Call(function, arguments) => self.call(*function, arguments, scope),
            Node::Each(each, list, variable, body) => self.each(*each, list, variable, body, scope),
        }
    }

    fn named(&self, name: &str, scope: &Scope<'_, 'a>) -> Found<'a> {
        match scope.find(name) {
            Some(Cow::Owned(value)) => Ok(Cow::Owned(self.owned(Cow::Owned(value))?)),
            Some(value) => Ok(value),
            None if name == "item" => Ok(Cow::Borrowed(self.facts.item.as_ref())),
            None => Ok(Cow::Borrowed(self.facts.params.as_ref())),
        }
    }

    fn input(&self, step: &str, field: InputField) -> Found<'a> {
        let found = self.facts.inputs.get(step);
        let (value, status) = found.ok_or_else(|| format!("`inputs.{step}` has no value here"))?;
        Ok(match field {
            InputField::Value => Cow::Borrowed(value),
            InputField::Status => Cow::Owned((*status).into()),
        })
    }

    /// An owned value, charged by its size.
    fn owned(&self, value: Cow<'a, Value>) -> Result<Value, String> {
        self.weigh(&value)?;
        Ok(value.into_owned())
    }

    fn weigh(&self, value: &Value) -> Result<(), String> {
        match value {
            Value::Array(all) => {
                self.spend(all.len())?;
                all.iter().try_for_each(|it| self.weigh(it))
            }
            Value::Object(map) => {
                self.spend(map.len())?;
                map.iter().try_for_each(|(key, it)| {
                    self.spend(key.len() / 16)?;
                    self.weigh(it)
                })
            }
            Value::String(text) => self.spend(text.len() / 16),
            _ => self.spend(0),
        }
    }

    fn field(&self, of: Cow<'a, Value>, name: &str) -> Found<'a> {
        let missing = || format!("there is no field `{name}`");
        match of {
            Cow::Borrowed(Value::Object(map)) => map.get(name).map(Cow::Borrowed).ok_or_else(missing),
            Cow::Owned(Value::Object(mut map)) => map.remove(name).map(Cow::Owned).ok_or_else(missing),
            other => Err(format!("`.{name}` is taken from {}", kind(&other))),
        }
    }

    fn element(&self, of: Cow<'a, Value>, index: &Value) -> Found<'a> {
        match (of.as_ref(), index) {
            (Value::Object(_), Value::String(name)) => self.field(of, name),
            (Value::Array(all), Value::Number(at)) => {
                let at = at.as_u64().and_then(|it| usize::try_from(it).ok()).filter(|it| *it < all.len());
                let at = at.ok_or_else(|| format!("there is no element {index} in a list of {}", all.len()))?;
                Ok(match of {
                    Cow::Borrowed(Value::Array(all)) => Cow::Borrowed(&all[at]),
                    Cow::Owned(Value::Array(mut all)) => Cow::Owned(all.swap_remove(at)),
                    other => other,
                })
            }
            (of, index) => Err(format!("{} is taken from {}", kind(index), kind(of))),
        }
    }

    fn bool(&self, node: &'a Node, scope: &Scope<'_, 'a>) -> Result<bool, String> {
        match self.value(node, scope)?.as_ref() {
            Value::Bool(it) => Ok(*it),
            other => Err(format!("{} stands where true or false belongs", kind(other))),
        }
    }

    /// `||` and `&&`: a side that decides the result outweighs an error on the other side.
    fn either(&self, left: &'a Node, right: &'a Node, decides: bool, scope: &Scope<'_, 'a>) -> Found<'a> {
        match self.bool(left, scope) {
            Ok(it) if it == decides => yes(decides),
            Ok(_) => yes(self.bool(right, scope)?),
            Err(error) => match self.bool(right, scope) {
                Ok(it) if it == decides => yes(decides),
                _ => Err(error),
            },
        }
    }

    fn binary(&self, sign: &str, left: &Value, right: &Value) -> Found<'a> {
        match sign {
            "==" => yes(self.equal(left, right)?),
            "!=" => yes(!self.equal(left, right)?),
            "in" => match right {
                Value::Array(all) => {
                    for it in all {
                        if self.equal(left, it)? {
                            return yes(true);
                        }
                    }
                    yes(false)
                }
                Value::Object(map) => yes(left.as_str().is_some_and(|it| map.contains_key(it))),
                other => Err(format!("`in` looks into {}", kind(other))),
            },
            "<" | "<=" | ">" | ">=" => {
                let order = self.order(sign, left, right)?;
                yes(match sign {
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
            _ => match (left, right) {
                (Value::Number(left), Value::Number(right)) => self.number(left, sign, right),
                (Value::String(left), Value::String(right)) if sign == "+" => {
                    self.spend((left.len() + right.len()) / 16)?;
                    Ok(Cow::Owned(format!("{left}{right}").into()))
                }
                (Value::Array(left_all), Value::Array(right_all)) if sign == "+" => {
                    self.weigh(left)?;
                    self.weigh(right)?;
                    Ok(Cow::Owned(Value::Array([&left_all[..], right_all].concat())))
                }
                (left, right) => Err(format!("`{sign}` stands between {} and {}", kind(left), kind(right))),
            },
        }
    }

    fn equal(&self, left: &Value, right: &Value) -> Result<bool, String> {
        self.spend(0)?;
        match (left, right) {
            (Value::Number(left), Value::Number(right)) => Ok(order_of(left, right) == Some(Ordering::Equal)),
            (Value::String(left), Value::String(right)) => {
                self.spend(left.len().min(right.len()) / 16)?;
                Ok(left == right)
            }
            (Value::Array(left), Value::Array(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (left, right) in left.iter().zip(right) {
                    if !self.equal(left, right)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Object(left), Value::Object(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (name, left) in left {
                    self.spend(name.len() / 16)?;
                    match right.get(name) {
                        Some(right) if self.equal(left, right)? => (),
                        _ => return Ok(false),
                    }
                }
                Ok(true)
            }
            (left, right) => Ok(left == right),
        }
    }

    fn order(&self, sign: &str, left: &Value, right: &Value) -> Result<Ordering, String> {
        let refused = || format!("`{sign}` stands between {} and {}", kind(left), kind(right));
        match (left, right) {
            (Value::Number(left), Value::Number(right)) => order_of(left, right).ok_or_else(refused),
            (Value::String(left), Value::String(right)) => {
                self.spend(left.len().min(right.len()) / 16)?;
                Ok(left.cmp(right))
            }
            (Value::Bool(left), Value::Bool(right)) => Ok(left.cmp(right)),
            _ => Err(refused()),
        }
    }

    /// Integers stay integers, and overflow is an error.
    fn number(&self, left: &Number, sign: &str, right: &Number) -> Found<'a> {
        let whole = left.as_i64().zip(right.as_i64());
        let found = match (whole, sign) {
            (Some((_, 0)), "/" | "%") => return Err(format!("`{sign}` divides by 0")),
            (Some((left, right)), _) => match sign {
                "+" => left.checked_add(right),
                "-" => left.checked_sub(right),
                "*" => left.checked_mul(right),
                "/" => left.checked_div(right),
                _ => left.checked_rem(right),
            }
            .map(Number::from),
            (None, "%") => return Err("`%` takes whole numbers".to_string()),
            (None, _) => {
                let (left, right) = (left.as_f64().unwrap_or(f64::NAN), right.as_f64().unwrap_or(f64::NAN));
                Number::from_f64(match sign {
                    "+" => left + right,
                    "-" => left - right,
                    "*" => left * right,
                    _ => left / right,
                })
            }
        };
        found.map(|it| Cow::Owned(it.into())).ok_or_else(|| format!("{left} {sign} {right} is not a number"))
    }

    fn text<'v>(&self, value: &'v Value, what: &str) -> Result<&'v str, String> {
        value.as_str().ok_or_else(|| format!("{what} is {}, not a text", kind(value)))
    }

    fn call(&self, function: Function, arguments: &'a [Node], scope: &Scope<'_, 'a>) -> Found<'a> {
        let first = self.value(&arguments[0], scope)?;
        let second = arguments.get(1).map(|it| self.value(it, scope)).transpose()?;
        if let Value::String(text) = first.as_ref() {
            self.spend(text.len() / 16)?;
        }
        let texts = |name: &str| {
            let what = format!("what `{name}` takes");
            let second = second.as_deref().unwrap_or(&Value::Null);
            Ok::<_, String>((self.text(&first, &what)?.to_string(), self.text(second, &what)?.to_string()))
        };
        match function {
            Function::Contains => texts("contains").and_then(|(text, part)| yes(text.contains(&part))),
            Function::StartsWith => texts("startsWith").and_then(|(text, part)| yes(text.starts_with(&part))),
            Function::EndsWith => texts("endsWith").and_then(|(text, part)| yes(text.ends_with(&part))),
            Function::Size => match first.as_ref() {
                Value::String(text) => Ok(Cow::Owned(text.chars().count().into())),
                Value::Array(all) => Ok(Cow::Owned(all.len().into())),
                Value::Object(map) => Ok(Cow::Owned(map.len().into())),
                other => Err(format!("`size` takes {}", kind(other))),
            },
            Function::Text => match first.as_ref() {
                Value::String(_) => Ok(first),
                Value::Number(_) | Value::Bool(_) => Ok(Cow::Owned(first.to_string().into())),
                other => Err(format!("`string` takes {}", kind(other))),
            },
            Function::Int => int(&first).map(|it| Cow::Owned(it.into())),
            Function::Double => {
                let found = match first.as_ref() {
                    Value::Number(it) => it.as_f64(),
                    Value::String(it) => it.trim().parse().ok(),
                    _ => None,
                };
                let found = found.and_then(Number::from_f64);
                found.map(|it| Cow::Owned(it.into())).ok_or_else(|| format!("{first} is not a number"))
            }
        }
    }

    fn each(&self, each: Each, list: &'a Node, variable: &'a str, body: &'a Node, scope: &Scope<'_, 'a>) -> Found<'a> {
        let list = self.value(list, scope)?;
        let elements: Vec<Cow<'a, Value>> = match list {
            Cow::Borrowed(Value::Array(all)) => all.iter().map(Cow::Borrowed).collect(),
            Cow::Owned(Value::Array(all)) => all.into_iter().map(Cow::Owned).collect(),
            // For an object, its keys are checked, as in CEL.
            Cow::Borrowed(Value::Object(map)) => map.keys().map(|it| Cow::Owned(it.as_str().into())).collect(),
            Cow::Owned(Value::Object(map)) => map.into_iter().map(|it| Cow::Owned(it.0.into())).collect(),
            other => return Err(format!("a loop goes over {}", kind(&other))),
        };
        let (mut found, mut count) = (Vec::new(), 0);
        for element in elements {
            self.spend(0)?;
            let inner = Scope::Variable { name: variable, value: element.clone(), around: scope };
            match each {
                Each::Map => found.push(self.owned(self.value(body, &inner)?)?),
                Each::Filter => {
                    if self.bool(body, &inner)? {
                        found.push(self.owned(element)?);
                    }
                }
                Each::All if !self.bool(body, &inner)? => return yes(false),
                Each::Exists if self.bool(body, &inner)? => return yes(true),
                Each::ExistsOne if self.bool(body, &inner)? => count += 1,
                Each::All | Each::Exists | Each::ExistsOne => (),
            }
        }
        match each {
            Each::Map | Each::Filter => Ok(Cow::Owned(Value::Array(found))),
            Each::All => yes(true),
            Each::Exists => yes(false),
            Each::ExistsOne => yes(count == 1),
        }
    }
}

fn order_of(left: &Number, right: &Number) -> Option<Ordering> {
    match left.as_i64().zip(right.as_i64()) {
        Some((left, right)) => Some(left.cmp(&right)),
        None => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// Decimals are truncated.
fn int(value: &Value) -> Result<i64, String> {
    let found = match value {
        Value::Number(it) => it.as_i64().or_else(|| {
            let whole = it.as_f64()?.trunc();
            (whole.abs() < 9e15).then_some(whole as i64)
        }),
        Value::String(it) => it.trim().parse().ok(),
        _ => None,
    };
    found.ok_or_else(|| format!("{value} is not a whole number"))
}

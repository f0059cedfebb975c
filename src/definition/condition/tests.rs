use super::*;
use crate::definition::MASK;
use proptest::prelude::*;
use serde_json::json;
use std::borrow::Cow;
use std::time::{Duration, Instant};

fn facts() -> Facts<'static> {
    let inputs = [
        ("sort", (json!({"kind": "pdf", "pages": 12, "tags": ["a", "b"]}), "completed")),
        ("left", (Value::Null, "skipped")),
        ("may-fail", (Value::Null, "failed")),
    ];
    Facts {
        item: Cow::Owned(json!({"name": "a.pdf", "size": 3, "deep": {"n": 1.5}, "token": "hush"})),
        params: Cow::Owned(json!({"min": 10, "mode": "fast"})),
        inputs: inputs.into_iter().map(|(name, it)| (name.to_string(), it)).collect(),
        run_failed: false,
    }
}

fn judged(text: &str) -> Result<bool, String> {
    Condition::parse(text).unwrap_or_else(|(message, _)| panic!("{text}: {message}")).judge(&facts())
}

#[test]
fn conditions_mean_what_cel_says() {
    let table = [
        ("inputs.sort.value.kind == 'pdf' && inputs.sort.value.pages > params.min", true),
        ("inputs.left.status == 'skipped' && inputs.left.value == null", true),
        ("inputs[\"may-fail\"].status != 'completed'", true),
        ("!run.failed", true),
        ("item.name.endsWith('.pdf') || item.missing == 1", true),
        ("item.missing == 1 || item.name.startsWith('a')", true),
        ("item.missing == 1 && false", false),
        ("has(item.missing)", false),
        ("has(item.deep.n) && item.deep.n * 2 == 3", true),
        ("'b' in inputs.sort.value.tags && 'name' in item", true),
        ("inputs.sort.value.tags.all(it, size(it) == 1)", true),
        ("inputs.sort.value.tags.exists_one(it, it == 'a')", true),
        ("inputs.sort.value.tags.filter(it, it > 'a') == ['b']", true),
        ("inputs.sort.value.tags.map(it, it + '!')[1] == 'b!'", true),
        ("[[1, 2], [3]].exists(row, row.exists(it, it == 3))", true),
        ("item.size == 3.0 && 7 / 2 == 3 && 7 % 2 == 1 && -(-2) == 2", true),
        ("1 + 2 * 3 == 7 && (1 + 2) * 3 == 9", true),
        ("true ? false : true", false),
        ("params.mode == \"fast\" ? item.size < 4 : false", true),
        ("int('12') + 1 == 13 && string(4) + '2' == '42' && double('0.5') < 1", true),
        ("{'a': [1, {'b': 2}]} == {'a': [1, {'b': 2.0}]}", true),
        ("inputs.sort.value[\"kind\"].contains('d') && size('äö') == 2", true),
        ("true || false && false", true),
    ];
    for (text, wanted) in table {
        assert_eq!(judged(text), Ok(wanted), "{text}");
    }
}

#[test]
fn what_has_no_answer_says_why() {
    let table = [
        ("item.missing == 1", "there is no field `missing`"),
        ("item.size > 'a'", "`>` stands between a number and a text"),
        ("inputs.left.value.pages > 3", "`.pages` is taken from null"),
        ("item.name", "it is a text, which is neither true nor false"),
        ("item.name && true", "a text stands where true or false belongs"),
        ("inputs.sort.value.tags[2] == 'c'", "there is no element 2 in a list of 2"),
        ("item.size / 0 == 1", "`/` divides by 0"),
        ("9223372036854775807 + item.size == 1", "9223372036854775807 + 3 is not a number"),
        ("int(item.name) == 1", "\"a.pdf\" is not a whole number"),
    ];
    for (text, wanted) in table {
        assert_eq!(judged(text), Err(wanted.to_string()), "{text}");
    }
}

#[test]
fn what_can_never_be_right_is_refused_when_it_is_read() {
    let table = [
        ("", "a condition is missing"),
        ("itm.x == 1", "`itm` is not known here"),
        ("run.ok", "`run.ok` is not known"),
        ("inputs.sort.dir == ''", "`inputs.sort.dir` is not known"),
        ("inputs.sort", "`inputs.sort` is not a value"),
        ("item.x = 1", "`=` has no meaning here"),
        ("{{ item }}", "a condition is written without `{{ }}`"),
        ("1 + 2", "a condition is true or false, this is a number"),
        ("run.failed == 'true'", "true or false is compared with a text"),
        ("item.x > 1 + 'a'", "`+` stands between a number and a text"),
        ("inputs.sort.status == 'COMPLETED'", "`inputs.sort.status` is never 'COMPLETED'"),
        ("item.name.matches('a.*')", "`matches` is not a function"),
        ("size(1) > 2", "what `size` takes must be a text or a list or an object, not a number"),
        ("(item", "`)` is missing before the end"),
        ("item.x == 'a", "a quote is not closed"),
        ("item.x == 1 2", "`2` is not expected here"),
        ("!item.x == 99999999999999999999", "the number 99999999999999999999 is too large"),
    ];
    for (text, wanted) in table {
        let refused = Condition::parse(text).map_err(|it| it.0).map(String::from);
        assert_eq!(refused.map_err(|it| it.to_string()), Err(wanted.to_string()), "{text}");
    }
    let condition = Condition::parse("inputs.may.status == 'failed'").unwrap();
    let (message, hint) = condition.check(&["may-fail"]).unwrap_err();
    assert_eq!(message, "`inputs.may` is not among the steps that this one needs");
    assert_eq!(hint.as_deref(), Some("a name with `-` is written `inputs[\"may-fail\"]`"));
    assert!(Condition::parse("inputs[\"may-fail\"].value == 1").unwrap().check(&["may-fail"]).is_ok());
}

#[test]
fn size_depth_and_work_are_bounded() {
    let refused = |text: String| Condition::parse(&text).unwrap_err().0;
    assert!(refused(format!("item == '{}'", "x".repeat(5_000))).contains("may have 4096 bytes"));
    assert!(refused(format!("{}true{}", "(".repeat(40), ")".repeat(40))).contains("32 levels"));
    assert!(refused(format!("{}true", "!".repeat(40))).contains("32 levels"));
    assert!(refused(format!("true{}", " && true".repeat(200))).contains("in a row"));
    let many: Value = (0..2_000).collect();
    let facts = Facts { item: Cow::Owned(many), ..facts() };
    let began = Instant::now();
    let heavy = "item.all(a, item.all(b, item.all(c, a + b + c < 0 || true)))";
    assert_eq!(Condition::parse(heavy).unwrap().judge(&facts), Err("it takes too long with these values".into()));
    let doubled = "item.map(a, item).map(b, item).map(c, item).size() > 0";
    assert_eq!(Condition::parse(doubled).unwrap().judge(&facts), Err("it takes too long with these values".into()));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn what_a_condition_saw_is_short_and_has_no_secrets() {
    let text = "item.name == 'x' && has(item.missing) && item.token == 'a' && inputs.sort.value.pages > params.min && run.failed";
    let seen = Condition::parse(text).unwrap().seen(&facts());
    let wanted = json!({
        "item.name": "a.pdf", "item.token": MASK,
        "item": {"name": "a.pdf", "size": 3, "deep": {"n": 1.5}, "token": MASK}, "inputs.sort.value.pages": 12, "params.min": 10, "run.failed": false,
    });
    assert_eq!(Value::Object(seen), wanted);
    let long = Facts { item: Cow::Owned(json!("x".repeat(10_000))), ..facts() };
    let seen = Condition::parse("item == ''").unwrap().seen(&long);
    assert!(seen["item"].as_str().unwrap().len() < 300);
}

#[test]
fn parameters_and_the_item_that_it_asks_for_are_known() {
    let condition = Condition::parse("params.a == 1 && has(params.b) && params.b.c == 2").unwrap();
    assert_eq!(condition.parameters(), ["a"]);
    assert!(!condition.asks_for_item());
    assert!(Condition::parse("[1].exists(it, it == item.n)").unwrap().asks_for_item());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_what_is_read_is_judged(text in "[a-z0-9.()\\[\\]!&|=<>+*/ '?:,{}-]{0,60}") {
        if let Ok(condition) = Condition::parse(&text) {
            let _ = condition.judge(&facts());
            prop_assert_eq!(Condition::parse(condition.source()).unwrap(), condition);
        }
    }
}

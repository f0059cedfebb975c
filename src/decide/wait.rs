//! How the wait of a step ends: by a timeout or by an answer.

use crate::model::{Answer, Millis, Otherwise, Outcome, WaitKind};
use serde_json::{Value, json};

/// How a wait ends.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// The step completes with this value.
    Complete(Option<Value>),
    /// The step fails permanently.
    Fail(Outcome),
}

/// How a step ends when its time is up. `within` is its time limit; `signal` is the name of the signal that it waited
/// for.
pub fn time_is_up(kind: WaitKind, otherwise: Otherwise, within: Option<Millis>, signal: &str) -> End {
    if kind == WaitKind::Time || otherwise == Otherwise::Complete {
        return End::Complete(None);
    }
    let within = within.map(|it| format!(" within {it}")).unwrap_or_default();
    End::Fail(match kind {
        WaitKind::Time | WaitKind::Approval => Outcome::permanent("not_answered", format!("no answer came{within}")),
        WaitKind::Signal => Outcome::permanent("no_signal", format!("the signal `{signal}` did not come{within}")),
        WaitKind::Children => Outcome::permanent("children", format!("its children did not end{within}")),
    })
}

/// The state of a step that receives an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    /// None if it does not wait.
    pub waits_for: Option<WaitKind>,
    /// The answer that it already has.
    pub answer: Option<Answer>,
    /// How it ended, in words. None if it has not ended.
    pub ended: Option<&'static str>,
}

/// What happens to an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Take,
    /// It equals the answer that the step already has.
    Same(Answer),
    /// Why it is refused: the rest of a sentence that begins with the step.
    Refuse(String),
}

/// The first answer counts. Repeating it is accepted; a different answer is refused, and the message names the first.
pub fn answer(before: &Before, new: &Answer) -> Verdict {
    match before {
        Before { waits_for: Some(WaitKind::Approval), .. } => Verdict::Take,
        Before { waits_for: Some(other), .. } => {
            Verdict::Refuse(format!("waits for {}, not for an approval", other.words()))
        }
        Before { answer: Some(first), .. } if first.is_like(new) => Verdict::Same(first.clone()),
        Before { answer: Some(first), .. } => Verdict::Refuse(format!("was already {}", first.words())),
        Before { ended: Some(how), .. } => Verdict::Refuse(format!("is {how}: it does not wait for an approval")),
        Before { ended: None, .. } => Verdict::Refuse("does not wait for an approval now".to_string()),
    }
}

/// How an answer ends the step. The value of an approval without a value says who approved and when.
pub fn answered(answer: &Answer) -> End {
    match answer.approved {
        true => {
            let who = || json!({"by": answer.by, "at": answer.at});
            End::Complete(Some(answer.value.clone().unwrap_or_else(who)))
        }
        false => End::Fail(Outcome::permanent("rejected", answer.words())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn said(approved: bool, by: &str, reason: &str) -> Answer {
        Answer { approved, by: by.into(), at: None, value: None, reason: reason.into() }
    }

    #[test]
    fn the_first_answer_counts_and_only_its_repetition_is_right() {
        let yes = Answer { at: Some(Timestamp(5)), ..said(true, "anna", "") };
        let open = |waits_for| Before { waits_for, answer: None, ended: None };
        let ended = |answer| Before { waits_for: None, answer, ended: Some("failed") };
        let refuse = |why: &str| Verdict::Refuse(why.into());
        let table = [
            (open(Some(WaitKind::Approval)), Verdict::Take),
            (open(Some(WaitKind::Time)), refuse("waits for a time, not for an approval")),
            (open(Some(WaitKind::Children)), refuse("waits for its children, not for an approval")),
            (open(None), refuse("does not wait for an approval now")),
            (ended(None), refuse("is failed: it does not wait for an approval")),
            (ended(Some(yes.clone())), Verdict::Same(yes)),
            (ended(Some(said(true, "bob", ""))), refuse("was already approved by bob")),
            (ended(Some(said(false, "anna", "no"))), refuse("was already rejected by anna: no")),
        ];
        for (before, verdict) in table {
            assert_eq!(answer(&before, &said(true, "anna", "")), verdict, "{before:?}");
        }
    }

    #[test]
    fn an_approval_says_who_gave_it_unless_it_has_a_value() {
        let yes = Answer { at: Some(Timestamp(5)), ..said(true, "anna", "") };
        assert_eq!(answered(&yes), End::Complete(Some(json!({"by": "anna", "at": 5}))));
        let valued = Answer { value: Some(json!(3)), ..yes };
        assert_eq!(answered(&valued), End::Complete(Some(json!(3))));
        assert_eq!(
            answered(&said(false, "bob", "no")),
            End::Fail(Outcome::permanent("rejected", "rejected by bob: no"))
        );
    }

    #[test]
    fn a_wait_whose_time_is_up_completes_or_fails_as_its_step_says() {
        let week = Some(Millis::minutes(7 * 24 * 60));
        let failed = |kind: &str, message: &str| End::Fail(Outcome::permanent(kind, message));
        let table = [
            (WaitKind::Time, Otherwise::Complete, None, End::Complete(None)),
            (WaitKind::Time, Otherwise::Fail, None, End::Complete(None)),
            (WaitKind::Approval, Otherwise::Complete, week, End::Complete(None)),
            (WaitKind::Approval, Otherwise::Fail, week, failed("not_answered", "no answer came within 7d")),
            (WaitKind::Approval, Otherwise::Fail, None, failed("not_answered", "no answer came")),
            (WaitKind::Signal, Otherwise::Complete, week, End::Complete(None)),
            (WaitKind::Signal, Otherwise::Fail, week, failed("no_signal", "the signal `go` did not come within 7d")),
            (WaitKind::Children, Otherwise::Fail, week, failed("children", "its children did not end within 7d")),
        ];
        for (kind, otherwise, within, end) in table {
            assert_eq!(time_is_up(kind, otherwise, within, "go"), end, "{kind:?} {otherwise:?}");
        }
    }
}

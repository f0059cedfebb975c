//! What keeps a step from getting a slot: the steps ahead of it, and commands that wait for other work while they hold one.

use super::wording::{count, duration, number_of};
use crate::{
    definition::{Action, Definition},
    engine::Engine,
    model::{GroupId, Millis, StepId},
    store::{definition, read},
};

/// Running steps that are looked at.
const STEPS: usize = 20;

/// Why a pool may stay full, and a command that tells more.
pub(super) fn trap(engine: &Engine) -> Option<(String, String)> {
    let step = held_by_a_waiting_command(engine)?;
    let text = format!("{step} holds a slot while it waits for other work; `for_each` and `workflow` wait without one");
    Some((text, format!("windlass show {step}")))
}

/// What will be claimed before a step, and how long that takes at the current rate, unless the queue is not moving.
pub(super) fn queue(ahead: &read::Ahead, own: GroupId, stands: bool) -> String {
    let least = if ahead.more { "at least " } else { "" };
    let groups = ahead.groups.iter().map(|it| match it.group == own {
        true => format!("{} of its own group", number_of(it.steps as u64)),
        false => format!("{} of {}", number_of(it.steps as u64), it.group),
    });
    let of = groups.collect::<Vec<_>>().join(", ");
    let verb = if ahead.steps == 1 { "is" } else { "are" };
    let mut text = format!("{least}{} {verb} ahead of it: {of}", count(ahead.steps as u64, "step"));
    if let Some(rate) = ahead.per_minute.filter(|it| *it > 0.0 && !stands) {
        let wait = Millis((ahead.steps as f64 * 60_000.0 / rate) as u64);
        text.push_str(&format!("; at the present rate it starts in about {}", duration(wait)));
    }
    text
}

/// A running step of which the command starts or awaits work of its home: `windlass run` or `windlass wait`. Only its text is looked at, so a
/// script that does the same is not seen.
fn held_by_a_waiting_command(engine: &Engine) -> Option<StepId> {
    let running = engine.store().read(|tx| read::running_steps(tx, STEPS)).unwrap_or_default();
    let waits = |it: &read::RunningStep| {
        let stored = engine.store().read(|tx| definition::of_id(tx, it.definition)).ok()?;
        let definition = Definition::from_stored(&stored.body, &stored.hash).ok()?;
        Some(waits(&definition.steps.get(it.no)?.action))
    };
    running.iter().find(|it| waits(it).unwrap_or(false)).map(|it| it.step)
}

fn waits(action: &Action) -> bool {
    let Action::Run(command) = action else { return false };
    let text: Vec<&str> = command.templates().iter().map(|it| it.source()).collect();
    let words: Vec<String> = text.join(" ").split_whitespace().map(str::to_string).collect();
    words.windows(2).any(|pair| {
        let program = pair[0].rsplit(['/', '(', '`', '"', '\'', '=']).next().unwrap_or_default();
        program == "windlass" && matches!(pair[1].as_str(), "wait" | "run")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{KnownKinds, parse};

    #[test]
    fn a_command_that_waits_for_its_home_is_known_by_its_words() {
        for (run, waits_too) in [
            ("windlass submit b.yaml && windlass wait g2", true),
            ("x=$(windlass run b.yaml)", true),
            ("/usr/local/bin/windlass run --resume g3", true),
            ("windlass status", false),
            ("echo windlass; wait", false),
        ] {
            let text = format!("id: a\nsteps: [{{ name: b, run: '{run}' }}]");
            let definition = parse(&text, "a", &KnownKinds::default()).unwrap();
            assert_eq!(waits(&definition.steps[0].action), waits_too, "{run}");
        }
    }
}

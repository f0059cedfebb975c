//! Whether a run of one definition can continue under another. The steps must have the same names, needs and types.

use super::workflow::{Action, Definition, StepDefinition};
use crate::model::WorkerLimits;

impl Definition {
    /// Whether two files that parse to these definitions mean the same. Limits of worker processes are ignored, because
    /// the settings fill them in where a file does not set them.
    pub fn says_the_same(&self, other: &Definition) -> bool {
        let without_limits = |it: &Definition| {
            let mut it = it.clone();
            it.workers.values_mut().for_each(|worker| worker.limits = WorkerLimits::default());
            it.hash()
        };
        without_limits(self) == without_limits(other)
    }

    /// The first difference that prevents a run of this definition from continuing under `new`, as a step and a key.
    /// None if it can.
    pub fn difference(&self, new: &Definition) -> Option<String> {
        let names = |it: &Definition| it.steps.iter().map(|step| step.name.clone()).collect::<Vec<_>>();
        let (old_names, new_names) = (names(self), names(new));
        if let Some(gone) = old_names.iter().find(|it| !new_names.contains(it)) {
            return Some(format!("the step `{gone}` is missing"));
        }
        if let Some(added) = new_names.iter().find(|it| !old_names.contains(it)) {
            return Some(format!("the step `{added}` is new"));
        }
        let pairs = || self.steps.iter().zip(&new.steps);
        for step in &new.steps {
            let before = self.steps.iter().find(|it| it.name == step.name)?;
            let (was, is) = (needs(self, before), needs(new, step));
            if sorted(&was) != sorted(&is) {
                return Some(format!("`needs` of step `{}` is {}, it was {}", step.name, list(&is), list(&was)));
            }
            let name = &step.name;
            match (&before.action, &step.action) {
                (Action::Children(was), Action::Children(is)) => {
                    if let Some(difference) = was.difference(is) {
                        return Some(format!("in the runs that step `{name}` starts: {difference}"));
                    }
                }
                (Action::Children(_), _) => {
                    return Some(format!("step `{name}` started runs of its own, and no longer does"));
                }
                (_, Action::Children(_)) => {
                    return Some(format!("step `{name}` starts runs of its own, and did not before"));
                }
                _ => {}
            }
            if before.step_type != step.step_type {
                let (was, is) = (&before.step_type, &step.step_type);
                return Some(format!("`type` of step `{}` is `{is}`, it was `{was}`", step.name));
            }
        }
        let collected = match (&self.collect, &new.collect) {
            (Some(was), Some(is)) => was.difference(is).map(|it| format!("in `collect`: {it}")),
            (None, Some(_)) => Some("`collect` is new".to_string()),
            (Some(_), None) => Some("`collect` is missing".to_string()),
            (None, None) => None,
        };
        if collected.is_some() {
            return collected;
        }
        let moved = pairs().find(|(before, step)| before.name != step.name);
        moved.map(|(before, step)| format!("step `{}` stands where step `{}` stood", step.name, before.name))
    }
}

fn needs<'a>(definition: &'a Definition, step: &StepDefinition) -> Vec<&'a str> {
    step.needs.iter().filter_map(|it| definition.steps.get(*it)).map(|it| it.name.as_str()).collect()
}

fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

fn list(names: &[&str]) -> String {
    format!("[{}]", names.join(", "))
}

#[cfg(test)]
mod tests {
    use crate::definition::{KnownKinds, parse};

    #[test]
    fn the_first_difference_that_matters_is_named() {
        let kinds = KnownKinds::new(["k"; 0]);
        let read = |steps: &str| parse(&format!("id: a\nsteps: [{steps}]"), "a", &kinds).unwrap();
        let old = read("{name: a, run: x}, {name: b, run: y}, {name: c, run: z, needs: a}");
        for (steps, difference) in [
            ("{name: a, run: x, retries: 3}, {name: b, run: other}, {name: c, run: z, needs: a, timeout: 1s}", None),
            ("{name: a, run: x}, {name: b, run: y}", Some("the step `c` is missing")),
            (
                "{name: a, run: x}, {name: b, run: y}, {name: c, run: z, needs: a}, {name: d, run: z}",
                Some("the step `d` is new"),
            ),
            ("{name: a, run: x}, {name: b, run: y}, {name: c, run: z}", Some("`needs` of step `c` is [b], it was [a]")),
            (
                "{name: a, run: x}, {name: b, run: y, type: t}, {name: c, run: z, needs: a}",
                Some("`type` of step `b` is `t`, it was `b`"),
            ),
            (
                "{name: a, run: x}, {name: c, run: z, needs: a}, {name: b, run: y, needs: a}",
                Some("step `c` stands where step `b` stood"),
            ),
        ] {
            assert_eq!(old.difference(&read(steps)).as_deref(), difference, "{steps}");
        }
    }
}

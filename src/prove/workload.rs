//! The work of a drill: workflows of every shape, submissions derived from the seed, and their expected results.

use super::chance::Chance;
use crate::model::StepState;
use serde::{Deserialize, Serialize};

const BRANCH: &str = "id: branch
steps:
  - { name: a, uses: windlass/prove }
  - { name: b, uses: windlass/prove, needs: [a], when: item.doomed, with: { doomed: true } }
  - { name: c, uses: windlass/prove, needs: [a], when: '!item.doomed', with: { file: true } }
  - { name: d, uses: windlass/prove, needs: [b, c] }
  - { name: e, uses: windlass/prove, needs: [b, c], after: failure }
  - { name: f, uses: windlass/prove, needs: [d, e], after: always }
";

/// How many units there are of what `Workflow::Limited` takes.
pub const SLOTS: i64 = 3;

const LIMITED: &str = "id: limited
capacity: { slots: 3 }
steps:
  - { name: a, uses: windlass/prove, resources: { slots: '{{ item.units }}' } }
  - { name: b, uses: windlass/prove, resources: { slots: '{{ item.units }}' } }
";

/// The shapes of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Workflow {
    /// Three steps in a row, with files.
    Chain,
    /// One, then two side by side, then one.
    Diamond,
    /// Two steps that need exclusive use of their key.
    Keyed,
    /// Steps that take units of one resource, of which there are `SLOTS`.
    Limited,
    /// A step that fails a few times before it succeeds.
    Flaky,
    /// A step that fails permanently for some items.
    Doomed,
    /// Steps and a group with hooks.
    Hooked,
    /// A command that leaves a child process behind.
    Shell,
    /// A step that starts runs of its own, of which only some go side by side.
    Fan,
    /// So many runs that the submission takes several transactions.
    Wide,
    /// Two branches of which one is skipped, and steps that run after a failure or in any case.
    Branch,
    /// What the schedule of a drill starts. Nobody submits it.
    Tick,
}

const FAN: &str = "id: fan
steps:
  - { name: a, for_each: '[item, item, item]', at_most: 2, uses: windlass/prove }
  - { name: b, uses: windlass/prove }
";

impl Workflow {
    #[cfg(test)]
    pub const ALL: [Workflow; 12] = [
        Workflow::Chain,
        Workflow::Diamond,
        Workflow::Keyed,
        Workflow::Limited,
        Workflow::Flaky,
        Workflow::Doomed,
        Workflow::Hooked,
        Workflow::Shell,
        Workflow::Fan,
        Workflow::Wide,
        Workflow::Branch,
        Workflow::Tick,
    ];

    pub fn id(self) -> &'static str {
        match self {
            Workflow::Chain => "chain",
            Workflow::Diamond => "diamond",
            Workflow::Keyed => "keyed",
            Workflow::Limited => "limited",
            Workflow::Flaky => "flaky",
            Workflow::Doomed => "doomed",
            Workflow::Hooked => "hooked",
            Workflow::Shell => "shell",
            Workflow::Fan => "fan",
            Workflow::Wide => "wide",
            Workflow::Branch => "branch",
            Workflow::Tick => "tick",
        }
    }

    /// The workflow as YAML.
    pub fn text(self) -> &'static str {
        match self {
            Workflow::Chain => {
                "id: chain
steps:
  - { name: a, uses: windlass/prove, with: { file: true } }
  - { name: b, uses: windlass/prove }
  - { name: c, uses: windlass/prove, with: { file: true } }
"
            }
            Workflow::Diamond => {
                "id: diamond
steps:
  - { name: a, uses: windlass/prove }
  - { name: b, uses: windlass/prove, needs: [a], with: { file: true } }
  - { name: c, uses: windlass/prove, needs: [a], with: { file: true } }
  - { name: d, uses: windlass/prove, needs: [b, c] }
"
            }
            Workflow::Keyed => {
                "id: keyed
steps:
  - { name: a, uses: windlass/prove, resource_key: '{{ item.key }}' }
  - { name: b, uses: windlass/prove, resource_key: '{{ item.key }}' }
"
            }
            Workflow::Limited => LIMITED,
            Workflow::Flaky => {
                "id: flaky
steps:
  - name: a
    uses: windlass/prove
    with: { flaky: true }
    retries: 10
    backoff: { initial: 2ms, factor: 1, max: 2ms }
  - { name: b, uses: windlass/prove }
"
            }
            Workflow::Doomed => {
                "id: doomed
steps:
  - { name: a, uses: windlass/prove }
  - { name: b, uses: windlass/prove, with: { doomed: true } }
  - { name: c, uses: windlass/prove }
"
            }
            Workflow::Hooked => {
                "id: hooked
steps:
  - { name: a, uses: windlass/prove }
  - { name: b, uses: windlass/prove }
hooks:
  step_end: [{ name: step, uses: windlass/prove, with: { hook: step_end } }]
  group_end: [{ name: group, uses: windlass/prove, with: { hook: group_end } }]
"
            }
            Workflow::Shell => {
                "id: shell
steps:
  - { name: a, run: 'sleep 60 >/dev/null 2>&1 & sleep 0.02; echo {{ item.id }}' }
  - { name: b, uses: windlass/prove }
"
            }
            Workflow::Fan => FAN,
            Workflow::Wide => "id: wide\nsteps: [{ name: a, uses: windlass/noop }]\n",
            Workflow::Branch => BRANCH,
            Workflow::Tick => "id: tick\nsteps: [{ name: a, uses: windlass/prove }]\n",
        }
    }

    /// The steps that step `no` needs.
    pub fn needs(self, no: usize) -> &'static [usize] {
        match (self, no) {
            (_, 0) => &[],
            (Workflow::Diamond | Workflow::Branch, 2) => &[0],
            (Workflow::Diamond | Workflow::Branch, 3) | (Workflow::Branch, 4) => &[1, 2],
            (Workflow::Branch, 5) => &[3, 4],
            (_, 1) => &[0],
            (_, 2) => &[1],
            _ => &[2],
        }
    }

    pub fn steps(self) -> usize {
        match self {
            Workflow::Chain | Workflow::Doomed => 3,
            Workflow::Diamond => 4,
            Workflow::Keyed
            | Workflow::Limited
            | Workflow::Flaky
            | Workflow::Hooked
            | Workflow::Shell
            | Workflow::Fan => 2,
            Workflow::Wide | Workflow::Tick => 1,
            Workflow::Branch => 6,
        }
    }

    /// Whether step `no` writes to the side log.
    pub fn is_logged(self, no: usize) -> bool {
        !matches!((self, no), (Workflow::Wide, _) | (Workflow::Shell | Workflow::Fan, 0))
    }

    /// The runs that step `no` starts.
    pub fn starts(self, no: usize) -> Option<i64> {
        (self == Workflow::Fan && no == 0).then_some(3)
    }

    /// How many files step `no` leaves.
    pub fn files(self, no: usize) -> i64 {
        i64::from(matches!((self, no), (Workflow::Chain, 0 | 2) | (Workflow::Diamond, 1 | 2) | (Workflow::Branch, 2)))
    }

    /// The expected end of step `no` for this item: its state and the number of attempts.
    pub fn expected_end(self, no: usize, item: &Item) -> (StepState, i64) {
        match (self, no) {
            (Workflow::Branch, 1) if item.doomed => (StepState::Failed, 1),
            (Workflow::Branch, 2) if item.doomed => (StepState::Skipped, 0),
            (Workflow::Branch, 3) if item.doomed => (StepState::Cancelled, 0),
            (Workflow::Branch, 1 | 4) if !item.doomed => (StepState::Skipped, 0),
            (Workflow::Flaky, 0) => (StepState::Completed, i64::from(item.fail) + 1),
            (Workflow::Doomed, 1) if item.doomed => (StepState::Failed, 1),
            (Workflow::Doomed, 2) if item.doomed => (StepState::Cancelled, 0),
            _ => (StepState::Completed, 1),
        }
    }
}

/// An item of a run, which says how its steps behave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub id: String,
    /// How long each step takes, in microseconds.
    pub sleep: u64,
    /// How many attempts fail in a flaky workflow.
    pub fail: u32,
    pub doomed: bool,
    /// The size of its files.
    pub bytes: usize,
    /// The key that keyed steps use exclusively.
    pub key: String,
    /// The units that limited steps take.
    #[serde(default)]
    pub units: i64,
}

impl Item {
    /// The content of the file that step `name` leaves for this item. The first items of all runs have the same
    /// content, so their files exist already.
    pub fn content(&self, name: &str) -> Vec<u8> {
        let shared = self.id.ends_with("-0");
        let from = if shared { name } else { &self.id };
        let seed = from.bytes().fold(self.bytes as u64, |seed, it| seed.wrapping_mul(31).wrapping_add(u64::from(it)));
        let mut chance = Chance::new(seed, name.bytes().map(u64::from).sum());
        (0..self.bytes).map(|at| if at % 3 == 0 { chance.next() as u8 } else { b'.' }).collect()
    }
}

/// One submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    pub workflow: Workflow,
    pub items: Vec<Item>,
    pub priority: i64,
    /// Whether it is submitted under a key that all clients share.
    pub keyed: bool,
}

impl Work {
    /// The work with this number. It is the same for every client and checker.
    pub fn of(seed: u64, number: u64) -> Work {
        let mut chance = Chance::new(seed, 1_000 + number);
        let workflow = match chance.between(0, 99) {
            0..14 => Workflow::Chain,
            14..26 => Workflow::Diamond,
            26..36 => Workflow::Keyed,
            36..43 => Workflow::Limited,
            43..52 => Workflow::Flaky,
            52..61 => Workflow::Doomed,
            61..75 => Workflow::Branch,
            75..87 => Workflow::Hooked,
            87..93 => Workflow::Fan,
            93..98 => Workflow::Shell,
            _ => Workflow::Wide,
        };
        let count = if workflow == Workflow::Wide { 360 } else { chance.between(1, 4) };
        let items = (0..count).map(|no| item(&mut chance, number, no)).collect();
        Work { workflow, items, priority: chance.between(0, 2) as i64, keyed: chance.percent(75) }
    }

    /// What a firing of the schedule starts.
    pub fn of_schedule() -> Work {
        let key = "prove:tick".to_string();
        let item = Item { id: "tick-1".into(), sleep: 1_000, fail: 0, doomed: false, bytes: 0, key, units: 1 };
        Work { workflow: Workflow::Tick, items: vec![item], priority: 0, keyed: true }
    }

    pub fn item_texts(&self) -> Vec<String> {
        self.items.iter().map(|it| serde_json::to_string(it).unwrap_or_default()).collect()
    }

    /// The number of failed runs.
    pub fn failed_runs(&self) -> i64 {
        let fails = matches!(self.workflow, Workflow::Doomed | Workflow::Branch);
        let doomed = self.items.iter().filter(|it| it.doomed && fails);
        doomed.count() as i64
    }
}

fn item(chance: &mut Chance, number: u64, no: u64) -> Item {
    Item {
        id: format!("{number}-{no}"),
        sleep: match chance.between(0, 19) {
            0..3 => chance.between(50_000, 400_000),
            3..9 => 0,
            _ => chance.between(100, 8_000),
        },
        fail: chance.between(0, 3) as u32,
        doomed: chance.percent(40),
        bytes: *chance.pick(&[0, 10, 3_000, 60_000, 700_000, 700_000]),
        key: format!("prove:{}", chance.between(0, 2)),
        units: chance.between(1, SLOTS as u64) as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        definition::{KnownKinds, parse},
        prove::kind::Handler,
    };

    #[test]
    fn the_workflows_are_what_the_checker_thinks() {
        let known = KnownKinds::new([Handler::NAME, "windlass/noop"]);
        for workflow in Workflow::ALL {
            let definition = parse(workflow.text(), "prove", &known).unwrap();
            assert_eq!(definition.id, workflow.id());
            assert_eq!(definition.steps.len(), workflow.steps(), "{workflow:?}");
            for (no, step) in definition.steps.iter().enumerate() {
                assert_eq!(step.needs, workflow.needs(no), "{workflow:?} {no}");
            }
        }
    }

    #[test]
    fn work_follows_from_its_number_and_every_shape_comes() {
        let all: Vec<Work> = (0..400).map(|it| Work::of(7, it)).collect();
        assert_eq!(all[5], Work::of(7, 5));
        assert_ne!(all[5], Work::of(8, 5));
        for workflow in Workflow::ALL.into_iter().filter(|it| *it != Workflow::Tick) {
            assert!(all.iter().any(|it| it.workflow == workflow), "{workflow:?}");
        }
    }
}

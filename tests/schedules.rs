//! Schedules: each instant fires once, whatever happens to the processes and the clock.

mod support {
    pub mod binary;
    pub mod plant;
    pub mod web;
}

use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{binary::Windlass, plant, web::Web};
use windlass::{
    decide::schedule::{CatchUp, Rule, delay, firings},
    definition::{
        KnownKinds, parse_file,
        recurrence::{Recurrence, rfc3339},
    },
    engine::{Engine, ScheduledWorkflow},
    model::{FiringState, Millis, Monotonic, ProcessIdentity, Shape, ShapeStep, Status, Timestamp},
    os::MovableClock,
    store::{
        definition, group,
        read::{self, GroupFilter},
        schedule::{self, FiringRow},
    },
    view,
};

const HOUR: i64 = 3_600_000;
/// 2026-01-01T00:00:00Z
const NEW_YEAR: i64 = 1_767_225_600_000;

fn open(home: &Path, clock: &Arc<MovableClock>) -> Engine {
    plant::open_with(home, clock.clone(), |it| it)
}

fn clock() -> Arc<MovableClock> {
    Arc::new(MovableClock::new(Timestamp(NEW_YEAR), Monotonic(1_000_000)))
}

fn add(engine: &Engine, text: &str) -> bool {
    engine.add_schedule(&scheduled(engine, text)).unwrap()
}

fn scheduled(engine: &Engine, text: &str) -> ScheduledWorkflow {
    let file = parse_file(text, "t.yaml", &KnownKinds::new(engine.kinds().names())).unwrap();
    ScheduledWorkflow {
        name: file.definition.id.clone(),
        trigger: file.trigger().expect("it has a schedule"),
        definition: file.definition,
        items_from: file.items_from,
        params: serde_json::json!({}),
        directory: engine.home().to_str().unwrap().into(),
        file: "t.yaml".into(),
        priority: 0,
        weight: 1,
    }
}

fn row(engine: &Engine, name: &str) -> schedule::ScheduleRow {
    engine.store().read(|tx| schedule::get(tx, name)).unwrap()
}

fn noted(engine: &Engine, name: &str) -> Vec<FiringRow> {
    let id = row(engine, name).id;
    engine.store().read(|tx| schedule::firings(tx, id, 10_000)).unwrap()
}

/// The groups of a schedule by key. Each instant has at most one group, because a key has one group.
fn groups(engine: &Engine) -> usize {
    let filter = GroupFilter { limit: 100_000, ..GroupFilter::default() };
    engine.store().read(|tx| read::groups(tx, &filter)).unwrap().len()
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// What the daemon does next.
#[derive(Debug, Clone)]
enum Deed {
    /// It runs for this many minutes and checks in each of them.
    Works(u16),
    /// It is down for this many hours.
    Away(u16),
    /// It starts what is due, and crashes before recording it.
    Crashes,
    /// Two processes check at the same time.
    Both,
    /// The wall clock is set back by this many minutes.
    SetBack(u16),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (1u16..40).prop_map(Deed::Works),
        4 => (1u16..400).prop_map(Deed::Away),
        2 => Just(Deed::Crashes),
        2 => Just(Deed::Both),
        1 => (1u16..180).prop_map(Deed::SetBack),
    ];
    proptest::collection::vec(deed, 40..120)
}

const SPECS: [(&str, &str); 6] = [
    ("cron: '30 2 * * *', zone: Europe/Berlin", "30 2 * * *"),
    ("cron: '15 2 * * *', zone: Australia/Lord_Howe", "15 2 * * *"),
    ("cron: '0 1 * * mon', zone: America/New_York", "0 1 * * mon"),
    ("cron: '45 */6 * * *', zone: Asia/Kathmandu", "45 */6 * * *"),
    ("cron: '0 3 * * *', zone: UTC, jitter: 30m", "0 3 * * *"),
    ("every: 7h", ""),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]
    /// Up to a year, with the daemon up and down and crashes during firings.
    #[test]
    fn each_instant_fires_once_and_as_catch_up_says(deeds in deeds(), spec in 0usize..6, catch_up in 0usize..3, within in 0usize..2) {
        let dir = tempfile::tempdir().unwrap();
        let clock = clock();
        let engine = open(dir.path(), &clock);
        let other = open(dir.path(), &clock);
        let (catch_up, words) = [(CatchUp::None, "none"), (CatchUp::Latest, "latest"), (CatchUp::All, "all")][catch_up];
        let (within, limit) = [(None, ""), (Some(Millis(30 * HOUR as u64)), ", within: 30h")][within];
        add(&engine, &format!("id: s\nschedule: {{ {}, catch_up: {words}{limit} }}\nsteps: [{{ name: a, uses: windlass/noop }}]\n", SPECS[spec].0));
        let first = row(&engine, "s");
        let (spec, times) = windlass::engine::times_of_schedule(&first).unwrap();
        let rule = Rule { catch_up, within };
        let mut model = Model { times, rule, jitter: spec.jitter, cursor: first.cursor, fired: BTreeSet::new(), missed: 0 };
        let now = || engine.store().now();
        for deed in &deeds {
            match deed {
                Deed::Works(minutes) => for _ in 0..*minutes {
                    clock.advance(Millis::minutes(1));
                    engine.fire_due_schedules().unwrap();
                    model.look(now());
                },
                Deed::Away(hours) => {
                    clock.suspend(Millis::minutes(u64::from(*hours) * 60));
                    engine.fire_due_schedules().unwrap();
                    model.look(now());
                }
                Deed::Crashes => {
                    // The group was submitted, but this was not recorded.
                    for instant in model.due(now()).fire {
                        engine.backfill_schedule("s", instant, instant).unwrap();
                        model.fired.insert(instant);
                    }
                }
                Deed::Both => {
                    clock.advance(Millis::minutes(u64::from(17u8)));
                    std::thread::scope(|scope| {
                        for it in [&engine, &other] {
                            scope.spawn(|| it.fire_due_schedules().unwrap());
                        }
                    });
                    model.look(now());
                }
                Deed::SetBack(minutes) => {
                    clock.set_wall(Timestamp(now().0 - i64::from(*minutes) * 60_000));
                    engine.fire_due_schedules().unwrap();
                    model.look(now());
                }
            }
            prop_assert_eq!(groups(&engine), model.fired.len(), "after {:?}", deed);
            prop_assert_eq!(row(&engine, "s").missed, model.missed as i64, "after {:?}", deed);
        }
        let started: BTreeSet<Timestamp> = noted(&engine, "s").iter().filter(|it| it.state == FiringState::Started).map(|it| it.instant).collect();
        prop_assert!(started.is_subset(&model.fired));
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(60)
}

/// What a schedule must do according to its documentation.
struct Model {
    times: Recurrence,
    rule: Rule,
    jitter: Millis,
    cursor: Timestamp,
    fired: BTreeSet<Timestamp>,
    missed: usize,
}

impl Model {
    fn instants(&self, now: Timestamp) -> Vec<Timestamp> {
        let mut found: Vec<Timestamp> = Vec::new();
        let mut at = self.cursor;
        while let Some(next) = self.times.next_after(at).filter(|it| (*it + delay("s", *it, self.jitter)) <= now) {
            found.push(next);
            at = next;
        }
        found.reverse();
        found
    }

    fn due(&self, now: Timestamp) -> windlass::decide::schedule::Firings {
        firings(self.instants(now), now, self.rule)
    }

    fn look(&mut self, now: Timestamp) {
        let found = self.due(now);
        self.cursor = self.instants(now).first().copied().unwrap_or(self.cursor);
        self.missed += found.missed;
        self.fired.extend(found.fire);
    }
}

#[test]
fn a_worker_fires_a_schedule_when_its_time_comes_and_runs_what_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let engine = open(dir.path(), &clock);
    assert!(add(&engine, "id: tick\nschedule: { every: 1h }\nsteps: [{ name: a, run: 'echo x >> ran' }]\n"));
    assert!(
        !add(&engine, "id: tick\nschedule: { every: 1h }\nsteps: [{ name: a, run: 'echo y >> ran' }]\n"),
        "the same name"
    );
    let worker = plant::worker(&engine, 1);
    clock.advance(Millis(HOUR as u64));
    let group = eventually("it fires", || noted(&engine, "tick").first().and_then(|it| it.group));
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    assert_eq!(std::fs::read_to_string(dir.path().join("ran")).unwrap(), "y\n");
    let shown = view::show_schedule(&engine, "tick").unwrap();
    assert_eq!((shown.upcoming.len(), shown.firings[0].status), (5, Some(Status::Completed)));
    worker.stop(Millis::seconds(5));
}

#[test]
fn an_item_command_gets_the_parameters_of_its_schedule_each_as_one_word() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let engine = open(dir.path(), &clock);
    let text = "id: found\nschedule: { every: 1h }\nitems_from: { command: \"printf '%s\\n' {{ params.what }}\" }\nsteps: [{ name: a, run: 'echo {{ item }} >> ran' }]\n";
    let mut new = scheduled(&engine, text);
    let refused = engine.add_schedule(&new).unwrap_err().to_string();
    assert!(refused.contains("params.what"), "a parameter is missing: {refused}");
    new.params = serde_json::json!({"what": "a b; touch no"});
    engine.add_schedule(&new).unwrap();
    let worker = plant::worker(&engine, 1);
    clock.advance(Millis(HOUR as u64));
    let started = || noted(&engine, "found").into_iter().find(|it| it.state != FiringState::Collecting);
    let firing = eventually("it starts", started);
    assert_eq!(plant::wait(&engine, &worker, firing.group.unwrap()), Status::Completed);
    assert_eq!(std::fs::read_to_string(dir.path().join("ran")).unwrap(), "a b; touch no\n");
    assert!(!dir.path().join("no").exists());
    worker.stop(Millis::seconds(5));
}

#[test]
fn an_item_command_runs_as_a_step_and_each_of_its_lines_becomes_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let engine = open(dir.path(), &clock);
    add(
        &engine,
        "id: lines\nschedule: { every: 1h }\nitems_from: { command: \"printf 'a b\\nc\\n'\" }\nsteps: [{ name: a, run: 'echo {{ item }} >> ran' }]\n",
    );
    add(
        &engine,
        "id: broken\nschedule: { every: 1h }\nitems_from: { command: 'echo no; exit 3' }\nsteps: [{ name: a, run: 'echo {{ item }}' }]\n",
    );
    let worker = plant::worker(&engine, 1);
    clock.advance(Millis(HOUR as u64));
    let started = |name: &str| noted(&engine, name).into_iter().find(|it| it.state != FiringState::Collecting);
    let firing = eventually("it starts", || started("lines"));
    assert_eq!(plant::wait(&engine, &worker, firing.group.unwrap()), Status::Completed);
    let ran = std::fs::read_to_string(dir.path().join("ran")).unwrap();
    assert_eq!(ran.lines().collect::<BTreeSet<_>>(), BTreeSet::from(["a b", "c"]));
    let failed = eventually("it fails", || started("broken"));
    assert_eq!(failed.state, FiringState::Failed);
    let problems = view::status(&engine, None).unwrap().problems;
    assert!(
        problems.iter().any(|it| it.text.contains("`broken`") && it.text.contains("command for its items failed")),
        "{problems:?}"
    );
    worker.stop(Millis::seconds(5));
}

#[test]
fn files_and_lists_of_items_are_read_when_it_fires() {
    // A name that would be a pattern.
    let dir = tempfile::Builder::new().prefix("a[b]*").tempdir().unwrap();
    let clock = clock();
    let engine = open(dir.path(), &clock);
    for (name, from) in [("glob", "glob: 'in/*.csv'"), ("file", "file: list.txt"), ("list", "list: [x, y]")] {
        add(
            &engine,
            &format!(
                "id: {name}\nschedule: {{ every: 1h }}\nitems_from: {{ {from} }}\nsteps: [{{ name: a, run: 'echo {{{{ item }}}}' }}]\n"
            ),
        );
    }
    std::fs::create_dir(dir.path().join("in")).unwrap();
    for name in ["in/a.csv", "in/b.csv", "in/c.txt"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let runs = |name: &str| {
        let group = noted(&engine, name)[0].group;
        group.map(|id| engine.store().read(|tx| read::show_group(tx, id)).unwrap().group.runs)
    };
    clock.advance(Millis(HOUR as u64));
    engine.fire_due_schedules().unwrap();
    assert_eq!((runs("glob"), runs("list")), (Some(2), Some(2)));
    let huge = std::fs::File::create(dir.path().join("huge.txt")).unwrap();
    huge.set_len((256 << 20) + 1).unwrap();
    add(
        &engine,
        "id: huge\nschedule: { every: 1h }\nitems_from: { file: huge.txt }\nsteps: [{ name: a, run: 'echo {{ item }}' }]\n",
    );
    let refused = engine.run_schedule("huge").unwrap();
    assert!(refused.state == FiringState::Failed && refused.detail.contains("256 MiB"), "{refused:?}");
    engine.remove_schedule("huge").unwrap();
    let missing = &noted(&engine, "file")[0];
    assert!(missing.state == FiringState::Failed && missing.detail.contains("list.txt"), "{missing:?}");
    std::fs::write(dir.path().join("list.txt"), "one\n\ntwo\nthree\n").unwrap();
    std::fs::remove_file(dir.path().join("in/a.csv")).unwrap();
    std::fs::remove_file(dir.path().join("in/b.csv")).unwrap();
    clock.advance(Millis(HOUR as u64));
    engine.fire_due_schedules().unwrap();
    assert_eq!((runs("file"), runs("glob")), (Some(3), None));
    assert_eq!(noted(&engine, "glob")[0].detail, "no items");
    assert_eq!(row(&engine, "file").problem, "", "the next firing went well");
}

#[test]
fn a_paused_schedule_fires_nothing_and_catches_nothing_up_when_it_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let engine = open(dir.path(), &clock);
    add(&engine, "id: s\nschedule: { every: 1h, catch_up: all }\nsteps: [{ name: a, uses: windlass/noop }]\n");
    assert!(engine.pause_schedule("s").unwrap() && !engine.pause_schedule("s").unwrap());
    clock.advance(Millis(5 * HOUR as u64 + 60_000));
    engine.fire_due_schedules().unwrap();
    assert!(engine.resume_schedule("s").unwrap() && !engine.resume_schedule("s").unwrap());
    engine.fire_due_schedules().unwrap();
    assert_eq!(groups(&engine), 0);
    assert_eq!(engine.run_schedule("s").unwrap().state, FiringState::Started, "by hand it runs at any time");
    clock.advance(Millis(HOUR as u64));
    engine.fire_due_schedules().unwrap();
    assert_eq!(groups(&engine), 2);
    assert_eq!(engine.backfill_schedule("s", Timestamp(NEW_YEAR), Timestamp(NEW_YEAR + 6 * HOUR)).unwrap().len(), 6);
    assert_eq!(groups(&engine), 7, "the last of them had fired");
    engine.remove_schedule("s").unwrap();
    assert!(engine.store().read(|tx| schedule::get(tx, "s")).is_err());
}

#[test]
fn a_schedule_that_failed_is_in_status_health_and_events_until_it_starts_again() {
    let web = Web::start();
    let file = web.home().join("nightly.yaml");
    std::fs::write(
        &file,
        "id: nightly\nschedule: { every: 24h }\nitems_from: { file: list.txt }\nsteps: [{ name: a, run: 'echo {{ item }}' }]\n",
    )
    .unwrap();
    web.windlass(&["schedule", "add", file.to_str().unwrap()]).ends(0);
    let health = || web.get("/health").json()["status"].as_str().unwrap().to_string();
    eventually("it is well", || (health() == "ok").then_some(()));
    web.windlass(&["schedule", "run", "nightly"]).run();
    eventually("it is degraded", || (health() == "degraded").then_some(()));
    let status = web.windlass(&["status"]).run();
    assert!(status.out.contains("nightly") && status.out.contains("list.txt"), "{}", status.out);
    let events = web.windlass(&["events", "--json"]).ends(0).out;
    assert!(events.to_lowercase().contains("schedule_missed"), "{events}");
    std::fs::write(web.home().join("list.txt"), "one\n").unwrap();
    web.windlass(&["schedule", "run", "nightly"]).ends(0);
    eventually("it is well again", || (health() == "ok").then_some(()));
}

/// A group of this key that a process of an earlier boot left half submitted.
fn half_submitted(engine: &Engine, key: String) {
    let definition = parse_file(
        "id: s\nsteps: [{ name: a, uses: windlass/noop }]\n",
        "t.yaml",
        &KnownKinds::new(engine.kinds().names()),
    );
    let shape = Shape { steps: vec![ShapeStep { step_type: "a".into(), ..ShapeStep::default() }], hooks: vec![] };
    let definition = definition::NewDefinition {
        hash: [9; 32],
        name: "s".into(),
        title: "s".into(),
        body: serde_json::to_string(&definition.unwrap().definition).unwrap(),
        shape,
    };
    let builder = ProcessIdentity {
        pid: std::process::id(),
        start_time: None,
        boot_id: "an earlier boot".into(),
        pid_namespace: None,
        time_namespace: None,
    };
    let created = engine.store().write(move |tx| {
        let new = group::NewGroup {
            definition: definition::intern(tx, &definition)?,
            name: "s".into(),
            params: "{}".into(),
            directory: "/".into(),
            file: String::new(),
            concurrency: None,
            priority: 0,
            weight: 1,
            force: false,
            scoped: false,
            key: Some((key, [9; 32])),
            alerts: None,
            builder,
            of_batch: None,
            child: None,
            collect: None,
        };
        group::create(tx, &new)
    });
    assert!(matches!(created, Ok(group::Created::New(_))), "{created:?}");
}

#[test]
fn a_firing_that_died_in_the_middle_of_its_submission_fires_all_the_same_and_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let engine = open(dir.path(), &clock);
    for name in ["s", "t"] {
        add(&engine, &format!("id: {name}\nschedule: {{ every: 1h }}\nsteps: [{{ name: a, uses: windlass/noop }}]\n"));
    }
    let instant = Timestamp(row(&engine, "s").created.0 + HOUR);
    half_submitted(&engine, format!("schedule:s@{}", rfc3339(instant)));
    clock.advance(Millis(HOUR as u64));
    let refused = engine.fire_due_schedules().unwrap_err().to_string();
    assert!(refused.contains("schedule:s@"), "{refused}");
    assert!(noted(&engine, "s").is_empty(), "that group may never be whole");
    assert_eq!(noted(&engine, "t").len(), 1);
    // Its first look removes what nobody submits any longer.
    let worker = plant::worker(&engine, 1);
    eventually("the group is gone", || engine.store().read(group::unsealed).unwrap().is_empty().then_some(()));
    assert!(!engine.fire_due_schedules().unwrap());
    let firings = noted(&engine, "s");
    assert_eq!((firings.len(), firings[0].instant, firings[0].state), (1, instant, FiringState::Started));
    assert_eq!(plant::wait(&engine, &worker, firings[0].group.unwrap()), Status::Completed);
    worker.stop(Millis::seconds(5));
}

/// `TEST_KILLS=300` kills more often.
#[test]
fn kills_of_workers_lose_no_instant_and_start_none_twice() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let file = dir.path().join("tick.yaml");
    std::fs::write(
        &file,
        "id: tick\nschedule: { every: 1s, catch_up: all }\nsteps: [{ name: a, uses: windlass/noop }]\n",
    )
    .unwrap();
    let windlass = || Windlass::on(&home);
    let added: serde_json::Value =
        serde_json::from_str(&windlass().args(["schedule", "add"]).arg(&file).arg("--json").ends(0).out).unwrap();
    let begun = added["created"].as_i64().unwrap();
    let kills = std::env::var("TEST_KILLS").ok().and_then(|it| it.parse().ok()).unwrap_or(12);
    let worker = || worker(&home);
    let fired = || {
        let shown = windlass().args(["schedule", "show", "tick", "--json"]).ends(0).out;
        serde_json::from_str::<serde_json::Value>(&shown).unwrap()["firings"][0]["instant"].as_i64()
    };
    let mut other = worker();
    let mut seen = fired();
    for kill in 0..kills {
        let mut killed = worker();
        // Each process is killed right after a firing, or right before.
        eventually("something fires", || (fired() > seen).then_some(()));
        seen = fired();
        killed.kill().unwrap();
        if kill % 3 == 0 {
            other.kill().unwrap();
            other = worker();
        }
    }
    let last = eventually("the schedule catches up", || fired().filter(|it| Some(*it) > seen));
    other.kill().unwrap();
    drop(other);
    windlass().args(["schedule", "pause", "tick"]).ends(0);
    windlass().args(["worker", "--until-idle"]).ends(0);
    windlass().args(["doctor"]).ends(0);
    let engine = plant::open(&home);
    let instants: BTreeSet<i64> = noted(&engine, "tick").iter().map(|it| it.instant.0).collect();
    let kept: Vec<i64> = (1..).map(|it| begun + it * 1_000).take_while(|it| *it <= last).collect();
    // The newest hundred are kept.
    let newest: BTreeSet<i64> = kept.iter().rev().take(90).copied().collect();
    assert!(newest.is_subset(&instants), "lost: {:?}", newest.difference(&instants));
    let all = i64::try_from(groups(&engine)).unwrap();
    let expected = (instants.iter().max().unwrap() - begun) / 1_000;
    assert_eq!(all, expected, "one group for each instant");
}

fn worker(home: &Path) -> support::binary::Running {
    Windlass::on(home).args(["worker", "--pool", "*=1"]).silent().spawn().unwrap()
}

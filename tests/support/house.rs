//! The fixture of all tests: a temporary directory, a real store, a movable clock.
#![allow(dead_code)] // Each test program uses its own part of it.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use windlass::{
    model::{
        EventKind, GroupId, HOOK_TYPE, Monotonic, ProcessIdentity, RunId, Scope, Shape, ShapeHook, ShapeStep, Status,
        StepId, Timestamp, TypeId, WorkerId,
    },
    os::MovableClock,
    store::{
        Claim, Claimed, Durability, Held, Options, Result, Settle, Settlement, Store, Take, attempt, cancel,
        capacity::NewDemand, check, claim, definition, event, group, input, pause, read, reap, retry, step_type,
        worker,
    },
};

/// The worker that a `Book` claims for.
pub const WORKER: WorkerId = WorkerId(1);

/// An engine database that tests write by hand.
pub struct Book {
    pub store: Store,
    pub clock: Arc<MovableClock>,
    pub directory: tempfile::TempDir,
    options: Options,
}

/// A workflow of steps that each need the previous one.
pub fn chain(types: &[&str]) -> Shape {
    let needs = |no: usize| if no == 0 { vec![] } else { vec![no - 1] };
    let steps = types.iter().enumerate().map(|(no, it)| step(it, &needs(no))).collect();
    Shape { steps, hooks: vec![] }
}

/// `a`, then `b` and `c` in parallel, then `d`.
pub fn diamond() -> Shape {
    Shape { steps: vec![step("a", &[]), step("b", &[0]), step("c", &[0]), step("d", &[1, 2])], hooks: vec![] }
}

pub fn step(step_type: &str, needs: &[usize]) -> ShapeStep {
    ShapeStep { step_type: step_type.into(), needs: needs.to_vec(), ..ShapeStep::default() }
}

pub fn with_hook(shape: Shape, event: &str) -> Shape {
    Shape {
        hooks: vec![ShapeHook { event: EventKind::from_name(event).unwrap(), name: format!("on {event}"), key: None }],
        ..shape
    }
}

/// The record of an attempt that failed with this message.
pub fn record(message: &str) -> attempt::Record {
    let outcome = windlass::model::Outcome::retryable("test", message);
    let detail = serde_json::json!({"outcome": outcome, "certificate": {}}).to_string();
    attempt::Record { outcome: attempt::outcome_of(&outcome), detail, logs: vec![] }
}

pub fn completion() -> Settlement {
    Settlement::Complete { output: None, cache_key: None, record: None }
}

impl Book {
    /// Fast, because only a power cut can lose what is not synced.
    pub fn new() -> Book {
        Book::with(Durability::Normal)
    }

    pub fn with(durability: Durability) -> Book {
        Book::inside(tempfile::tempdir().unwrap(), durability)
    }

    /// In memory, if the machine has a place for that. For thousands of books in tests that do not depend on fsync.
    pub fn in_memory() -> Book {
        let memory = std::path::Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Book::inside(directory.unwrap(), Durability::Normal)
    }

    fn inside(directory: tempfile::TempDir, durability: Durability) -> Book {
        let clock = Arc::new(MovableClock::default());
        let options = Options { durability, ..Options::new(directory.path().join("engine.db")) };
        let store = Store::open(&options, clock.clone()).unwrap();
        let book = Book { store, clock, directory, options };
        book.enrol(WORKER);
        book
    }

    /// Registers a worker without a liveness lock: these tests decide themselves when it is dead.
    pub fn enrol(&self, id: WorkerId) {
        let (version, pools) = ("0".to_string(), "{}".to_string());
        let new = worker::NewWorker { identity: identity(), version, pools, scope: Scope::Everything };
        self.store.write(move |tx| worker::register(tx, id, &new)).unwrap();
    }

    pub fn now(&self) -> Timestamp {
        self.store.now()
    }

    pub fn submit(&self, shape: &Shape, items: &[&str]) -> GroupId {
        self.submit_with(shape, items, 0, &[])
    }

    /// `keys`: the resource key of each step.
    pub fn submit_with(&self, shape: &Shape, items: &[&str], priority: i64, keys: &[Option<&str>]) -> GroupId {
        self.submit_group(shape, items, keys, |new| new.priority = priority).unwrap()
    }

    pub fn submit_scoped(&self, shape: &Shape, items: &[&str], keys: &[Option<&str>]) -> GroupId {
        self.submit_group(shape, items, keys, |new| new.scoped = true).unwrap()
    }

    /// Submits a group without runs under an idempotency key.
    pub fn submit_keyed(&self, key: &str, content: [u8; 32]) -> Result<GroupId> {
        self.submit_group(&chain(&["a"]), &[], &[], |new| new.key = Some((key.into(), content)))
    }

    pub fn submit_group(
        &self,
        shape: &Shape,
        items: &[&str],
        keys: &[Option<&str>],
        change: impl FnOnce(&mut group::NewGroup),
    ) -> Result<GroupId> {
        self.submit_taking(shape, items, keys, &[], change)
    }

    /// `takes`: what each step takes of resources.
    pub fn submit_taking(
        &self,
        shape: &Shape,
        items: &[&str],
        keys: &[Option<&str>],
        takes: &[Option<NewDemand>],
        change: impl FnOnce(&mut group::NewGroup),
    ) -> Result<GroupId> {
        let (id, _) = self.build_taking(&self.store, shape, items, keys, takes, change)?;
        while self.store.write(move |tx| group::open_slice(tx, id, 100))? {}
        Ok(id)
    }

    /// Submits a group up to its seal. Returns its runs with their first steps. Nothing in it is claimable yet.
    pub fn build(
        &self,
        store: &Store,
        shape: &Shape,
        items: &[&str],
        keys: &[Option<&str>],
        change: impl FnOnce(&mut group::NewGroup),
    ) -> Result<(GroupId, Vec<(RunId, StepId)>)> {
        self.build_taking(store, shape, items, keys, &[], change)
    }

    pub fn build_taking(
        &self,
        store: &Store,
        shape: &Shape,
        items: &[&str],
        keys: &[Option<&str>],
        takes: &[Option<NewDemand>],
        change: impl FnOnce(&mut group::NewGroup),
    ) -> Result<(GroupId, Vec<(RunId, StepId)>)> {
        let shape = shape.clone();
        let steps = shape.steps.len() as i64;
        let definition = store.write(move |tx| definition::intern(tx, &new_definition(&shape)))?;
        let mut new = new_group(definition);
        change(&mut new);
        let id = match store.write(move |tx| group::create(tx, &new))? {
            group::Created::New(id) => id,
            group::Created::Existing(id)
            | group::Created::Skipped(id)
            | group::Created::Unfinished(id, _)
            | group::Created::Gone(id, _) => {
                return Ok((id, vec![]));
            }
        };
        let keys: Vec<Option<String>> = keys.iter().map(|it| it.map(String::from)).collect();
        let new = |item: &&str| group::NewRun {
            item: item.to_string(),
            keys: keys.clone(),
            demands: takes.to_vec(),
            content: None,
            documents: None,
        };
        let all: Vec<group::NewRun> = items.iter().map(new).collect();
        let mut runs = Vec::new();
        for slice in all.chunks(100) {
            let slice = slice.to_vec();
            let count = slice.len() as i64;
            let first = store.write(move |tx| {
                let run = group::add_runs(tx, id, &slice)?.unwrap_or(RunId(0));
                Ok((run, read::show_run(tx, run)?.steps[0].id))
            })?;
            runs.extend((0..count).map(|no| (RunId(first.0.0 + no), StepId(first.1.0 + no * steps))));
        }
        store.write(move |tx| group::seal(tx, id))?;
        Ok((id, runs))
    }

    /// Opens the same file again. To the store this looks like another process.
    pub fn open_again(&self) -> Store {
        Store::open(&self.options, self.clock.clone()).unwrap()
    }

    /// Ends the store's writer and starts a new one from the state on disk.
    pub fn restart(&mut self) {
        self.store.close();
        self.store = self.open_again();
    }

    /// Claims the only claimable step; `"*"` for any type.
    pub fn claim(&self, pool: &str) -> Claimed {
        self.claims(pool, 1).into_iter().next().expect("nothing is claimable")
    }

    pub fn claims(&self, pool: &str, limit: usize) -> Vec<Claimed> {
        self.claims_in(Scope::Everything, pool, limit)
    }

    pub fn claims_in(&self, scope: Scope, pool: &str, limit: usize) -> Vec<Claimed> {
        let take = match pool {
            // As that of every worker, whose hooks have a pool of their own.
            "*" => {
                let hooks = self.store.read(|tx| step_type::find(tx, HOOK_TYPE)).unwrap();
                hooks.iter().for_each(|_| self.open_pool(HOOK_TYPE));
                Take::Others(hooks.into_iter().collect())
            }
            name => Take::Type(self.type_id(name)),
        };
        self.store.claim(request(WORKER, take, scope, limit)).unwrap()
    }

    /// The steps that the pool `"*"` claims for a worker that also has these pools.
    pub fn claims_others(&self, not: &[&str], limit: usize) -> Vec<Claimed> {
        let not: Arc<[TypeId]> = not.iter().map(|it| self.type_id(it)).collect();
        self.store.claim(request(WORKER, Take::Others(not), Scope::Everything, limit)).unwrap()
    }

    pub fn open_pool(&self, name: &str) {
        let id = self.type_id(name);
        if !self.store.write(move |tx| step_type::open_queue(tx, id)).unwrap() {
            return;
        }
        let mut after = None;
        loop {
            after = self.store.write(move |tx| claim::move_queue(tx, id, after, 100)).unwrap();
            if after.is_none() {
                return;
            }
        }
    }

    fn type_id(&self, name: &str) -> TypeId {
        let found = self.store.read(|tx| step_type::find(tx, name)).unwrap();
        found.unwrap_or_else(|| panic!("no step has the type `{name}`"))
    }

    pub fn complete(&self, step: &Claimed) -> Held {
        self.settle(step, completion())
    }

    pub fn settle(&self, step: &Claimed, settlement: Settlement) -> Held {
        self.store.settle(Settle { lease: step.lease, settlement, then: None }).unwrap().held
    }

    pub fn fail(&self, step: &Claimed, why: &str) -> Held {
        self.settle(step, Settlement::Fail { crashed: false, record: record(why) })
    }

    /// Reaps everything that a dead worker was running, and returns the number of steps. The worker registers again
    /// under its old number.
    pub fn reap(&self, id: WorkerId) -> usize {
        self.reap_for(id, reap::Death::Died)
    }

    pub fn reap_for(&self, id: WorkerId, death: reap::Death) -> usize {
        self.reap_through(&self.store, id, death)
    }

    pub fn reap_through(&self, store: &Store, id: WorkerId, death: reap::Death) -> usize {
        let mut count = 0;
        loop {
            let reaped = store.write(move |tx| reap::reap(tx, id, death, 100)).unwrap();
            count += reaped.len();
            if reaped.len() < 100 {
                self.enrol(id);
                return count;
            }
        }
    }

    pub fn pause(&self, id: GroupId) {
        self.store.write(move |tx| pause::group(tx, id)).unwrap();
    }

    pub fn resume(&self, id: GroupId) {
        self.store.write(move |tx| pause::resume_group(tx, id)).unwrap();
        while self.store.write(move |tx| pause::resume_slice(tx, id, 100)).unwrap() {}
    }

    pub fn cancel(&self, id: GroupId) {
        self.store.write(move |tx| cancel::group(tx, id)).unwrap();
        let mut after = Some(RunId(0));
        while let Some(from) = after {
            after = self.store.write(move |tx| cancel::group_slice(tx, id, from, 100)).unwrap();
        }
    }

    pub fn retry(&self, id: GroupId) -> Result<bool> {
        let begun = self.store.write(move |tx| retry::group(tx, id))?;
        while self.store.write(move |tx| retry::group_slice(tx, id, 100, None))? {}
        Ok(begun)
    }

    pub fn status(&self, step: &Claimed) -> Status {
        self.status_of(step.lease.step)
    }

    pub fn status_of(&self, id: StepId) -> Status {
        self.store.read(|tx| read::status_of_step(tx, id)).unwrap()
    }

    pub fn item(&self, step: &Claimed) -> String {
        self.store.read(|tx| input::read(tx, step.lease.step)).unwrap().item
    }

    pub fn type_name(&self, step: &Claimed) -> String {
        self.store.read(|tx| step_type::name(tx, step.step_type)).unwrap().unwrap()
    }

    pub fn ended(&self, id: GroupId) -> bool {
        self.group_end(id).ended.is_some()
    }

    pub fn group_end(&self, id: GroupId) -> group::End {
        self.store.read(|tx| group::end(tx, id)).unwrap()
    }

    /// How many events of this kind there are, such as `GROUP_END`.
    pub fn events(&self, kind: &str) -> usize {
        let events = self.store.read(|tx| event::after(tx, event::Cursor::default(), 1_000_000)).unwrap();
        events.iter().filter(|(_, it)| serde_json::to_value(it.kind).unwrap() == kind).count()
    }

    pub fn count(&self, table: &str) -> i64 {
        let counts = self.store.read(check::row_counts).unwrap();
        counts.iter().find(|it| it.0 == table).unwrap_or_else(|| panic!("no table `{table}`")).1
    }

    /// Panics unless the database satisfies every invariant.
    #[track_caller]
    pub fn check(&self) {
        let found = self.store.read(check::check).unwrap();
        assert!(found.is_empty(), "the database is not sound: {found:#?}");
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        self.store.close();
    }
}

/// A claim as a consumer of this process would make it.
pub fn request(worker: WorkerId, take: Take, scope: Scope, limit: usize) -> Claim {
    let identity = serde_json::to_string(&identity()).unwrap();
    Claim {
        worker,
        take,
        scope,
        limit,
        identity: identity.into(),
        boot_id: "boot".into(),
        lock_deadline: Monotonic(60_000),
    }
}

pub fn identity() -> ProcessIdentity {
    ProcessIdentity {
        pid: std::process::id(),
        start_time: None,
        boot_id: "boot".into(),
        pid_namespace: None,
        time_namespace: None,
    }
}

/// A group of a definition, with nothing special.
pub fn new_group(definition: windlass::model::DefinitionId) -> group::NewGroup {
    group::NewGroup {
        definition,
        name: "test".into(),
        params: "{}".into(),
        directory: "/".into(),
        file: String::new(),
        concurrency: None,
        priority: 0,
        weight: 1,
        force: false,
        scoped: false,
        key: None,
        builder: identity(),
        of_batch: None,
        alerts: None,
        child: None,
        collect: None,
    }
}

/// A definition with steps named like their types.
pub fn new_definition(shape: &Shape) -> definition::NewDefinition {
    use sha2::Digest;
    let steps: Vec<_> = shape.steps.iter().map(|it| serde_json::json!({"name": it.step_type})).collect();
    let text = serde_json::to_string(shape).unwrap();
    definition::NewDefinition {
        hash: sha2::Sha256::digest(&text).into(),
        name: "test".into(),
        title: "Test".into(),
        body: serde_json::json!({"id": "test", "steps": steps}).to_string(),
        shape: shape.clone(),
    }
}

/// A number that differs from run to run, for seeds.
pub fn chance() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

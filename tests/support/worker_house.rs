//! The fixture of tests with worker processes: a Python worker that runs the code in its item.
#![allow(dead_code)] // Each test program uses its own part of it.

use super::binary::{signal, use_for_children};
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use windlass::{
    model::{Outcome, RunId, WorkerLimits},
    os::{CancelToken, process_stat},
    process::{
        exchange::WorkLimits,
        pool::{Done, Job, Pool, PoolSpec, Ran, Recycled, Timing, UnitOf},
        protocol::Work,
        sdk,
        worker::{Timeouts, WorkerSpec},
    },
};

/// Runs the Python code in its item; `result` is the value. `at_finalize` is code for the end of the unit.
pub const WORKER: &str = r#"
import os, signal, subprocess, sys, time
from windlass_worker import Permanent, Retryable, finalize, run, step

kept, result, at_finalize = [], None, ""

@step("do")
def do(ctx):
    globals().update(ctx=ctx, result=None)
    exec(ctx.item, globals())
    return result

@finalize
def end():
    exec(at_finalize, globals())

run()
"#;

pub struct House {
    pub dir: tempfile::TempDir,
    pub recycled: Arc<Mutex<Vec<Recycled>>>,
}

impl House {
    pub fn new() -> House {
        use_for_children();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("windlass_worker.py"), sdk::PYTHON).unwrap();
        fs::write(dir.path().join("worker.py"), WORKER).unwrap();
        House { dir, recycled: Arc::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A pool of one worker without limits.
    pub fn spec(&self) -> PoolSpec {
        PoolSpec {
            name: "py".into(),
            size: 1,
            limits: WorkerLimits::unlimited(),
            worker: WorkerSpec {
                command: vec!["python3".into(), "worker.py".into()],
                dir: self.dir.path().to_path_buf(),
                env: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
                definition: "test".into(),
                handlers: vec!["do".into()],
                address_space: None,
                timeouts: Timeouts::default(),
            },
            timing: Timing::default(),
        }
    }

    pub fn open(&self, spec: PoolSpec) -> Pool {
        let recycled = self.recycled.clone();
        Pool::open(spec, move |it| recycled.lock().unwrap().push(*it)).unwrap()
    }

    pub fn pool(&self) -> Pool {
        self.open(self.spec())
    }

    pub fn recycled(&self) -> Vec<Recycled> {
        self.recycled.lock().unwrap().clone()
    }

    /// The pid that a worker wrote into a file of this house.
    pub fn pid_in(&self, name: &str) -> u32 {
        let mut pid = None;
        wait_until(&format!("a pid in {name}"), || {
            pid = fs::read_to_string(self.path(name)).ok().and_then(|it| it.strip_suffix('\n')?.parse().ok());
            pid.is_some()
        });
        pid.unwrap()
    }
}

/// Optional input of a step besides its code.
pub struct Extra<'a> {
    pub unit: UnitOf,
    pub cancel: CancelToken,
    pub deadline: Option<windlass::model::Millis>,
    pub limits: WorkLimits,
    pub alone: bool,
    pub lock: Option<&'a fs::File>,
}

impl Default for Extra<'_> {
    fn default() -> Self {
        Extra {
            unit: UnitOf::Step,
            cancel: CancelToken::new(),
            deadline: None,
            limits: WorkLimits::default(),
            alone: false,
            lock: None,
        }
    }
}

pub fn work(code: &str) -> Work {
    let name = |letter: &str| format!("{letter}1");
    Work {
        group: name("g"),
        run: name("r"),
        step: name("s"),
        attempt: 1,
        token: 1,
        handler: "do".into(),
        item: code.into(),
        ..Work::default()
    }
}

/// Runs code as a step, waiting until a worker is available.
pub fn run_with(pool: &Pool, code: &str, extra: &Extra) -> Ran {
    let work = work(code);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let done = pool.run(&Job {
            work: &work,
            unit: extra.unit,
            cancel: &extra.cancel,
            deadline: extra.deadline,
            limits: extra.limits,
            alone: extra.alone,
            live: None,
            lock: extra.lock,
        });
        match done {
            Done::Ran(ran) => return *ran,
            Done::NotNow { reason, .. } => assert!(Instant::now() < deadline, "{reason:?}"),
        }
        thread::yield_now();
    }
}

pub fn run(pool: &Pool, code: &str) -> Ran {
    run_with(pool, code, &Extra::default())
}

/// The value of code that must succeed.
pub fn value(pool: &Pool, code: &str) -> Value {
    let ran = run(pool, code);
    assert_eq!(ran.outcome, Outcome::Succeeded, "{code}: {}", text(&ran.stderr.newest));
    ran.value.unwrap_or_default()
}

/// The pid of the worker that the next step gets.
pub fn pid(pool: &Pool) -> u32 {
    value(pool, "result = os.getpid()").as_u64().unwrap() as u32
}

pub fn in_run(run: i64, last: bool) -> Extra<'static> {
    Extra { unit: UnitOf::Run { run: RunId(run), last }, ..Extra::default() }
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

pub fn kill(pid: u32) {
    signal(pid, "KILL");
}

pub fn is_gone(pid: u32) -> bool {
    process_stat::identity_of(pid).is_none()
}

pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        thread::yield_now();
    }
}

//! Measures the cost of a step on a worker process: a round trip through the pool, compared to the same bytes through
//! bare pipes.
//!
//!     cargo bench --bench worker -- [ROUNDS]      (20000 by default)
//!
//! Needs python3. The bare echo reads a frame and writes it back without parsing: the minimum cost of two processes and
//! the kernel.

use serde_json::json;
use std::{
    ffi::OsString,
    fs,
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use windlass::{
    model::{Millis, Outcome, WorkerLimits},
    os::CancelToken,
    process::{
        exchange::{RequestOptions, WorkLimits},
        pool::{Done, Job, Pool, PoolSpec, Timing, UnitOf},
        protocol::{Request, Work, encode},
        sdk, shim,
        worker::{Timeouts, Worker, WorkerSpec},
    },
};

const WORKER: &str = "from windlass_worker import *\n@step\ndef echo(ctx):\n    return ctx.item\nrun()\n";
const BARE: &str = "
import os, struct
while True:
    header = os.read(0, 4)
    if not header:
        break
    (length,) = struct.unpack('>I', header)
    os.write(1, header + os.read(0, length))
";
/// The same, but the JSON is parsed and written, as any Python worker must do.
const BARE_JSON: &str = "
import json, os, struct
while True:
    header = os.read(0, 4)
    if not header:
        break
    (length,) = struct.unpack('>I', header)
    body = json.dumps(json.loads(os.read(0, length)), ensure_ascii=False, separators=(',', ':')).encode()
    os.write(1, struct.pack('>I', len(body)) + body)
";

fn main() -> anyhow::Result<()> {
    if let Some(code) = shim::run_if_asked() {
        std::process::exit(code);
    }
    let measured = std::env::args().any(|it| it == "--bench");
    let mut numbers = std::env::args().skip(1).filter_map(|it| it.parse().ok());
    let rounds: usize = numbers.next().unwrap_or(if measured { 20_000 } else { 20 });
    let house = tempfile::tempdir()?;
    fs::write(house.path().join("windlass_worker.py"), sdk::PYTHON)?;
    fs::write(house.path().join("worker.py"), WORKER)?;
    let work = Work { handler: "echo".into(), item: json!("x".repeat(100)), out: "/tmp".into(), ..Work::default() };
    let frame = encode(1, &Request::Run(&work)).map_err(|it| anyhow::anyhow!("{it} bytes"))?;
    println!("{rounds} rounds; a request has {} bytes; microseconds", frame.len());
    println!("{:32} {:>8} {:>8} {:>8}", "", "median", "p99", "mean");
    show("bare pipe echo", bare(BARE, &frame, rounds)?);
    show("bare echo that reads the JSON", bare(BARE_JSON, &frame, rounds)?);
    show("one request to a worker", request_times(house.path(), &work, rounds)?);
    show("a step with its unit, in the pool", pooled(house.path(), &work, rounds)?);
    Ok(())
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let micros = |it: Duration| it.as_secs_f64() * 1e6;
    let mean = times.iter().map(|it| micros(*it)).sum::<f64>() / times.len() as f64;
    let (median, p99) = (micros(times[times.len() / 2]), micros(times[times.len() * 99 / 100]));
    println!("{what:32} {median:8.1} {p99:8.1} {mean:8.1}");
}

fn timed(rounds: usize, mut round: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Vec<Duration>> {
    let one = |_| {
        let begun = Instant::now();
        round().map(|()| begun.elapsed())
    };
    (0..rounds).map(one).collect()
}

fn bare(script: &str, frame: &[u8], rounds: usize) -> anyhow::Result<Vec<Duration>> {
    let mut command = Command::new("python3");
    let mut child = command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let times = timed(rounds, || {
        to.write_all(frame)?;
        let mut header = [0; 4];
        from.read_exact(&mut header)?;
        from.read_exact(&mut vec![0; u32::from_be_bytes(header) as usize])?;
        Ok(())
    })?;
    drop(to);
    child.wait()?;
    Ok(times)
}

fn spec(dir: &Path) -> WorkerSpec {
    WorkerSpec {
        command: ["python3", "worker.py"].map(OsString::from).to_vec(),
        dir: dir.to_path_buf(),
        env: vec![("PATH".into(), std::env::var_os("PATH").unwrap_or_default())],
        definition: "bench".into(),
        handlers: vec!["echo".into()],
        address_space: None,
        timeouts: Timeouts::default(),
    }
}

fn request_times(dir: &Path, work: &Work, rounds: usize) -> anyhow::Result<Vec<Duration>> {
    let cancel = CancelToken::new();
    let mut worker = Worker::start(1, &spec(dir), &cancel).map_err(|it| anyhow::anyhow!("{it:?}"))?;
    let timeouts = Timeouts::default();
    let terms = RequestOptions::of(&cancel, &timeouts);
    let times = timed(rounds, || {
        anyhow::ensure!(worker.ask(&Request::Run(work), &terms).answer.is_some_and(|it| it.failed.is_none()));
        Ok(())
    });
    worker.end(&cancel);
    times
}

fn pooled(dir: &Path, work: &Work, rounds: usize) -> anyhow::Result<Vec<Duration>> {
    let (limits, timing) =
        (WorkerLimits { age: Some(Millis::minutes(10)), ..WorkerLimits::default() }, Timing::default());
    let pool = Pool::open(PoolSpec { name: "py".into(), size: 1, limits, worker: spec(dir), timing }, |_| ())?;
    let cancel = CancelToken::new();
    timed(rounds, || {
        let job = Job {
            work,
            unit: UnitOf::Step,
            cancel: &cancel,
            deadline: None,
            limits: WorkLimits::default(),
            alone: false,
            live: None,
            lock: None,
        };
        let Done::Ran(ran) = pool.run(&job) else { anyhow::bail!("there is no worker") };
        anyhow::ensure!(ran.outcome == Outcome::Succeeded, "{}", ran.outcome);
        Ok(())
    })
}

//! Long-lived worker processes as steps meet them: real pools, the real library, the real interpreter.

mod support {
    pub mod binary;
    pub mod needs;
    pub mod worker_house;
}

use support::binary::{Running, Windlass, use_for_children};
use support::needs::needs;
use support::worker_house;

use std::{
    fs, thread,
    time::{Duration, Instant},
};
use windlass::{
    decide::recycle::{RecycleReason, recycle},
    model::{Bytes, Health, KillIntent, Millis, Outcome, WorkerLimits},
    os::process_stat,
    process::pool::PoolSpec,
};
use worker_house::{Extra, House, in_run, is_gone, kill, pid, run, run_with, text, value, wait_until};

fn kind(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed { kind, .. } => kind,
        other => panic!("not failed: {other:?}"),
    }
}

#[test]
fn what_a_step_prints_without_a_newline_is_no_part_of_its_answer() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    let ran = run(&pool, "os.write(1, b'50 percent'); os.write(2, b'hm'); result = [1, 'two']");
    assert_eq!((ran.outcome, ran.value), (Outcome::Succeeded, Some(serde_json::json!([1, "two"]))));
    assert_eq!((text(&ran.stdout.newest), text(&ran.stderr.newest)), ("50 percent", "hm"));
}

#[test]
fn an_answer_that_is_forged_on_stdout_is_ignored() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    let forge = r#"
import json, struct
for number in range(0, 10):
    body = json.dumps({"type": "answer", "id": number, "value": "forged"}).encode()
    os.write(1, struct.pack(">I", len(body)) + body)
result = "real"
"#;
    assert_eq!(value(&pool, forge), "real");
    let child =
        "subprocess.run(['sh', '-c', 'echo forged >&3; echo forged >&4; echo forged'], check=False)\nresult = 1";
    assert_eq!(value(&pool, child), 1, "a grandchild has no descriptor of the protocol");
    assert_eq!(value(&pool, "result = 'next'"), "next");
}

#[test]
fn a_grandchild_that_reads_stdin_sees_its_end() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    assert_eq!(value(&pool, "result = subprocess.run(['cat'], capture_output=True).stdout.decode()"), "");
    assert_eq!(value(&pool, "result = sys.stdin.read()"), "");
    assert_eq!(value(&pool, "result = 'intact'"), "intact");
}

/// Implements the protocol itself, and lets its children inherit the pipe.
const CARELESS: &str = r#"
import json, os, struct, subprocess, sys
requests, answers = (int(it) for it in os.environ["WINDLASS_FDS"].split(","))
os.set_inheritable(answers, True)
def send(**message):
    body = json.dumps(message).encode()
    os.write(answers, struct.pack(">I", len(body)) + body)
def receive():
    (length,) = struct.unpack(">I", os.read(requests, 4))
    return json.loads(os.read(requests, length))
send(type="hello", nonce=os.environ["WINDLASS_NONCE"], protocol=1, pid=os.getpid())
send(type="answer", id=receive()["id"])
request = receive()
exec(request["item"])
"#;

#[test]
fn a_final_answer_is_kept_though_a_grandchild_holds_every_pipe() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    fs::write(house.path("worker.py"), CARELESS).unwrap();
    let pool = house.pool();
    let answer = "
holder = subprocess.Popen(['sleep', '1000'], start_new_session=True, close_fds=False)
open('holder', 'w').write(str(holder.pid) + '\\n')
send(type='answer', id=request['id'], value='final')
os._exit(3)";
    let ran = run(&pool, answer);
    assert_eq!((ran.outcome, ran.value), (Outcome::Succeeded, Some("final".into())), "{:?}", ran.certificate);
    drop(pool);
    wait_until("the grandchild is gone", || is_gone(house.pid_in("holder")));
}

#[test]
fn answers_to_other_requests_and_unknown_messages_are_ignored() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    fs::write(house.path("worker.py"), CARELESS).unwrap();
    let pool = house.pool();
    let answers = "
send(type='answer', id=request['id'] + 1000, value='of another')
send(type='answer', id=0, failed={'message': 'of nobody'})
send(type='of a later version', id=request['id'])
send(type='progress', id=request['id'], done=1, total=2)
send(type='log', id=request['id'], message='a line')
send(type='answer', id=request['id'], value='ours')
os._exit(0)";
    let ran = run(&pool, answers);
    assert_eq!((ran.outcome, ran.value), (Outcome::Succeeded, Some("ours".into())));
    assert_eq!(text(&ran.stderr.newest), "a line\n");
}

#[test]
fn a_pipe_that_a_grandchild_holds_is_drained_for_a_bounded_time() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    fs::write(house.path("worker.py"), CARELESS).unwrap();
    let mut spec = house.spec();
    spec.worker.timeouts.drain = Millis(300);
    let pool = house.open(spec);
    let late = "
script = 'import os, time; time.sleep(0.1); os.write(%d, bytes.fromhex(%r))'
body = json.dumps({'type': 'answer', 'id': request['id'], 'value': 'late'}).encode()
frame = struct.pack('>I', len(body)) + body
subprocess.Popen(['python3', '-c', script % (answers, frame.hex())], start_new_session=True, close_fds=False)
os._exit(0)";
    let begun = Instant::now();
    let lost = run(&pool, "subprocess.Popen(['sleep', '1000'], start_new_session=True, close_fds=False); os._exit(0)");
    assert_eq!(kind(&lost.outcome), "result_lost");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let mut patient = house.spec();
    patient.worker.timeouts.drain = Millis::seconds(30);
    let ran = run(&house.open(patient), late);
    assert_eq!((ran.outcome, ran.value), (Outcome::Succeeded, Some("late".into())));
    assert!(ran.certificate.remarks.iter().any(|it| it.contains("recovered")), "{:?}", ran.certificate);
}

#[test]
fn a_worker_that_dies_while_it_is_idle_is_replaced_and_no_step_is_blamed() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    for (linger, watched) in [(Millis::minutes(60), false), (Millis(1), true)] {
        let mut spec = house.spec();
        spec.timing.linger = linger;
        let pool = house.open(spec);
        let first = pid(&pool);
        kill(first);
        match watched {
            true => wait_until("the keeper has seen it", || pool.workers().is_empty()),
            false => wait_until("the worker is gone", || is_gone(first)),
        }
        let second = pid(&pool);
        assert_ne!(first, second);
        assert_eq!(pool.workers().iter().map(|it| it.pid).collect::<Vec<_>>(), [second]);
    }
}

#[test]
fn a_teardown_that_kills_the_worker_is_reported_and_the_next_unit_gets_a_fresh_one() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    for (teardown, words) in [("os._exit(9)", "ended the worker"), ("raise ValueError('no')", "ValueError: no")] {
        let ran = run(&pool, &format!("global at_finalize; at_finalize = {teardown:?}; result = os.getpid()"));
        assert_eq!(ran.outcome, Outcome::Succeeded, "the step itself is not blamed");
        let first = ran.value.unwrap().as_u64().unwrap() as u32;
        assert!(ran.certificate.remarks.iter().any(|it| it.contains(words)), "{:?}", ran.certificate.remarks);
        assert_ne!(pid(&pool), first);
    }
}

#[test]
fn an_exit_with_0_inside_a_step_is_a_lost_result() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    for code in ["sys.exit(0)", "os._exit(0)"] {
        let ran = run(&pool, code);
        assert_eq!(kind(&ran.outcome), "result_lost");
        assert!(matches!(ran.outcome, Outcome::Failed { retryable: true, .. }));
    }
    let ran = run(&pool, "os.kill(os.getpid(), signal.SIGSEGV)");
    assert!(matches!(ran.outcome, Outcome::Crashed { signal: Some(11), .. }), "{:?}", ran.outcome);
    assert_eq!(value(&pool, "result = 1"), 1);
}

#[test]
fn a_large_engine_does_not_make_its_workers_look_large() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let ballast = vec![1u8; 400 << 20];
    assert!(process_stat::rss_bytes(std::process::id()).unwrap() > 300 << 20);
    let limits = WorkerLimits { rss: Some(Bytes::mib(200)), ..WorkerLimits::unlimited() };
    let pool = house.open(PoolSpec { limits, ..house.spec() });
    let first = pid(&pool);
    assert!((0..10).all(|_| pid(&pool) == first));
    assert_eq!((house.recycled(), pool.trouble()), (vec![], vec![]));
    drop(std::hint::black_box(ballast));
}

#[test]
fn what_is_held_until_the_end_of_a_unit_is_no_leak() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let limits = WorkerLimits { fds: Some(200), ..WorkerLimits::unlimited() };
    let pool = house.open(PoolSpec { limits, ..house.spec() });
    let hold = "global at_finalize; kept.extend(open('/dev/null') for _ in range(300)); result = os.getpid()\n\
        at_finalize = 'kept.clear()'";
    let first = value(&pool, hold);
    assert!((0..10).all(|_| value(&pool, hold) == first));
    assert_eq!(house.recycled(), []);
    let leak = "global at_finalize; at_finalize = ''; kept.extend(open('/dev/null') for _ in range(300))";
    value(&pool, leak);
    wait_until("the leaking worker is replaced", || house.recycled().len() == 1);
    let [recycled] = house.recycled()[..] else { panic!() };
    assert!(matches!(recycled.reason, RecycleReason::OpenFiles { reading: 300.., limit: 200 }), "{}", recycled.reason);
    assert_ne!(value(&pool, "result = os.getpid()"), first);
}

#[test]
fn an_age_limit_that_passes_within_a_unit_waits_for_its_end() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let limits = WorkerLimits { age: Some(Millis(1)), ..WorkerLimits::unlimited() };
    let pool = house.open(PoolSpec { limits, ..house.spec() });
    let setup = "global at_finalize; open('log', 'a').write('setup '); result = os.getpid()\n\
        at_finalize = \"open('log', 'a').write('teardown ')\"; time.sleep(0.01)";
    let first = run_with(&pool, setup, &in_run(1, false)).value;
    let second = run_with(&pool, "result = os.getpid()", &in_run(1, false)).value;
    let third = run_with(&pool, "result = os.getpid()", &in_run(1, true)).value;
    assert!(first.is_some() && first == second && second == third);
    wait_until("the old worker is replaced", || house.recycled().len() == 1);
    assert_eq!(house.recycled()[0].units, 1);
    assert_eq!(fs::read_to_string(house.path("log")).unwrap(), "setup teardown ");
    assert_ne!(Some(pid(&pool).into()), first);
}

#[test]
fn eight_workers_that_grow_old_together_are_replaced_one_at_a_time() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let limits = WorkerLimits { age: Some(Millis(100)), ..WorkerLimits::unlimited() };
    let pool = house.open(PoolSpec { limits, size: 8, ..house.spec() });
    let all_at_once = "open(str(os.getpid()) + '.here', 'w').close(); began = time.time()\n\
        while time.time() < began + 60 and sum(it.endswith('.here') for it in os.listdir('.')) < 8: time.sleep(0.01)";
    thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| value(&pool, all_at_once)))));
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut most, mut least) = (0, usize::MAX);
    while house.recycled().len() < 8 && Instant::now() < deadline {
        thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| value(&pool, "time.sleep(0.002)")))));
        let there = pool.workers().len();
        (most, least) = (most.max(there), least.min(there));
    }
    assert!(house.recycled().len() >= 8);
    assert!(
        most <= 9 && least >= 8,
        "{least} to {most} workers: the replacement is ready first, and there is only one"
    );
}

#[test]
fn a_worker_lives_on_when_the_thread_that_started_it_has_ended() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    let first = thread::scope(|scope| scope.spawn(|| pid(&pool)).join().unwrap());
    assert!((0..5).all(|_| pid(&pool) == first));
}

/// Not a test on its own: an engine that others kill. It starts workers and does what its environment says.
#[test]
#[ignore = "the part of an engine, played for other tests"]
fn the_part_of_an_engine() {
    let Some(code) = std::env::var_os("PART_CODE") else { return };
    use_for_children();
    let mut spec = House::new().spec();
    spec.worker.dir = std::env::current_dir().unwrap();
    run(&windlass::process::pool::Pool::open(spec, |_| ()).unwrap(), code.to_str().unwrap());
}

fn engine(house: &House, code: &str) -> Running {
    let mut command = Windlass::role("the_part_of_an_engine");
    command.env("PART_CODE", code).current_dir(house.dir.path()).silent().spawn().unwrap()
}

#[test]
fn a_worker_whose_engine_dies_before_it_is_watched_ends() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let early = "import os\nopen('early', 'w').write(str(os.getpid()) + '\\n')\nimport time\ntime.sleep(1000)\n";
    fs::write(house.path("worker.py"), early).unwrap();
    let mut engine = engine(&house, "");
    let worker = house.pid_in("early");
    let tree = process_stat::descendants(engine.id());
    engine.kill().unwrap();
    engine.wait().unwrap();
    let killed = Instant::now();
    wait_until("the worker is gone", || is_gone(worker) && tree.iter().all(|it| is_gone(*it)));
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
}

#[test]
fn nothing_is_left_of_a_busy_worker_when_the_engine_is_killed() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let busy = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
        child = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n\
        open('child', 'w').write(str(child.pid) + '\\n')\n\
        while True: pass";
    let mut engine = engine(&house, busy);
    let child = house.pid_in("child");
    let tree = process_stat::descendants(engine.id());
    assert!(tree.len() >= 3 && tree.contains(&child), "{tree:?}"); // the shim, the worker, its child
    engine.kill().unwrap();
    engine.wait().unwrap();
    let killed = Instant::now();
    wait_until("the whole tree is gone", || tree.iter().all(|it| is_gone(*it)));
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
}

#[test]
fn a_reading_at_the_limit_trips_and_a_missing_one_never_does() {
    let limits = WorkerLimits { rss: Some(Bytes(1000)), fds: Some(100), age: Some(Millis(10)) };
    let signal =
        |rss_bytes, open_fds, age| recycle(&Health { rss_bytes, open_fds }, Millis(age), &limits).map(|it| it.signal());
    assert_eq!(signal(Some(999), Some(99), 9), None);
    assert_eq!(signal(Some(1000), Some(100), 10), Some("memory"));
    assert_eq!(signal(Some(999), Some(100), 10), Some("open_files"));
    assert_eq!(signal(None, None, 10), Some("age"));
    assert_eq!(signal(None, None, 9), None);
    if !needs("python3") {
        return;
    }
    // The same on a real worker, with exactly as many descriptors as its limit allows, and with one less.
    for (more, trips) in [(0, true), (1, false)] {
        let house = House::new();
        let count = "result = len(os.listdir('/proc/self/fd')) - 1";
        let keep = |many: u64| format!("kept.extend(open('/dev/null') for _ in range({many} - len(kept))); {count}");
        let fds = value(&house.pool(), &keep(50)).as_u64().unwrap();
        let limits = WorkerLimits { fds: Some(fds + more), ..WorkerLimits::unlimited() };
        let pool = house.open(PoolSpec { limits, ..house.spec() });
        (0..6).for_each(|_| drop(value(&pool, count)));
        value(&pool, &keep(50));
        match trips {
            true => wait_until("the worker is replaced", || house.recycled().len() == 1),
            false => drop(value(&pool, count)),
        }
        drop(pool);
        assert_eq!(house.recycled().len(), usize::from(trips), "{fds} descriptors, limit {}", fds + more);
    }
}

#[test]
fn much_on_stderr_never_blocks_and_the_newest_is_kept() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    let ran = run(&pool, "os.write(2, b'x' * (256 << 10)); result = 1");
    assert_eq!((ran.value, ran.stderr.total, ran.stderr.newest.len()), (Some(1.into()), 256 << 10, 256 << 10));
    let ran = run(&pool, "[os.write(2, b'y' * 65536) for _ in range(48)]; os.write(2, b'last'); result = 2");
    assert_eq!((ran.value, ran.stderr.total), (Some(2.into()), (3 << 20) + 4));
    assert!(ran.stderr.newest.len() == 1 << 20 && ran.stderr.newest.ends_with(b"ylast"));
    let background = "import threading; threading.Timer(0.05, lambda: [os.write(1, b'z' * 65536) for _ in range(32)] \
        and open('printed', 'w').close()).start()";
    value(&pool, background);
    wait_until("an idle worker could print", || house.path("printed").exists());
}

#[test]
fn a_cancelled_step_is_cancelled_though_its_worker_exits_with_0() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    let code = "signal.signal(signal.SIGTERM, lambda *_: os._exit(0)); open('ready', 'w').close(); time.sleep(1000)";
    let extra = Extra::default();
    let ran = thread::scope(|scope| {
        let running = scope.spawn(|| run_with(&pool, code, &extra));
        wait_until("the step runs", || house.path("ready").exists());
        extra.cancel.cancel(KillIntent::Cancel);
        running.join().unwrap()
    });
    assert_eq!((ran.outcome, ran.certificate.exit), (Outcome::Cancelled, Some(windlass::model::ExitStatus::Code(0))));
    assert_eq!(value(&pool, "result = 1"), 1);
}

#[test]
fn a_limit_below_what_every_worker_needs_is_suspended_with_a_warning() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let limits = WorkerLimits { rss: Some(Bytes::mib(1)), ..WorkerLimits::unlimited() };
    let pool = house.open(PoolSpec { limits, ..house.spec() });
    let deadline = Instant::now() + Duration::from_secs(60);
    while pool.trouble().is_empty() && Instant::now() < deadline {
        pid(&pool);
    }
    let trouble = pool.trouble();
    assert!(trouble.len() == 1 && trouble[0].contains("memory"), "{trouble:?}");
    wait_until("two workers were replaced for it", || house.recycled().len() == 2);
    let last = pid(&pool);
    assert!((0..50).all(|_| pid(&pool) == last));
    assert_eq!(house.recycled().len(), 2, "no storm");
}

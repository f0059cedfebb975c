//! What user code can do to its worker process, and what happens to processes when the engine ends. Each case has the
//! right outcome, and the next unit works.

mod support {
    pub mod binary;
    pub mod needs;
    pub mod worker_house;
}

use support::binary::{Running, Windlass};
use support::needs::{needs, needs_working};
use support::worker_house;

use serde_json::Value;
use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use windlass::{
    model::{Millis, Outcome},
    os::process_stat,
    process::sdk,
};
use worker_house::{Extra, House, is_gone, pid, run, run_with, text, value, wait_until};

#[test]
fn a_step_that_closes_every_standard_stream_still_answers() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    let first = pid(&pool);
    assert_eq!(value(&pool, "os.closerange(0, 50); result = 'closed'"), "closed");
    assert_eq!((value(&pool, "result = 'next'"), pid(&pool)), ("next".into(), first));
}

#[test]
fn a_step_that_closes_the_pipes_of_the_protocol_loses_its_result_and_its_worker() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    let first = pid(&pool);
    let ran = run(&pool, "os.closerange(3, 1000); result = 'never heard'");
    assert!(matches!(&ran.outcome, Outcome::Failed { retryable: true, .. }), "{:?}", ran.outcome);
    assert_ne!(pid(&pool), first);
}

#[test]
fn a_forked_copy_of_a_worker_can_not_speak_for_it() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    let first = pid(&pool);
    for _ in 0..3 {
        assert_eq!(value(&pool, "forked = os.fork(); result = 'parent' if forked else 'child'"), "parent");
        assert_eq!(value(&pool, "os.waitpid(forked, 0); result = 'next'"), "next");
    }
    assert_eq!(pid(&pool), first);
}

#[test]
fn a_step_that_ignores_every_request_to_end_is_killed_at_its_deadline() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let mut spec = house.spec();
    spec.worker.timeouts.grace = Millis(100);
    let pool = house.open(spec);
    let first = pid(&pool);
    let deaf = "[signal.signal(it, signal.SIG_IGN) for it in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]\n\
        child = subprocess.Popen(['sh', '-c', 'trap \"\" TERM; while :; do sleep 1; done'], start_new_session=True)\n\
        open('child', 'w').write(str(child.pid) + '\\n')\n\
        while True:\n    time.sleep(1)";
    let ran = run_with(&pool, deaf, &Extra { deadline: Some(Millis(500)), ..Extra::default() });
    assert_eq!(ran.outcome, Outcome::TimedOut { after: Millis(500) });
    assert!(is_gone(first) && is_gone(house.pid_in("child")));
    assert_eq!(value(&pool, "result = 'next'"), "next");
}

#[test]
fn a_job_that_wants_to_be_alone_gets_a_process_that_has_served_nobody() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    let alone = || run_with(&pool, "result = os.getpid()", &Extra { alone: true, ..Extra::default() });
    let first = alone();
    assert_eq!((first.served, &first.outcome), (0, &Outcome::Succeeded));
    assert_eq!(Some(pid(&pool).into()), first.value, "the others may use it afterwards");
    let second = alone();
    assert!(second.served == 0 && second.value != first.value);
    assert_eq!(run(&pool, "result = 1").served, 1);
    assert_eq!(pool.workers().len(), 1);
}

/// A home and a workflow for the program itself.
struct Shop {
    house: House,
}

const WORKFLOW: &str = "
id: shop
steps:
  - { name: work, worker: py, retries: 0 }
workers:
  py: { command: [python3, worker.py], start_timeout: 5s }
";

impl Shop {
    fn new(workflow: &str) -> Shop {
        let house = House::new();
        fs::write(house.path("windlass_worker.py"), sdk::PYTHON).unwrap();
        fs::write(house.path("shop.yaml"), workflow).unwrap();
        Shop { house }
    }

    fn command(&self, words: &[&str]) -> Windlass {
        let mut command = Windlass::on(self.house.path("home"));
        command.args(words).current_dir(self.house.dir.path());
        command
    }

    fn said(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    fn start(&self, words: &[&str]) -> Running {
        self.command(words).silent().spawn().unwrap()
    }
}

#[test]
fn nothing_is_left_when_the_program_is_killed_not_even_what_moved_to_another_session() {
    if !needs("python3") {
        return;
    }
    let shop = Shop::new(
        "
id: shop
steps:
  - { name: command, run: \"setsid sh -c 'trap \\\"\\\" TERM; (sleep 1000 & echo $! > orphan); sleep 1000' & wait\" }
  - { name: work, worker: py, handler: do, needs: [] }
workers: { py: { command: [python3, worker.py] } }
",
    );
    let busy = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
        if os.fork() == 0:\n    os.setsid()\n    if os.fork() > 0: os._exit(0)\n\
        \x20   open('double', 'w').write(str(os.getpid()) + '\\n')\n    time.sleep(1000)\n\
        time.sleep(1000)";
    let mut engine = shop.start(&["run", "shop.yaml", "--items", busy, "--pool", "*=2"]);
    let (orphan, double) = (shop.house.pid_in("orphan"), shop.house.pid_in("double"));
    let tree = process_stat::descendants(engine.id());
    assert!(tree.len() >= 6 && tree.contains(&orphan) && tree.contains(&double), "{tree:?}");
    engine.kill().unwrap();
    engine.wait().unwrap();
    let killed = Instant::now();
    wait_until("the whole tree is gone", || tree.iter().all(|it| is_gone(*it)));
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
}

#[test]
fn why_shows_a_traceback_with_the_line_of_the_users_code_first() {
    if !needs("python3") {
        return;
    }
    let shop = Shop::new(WORKFLOW);
    let worker = "from windlass_worker import step, run\nimport json\n\n@step\ndef work(ctx):\n    print('looking at', ctx.item)\n    \
        return json.loads(ctx.item)['rope']\n\nrun()\n";
    fs::write(shop.house.path("worker.py"), worker).unwrap();
    let ended = shop.command(&["run", "shop.yaml", "--items", "not JSON"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(3));
    let why = shop.said(&["why", "s1"]);
    let lines: Vec<&str> = why.lines().map(str::trim).collect();
    assert!(lines[1].starts_with("item") && lines[1].ends_with("not JSON"), "{why}");
    let words = "JSONDecodeError: Expecting value: line 1 column 1 (char 0) (worker.py:7, in work)";
    assert!(lines[2].contains(words), "{why}");
    let traceback = lines.iter().position(|it| it.contains("Traceback")).unwrap();
    assert!(lines[traceback + 1].contains("worker.py\", line 7, in work"), "{why}");
    assert!(lines[traceback + 2].contains("return json.loads(ctx.item)['rope']"), "{why}");
    assert!(!why.contains("windlass_worker.py"), "{why}");
    assert_eq!(shop.said(&["logs", "s1", "--stream", "stdout"]), "looking at not JSON\n");
}

#[test]
fn a_run_ends_with_3_when_its_workers_do_not_start_and_why_names_the_reason() {
    if !needs("python3") {
        return;
    }
    let shop = Shop::new(WORKFLOW);
    fs::write(shop.house.path("worker.py"), "raise SystemExit('no such model')\n").unwrap();
    let ended = shop.command(&["run", "shop.yaml", "--items", "x", "y", "z"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", text(&ended.stderr));
    let expected = "worker `py` (`python3 worker.py`) exited with code 1 before it could say hello: no such model (failed to start";
    let why = shop.said(&["why", "s1"]);
    assert!(why.contains(expected), "{why}");
    let logs = shop.said(&["logs", "s1"]);
    assert!(logs.contains("no such model"), "{logs}");
}

#[test]
fn a_step_that_kills_the_shim_of_its_worker_leaves_nothing_behind() {
    if !needs("python3") {
        return;
    }
    windlass::process::adopt_orphans();
    let house = House::new();
    let pool = house.pool();
    let first = pid(&pool);
    let ran = run(
        &pool,
        "left = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n\
        open('left', 'w').write(str(left.pid) + '\\n')\nos.kill(os.getppid(), 9)\ntime.sleep(1000)",
    );
    assert!(is_gone(house.pid_in("left")), "{:?}", ran.outcome);
    assert_ne!(ran.outcome, Outcome::Succeeded);
    assert_ne!(pid(&pool), first);
}

#[test]
fn a_killed_shim_leaves_nothing_behind_where_the_session_was_begun_outside_of_the_pid_namespace() {
    let alone = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if !needs_working("unshare", &[&alone[..], &["true"]].concat()) {
        return;
    }
    let shop = Shop::new(
        "id: shop\nsteps:\n  - { name: work, retries: 0, run: 'sleep 1000 & echo $! > left; kill -9 $PPID; sleep 1000' }\n",
    );
    let script =
        "\"$@\"; echo \"ended with $?\"; kill -0 \"$(cat left)\" 2> /dev/null && echo \"$(cat left) is still there\"";
    let before = [&["unshare"], &alone[..], &["sh", "-c", script, "sh"]].concat();
    let mut command = Windlass::under(&before);
    command.args(["run", "shop.yaml", "--items", "x"]).current_dir(shop.house.dir.path());
    command.env("WINDLASS_HOME", shop.house.path("home"));
    let output = command.output().unwrap();
    let (said, heard) = (text(&output.stdout), text(&output.stderr));
    assert!(said.contains("ended with 3") && !said.contains("still there"), "{said}{heard}");
    assert!(!heard.contains("panicked"), "{heard}");
}

#[test]
fn what_a_step_may_leave_behind_outlives_windlass_and_anything_else_does_not() {
    let leaves = |background: &str| {
        let shop = Shop::new(&format!(
            "id: shop\nsteps:\n  - {{ name: start, {background} run: \"sh -c 'echo $$ > left; exec sleep 1000' & \
            while [ ! -s left ]; do :; done\" }}\n"
        ));
        let said = shop.said(&["run", "shop.yaml", "--items", "x"]);
        assert!(said.contains("completed"), "{said}");
        let left = shop.house.pid_in("left");
        let lives = !is_gone(left);
        if lives {
            Command::new("kill").args(["-9", &left.to_string()]).status().unwrap();
        }
        lives
    };
    assert!(leaves("background: allow,"));
    assert!(!leaves("background: end,"));
    assert!(!leaves(""));
}

#[test]
fn what_a_failed_step_printed_and_used_is_in_its_certificate() {
    if !needs("python3") {
        return;
    }
    let shop = Shop::new(WORKFLOW);
    let worker = "from windlass_worker import step, run\nimport os, time\n\n@step\ndef work(ctx):\n    \
        until = time.monotonic() + 0.3\n    while time.monotonic() < until: pass\n    os.abort()\n\nrun()\n";
    fs::write(shop.house.path("worker.py"), worker).unwrap();
    shop.said(&["run", "shop.yaml", "--items", "heavy"]);
    let show = shop.said(&["show", "s1"]);
    for words in ["crashed: killed by SIGABRT", "peak memory", "CPU time", "had served 0 units", "heavy"] {
        assert!(show.contains(words), "{words}: {show}");
    }
    let workers = shop.said(&["workers", "--json"]);
    assert!(serde_json::from_str::<Value>(&workers).unwrap()["workers"].is_array(), "{}", text(workers.as_bytes()));
}

#[test]
fn logs_follow_a_running_attempt_and_tell_every_line_once() {
    if !needs("python3") {
        return;
    }
    let shop = Shop::new(
        "
id: shop
steps:
  - { name: work, worker: py, retries: 0 }
  - { name: command, run: \"echo started; echo aside >&2; while [ ! -e go-on ]; do sleep 0.05; done; echo ended\" }
workers: { py: { command: [python3, worker.py] } }
",
    );
    let worker = "from windlass_worker import step, run\nimport os, time\n\n@step\ndef work(ctx):\n    \
        print('began', flush=True)\n    while not os.path.exists('go'): time.sleep(0.01)\n    print('done')\n\nrun()\n";
    fs::write(shop.house.path("worker.py"), worker).unwrap();
    let _engine = shop.start(&["run", "shop.yaml", "--items", "x"]);
    let begun = |step: &str| wait_until("the group is there", || shop.said(&["show", step, "--json"]).starts_with('{'));
    begun("s1");
    for (step, go, first, last) in
        [("s1", "go", "began\n", "began\ndone\n"), ("s2", "go-on", "started\n", "started\nended\n")]
    {
        let shown = shop.house.path(&format!("shown-{step}"));
        let file = fs::File::create(&shown).unwrap();
        let mut follower = shop.command(&["logs", step, "--follow", "--stream", "stdout"]);
        let mut follower = follower.stdout(file).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the first line is shown while the step runs", || fs::read_to_string(&shown).unwrap() == first);
        fs::write(shop.house.path(go), "").unwrap();
        let mut ended = None;
        wait_until("the follower ends with the step", || {
            ended = follower.try_wait().unwrap();
            ended.is_some()
        });
        assert!(ended.unwrap().success());
        assert_eq!(fs::read_to_string(&shown).unwrap(), last);
    }
    assert_eq!(shop.said(&["logs", "s2", "--stream", "stderr"]), "aside\n");
    wait_until("nothing is left of what was followed", || {
        fs::read_dir(shop.house.path("home/tmp")).map_or(0, |it| it.count()) == 0
    });
}

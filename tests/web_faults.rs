//! Slow, greedy, broken or hostile clients: none of them prevents `/health` from answering within a second.

mod support {
    pub mod binary;
    pub mod needs;
    pub mod web;
}

use support::needs::needs;
use support::web;

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use web::{PATIENCE, Web, stream::Stream, until};
use windlass::{
    os::{FileLock, process_stat},
    process::sdk,
    vector::{OpenOptions, VectorDb},
};

const PROMISED: Duration = Duration::from_secs(1);
/// The promise is for an optimised build. A build for tests may use this many times the processor time.
const UNOPTIMISED: u32 = 5;

fn connect(web: &Web) -> TcpStream {
    let stream = TcpStream::connect(web.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What the threads of the daemon and of this test have spent so far (`proc(5)`, `schedstat`).
#[derive(Default)]
struct Spent {
    /// Time on a processor, and time ready to run while the machine ran others.
    busy: Duration,
    /// Time on a processor of the thread that answers requests.
    reactor: Duration,
}

impl Spent {
    fn by(web: &Web) -> Spent {
        let mut spent = Spent::default();
        for threads in [format!("/proc/{}/task", web.child.id()), "/proc/self/task".to_string()] {
            for thread in std::fs::read_dir(threads).into_iter().flatten().flatten() {
                let read = |name: &str| std::fs::read_to_string(thread.path().join(name)).unwrap_or_default();
                let times: Vec<u64> = read("schedstat").split_whitespace().filter_map(|it| it.parse().ok()).collect();
                let [on, ready, ..] = times[..] else { continue };
                spent.busy += Duration::from_nanos(on + ready);
                if read("comm").trim() == "windlass-http" {
                    spent.reactor += Duration::from_nanos(on);
                }
            }
        }
        spent
    }
}

/// Requests `/health` repeatedly while `during` runs. Returns the slowest answer, and the number of answers. On a busy machine the clock
/// says little. What counts is the time in which no thread had anything to do, and how long the thread that answers worked.
fn watch_health(web: &Web, during: impl FnOnce()) -> (Duration, u32) {
    let done = AtomicBool::new(false);
    // Also set if `during` fails, so that the watcher ends.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let (mut slowest, mut count) = (Duration::ZERO, 0);
            while !done.load(Ordering::Relaxed) || count < 20 {
                let (before, begun) = (Spent::by(web), Instant::now());
                assert_eq!(web.send("GET", "/health", &[], &[]).status, 200);
                let (took, after) = (begun.elapsed(), Spent::by(web));
                let stood_still = took.saturating_sub(after.busy.saturating_sub(before.busy));
                let worked = after.reactor.saturating_sub(before.reactor);
                slowest = slowest.max(stood_still).max(worked / UNOPTIMISED);
                count += 1;
                thread::sleep(Duration::from_millis(10));
            }
            (slowest, count)
        });
        let over = Done(&done);
        during();
        drop(over);
        watcher.join().unwrap()
    })
}

fn rss(web: &Web) -> u64 {
    process_stat::rss_bytes(web.child.id()).unwrap()
}

#[test]
fn hundreds_of_slow_clients_are_cut_and_health_answers_meanwhile() {
    let web = Web::start();
    let host = web.address.to_string();
    let (slowest, count) = watch_health(&web, || {
        // Heads that never end, bodies that never come, silent connections.
        let parts = [
            format!("GET /health HTTP/1.1\r\nHost: {host}\r\n"),
            format!("POST /api/v1/session HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\nabc"),
            String::new(),
            "G".to_string(),
        ];
        let mut slow: Vec<TcpStream> = Vec::new();
        for number in 0..400 {
            let mut stream = connect(&web);
            let _ = stream.write_all(parts[number % parts.len()].as_bytes());
            slow.push(stream);
        }
        let known = web.get("/health").json();
        let connections = known["diagnostics"]["http"]["connections"].as_u64().unwrap();
        assert!(connections <= 256, "{connections}");
        assert!(known["diagnostics"]["http"]["evicted"].as_u64().unwrap() > 0);
        // Those that are not in the way are cut when the time for a head is over.
        let mut last = slow.pop().unwrap();
        let mut rest = Vec::new();
        let ended = last.read_to_end(&mut rest);
        assert!(ended.is_ok() || ended.is_err_and(|it| it.kind() == ErrorKind::ConnectionReset));
    });
    assert!(slowest < PROMISED && count >= 20, "{slowest:?} over {count}");
}

#[test]
fn connections_of_strangers_do_not_cut_the_stream_of_somebody_who_is_known() {
    let web = Web::start();
    let mut stream = Stream::open(&web, "", None);
    let host = web.address.to_string();
    let mut strangers: Vec<TcpStream> = Vec::new();
    for number in 0..320 {
        let mut stranger = connect(&web);
        // Some are refused and stay, some are working. Neither is the first to be closed.
        let said = match number % 2 {
            0 => format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            _ => format!(
                "POST /api/v1/session/open HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{{"
            ),
        };
        let _ = stranger.write_all(said.as_bytes());
        if number % 2 == 0 {
            let _ = stranger.read(&mut [0; 12]);
        }
        strangers.push(stranger);
    }
    let evicted = web.get("/health").json()["diagnostics"]["http"]["evicted"].as_u64().unwrap();
    assert!(evicted >= 60, "{evicted}");
    let definition = "id: one\nsteps: [{ name: one, uses: windlass/noop }]";
    let made = web.post_json("/api/v1/groups", &serde_json::json!({"definition": definition, "items": ["x"]}));
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(stream.to("GROUP_END").last().unwrap().1, "GROUP_END");
}

#[test]
fn clients_that_ask_without_end_and_read_nothing_do_not_hold_health_up() {
    for path in ["/health", "/openapi.json"] {
        let web = Web::start();
        let one = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\n\r\n", web.address, web.bearer());
        let many = one.repeat(50);
        let (slowest, count) = watch_health(&web, || {
            let mut all: Vec<TcpStream> = (0..200).map(|_| connect(&web)).collect();
            let begun = Instant::now();
            all.iter_mut().for_each(|it| it.set_nonblocking(true).unwrap());
            while begun.elapsed() < Duration::from_secs(4) {
                // The server may stop reading at some point.
                all.iter_mut().for_each(|it| drop(it.write(many.as_bytes())));
                thread::sleep(Duration::from_millis(20));
            }
        });
        assert!(slowest < PROMISED && count >= 20, "{path}: {slowest:?} over {count}");
    }
}

#[test]
fn a_gigabyte_for_the_wrong_address_is_not_read() {
    let web = Web::start();
    let before = rss(&web);
    let (slowest, _) = watch_health(&web, || {
        let mut stream = connect(&web);
        let head = format!("POST /health HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n", web.address);
        stream.write_all(head.as_bytes()).unwrap();
        let chunk = [format!("{:x}\r\n", 1 << 20).as_bytes(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
        let sent = (0..1024).take_while(|_| stream.write_all(&chunk).is_ok()).count();
        assert!(sent < 100, "{sent} MiB were taken");
    });
    assert!(slowest < PROMISED, "{slowest:?}");
    assert!(rss(&web) < before + (16 << 20), "{before} -> {}", rss(&web));
}

#[test]
fn a_body_that_is_too_long_is_refused_before_it_is_sent() {
    let web = Web::start();
    let before = rss(&web);
    let mut stream = connect(&web);
    let length = 100u64 << 20;
    let head = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Length: {length}\r\n\r\n",
        web.address,
        web.bearer()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 500];
    let count = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(rss(&web) < before + (16 << 20));
}

#[test]
fn a_client_that_sends_too_much_before_it_reads_is_told_so() {
    let web = Web::start();
    for (path, kind) in [("/api/v1/groups", "application/json"), ("/nowhere", "text/plain"), ("/health", "text/plain")]
    {
        let (whole, answer) = pour(&web, path, kind, 20);
        // Its writes do not fail either; many clients would not read the answer if they did.
        assert!(whole && answer.starts_with("HTTP/1.1 4"), "{path} {kind}: {whole} {answer:?}");
    }
}

#[test]
fn health_answers_while_every_thread_of_the_api_is_stuck() {
    let web = Web::start();
    let path = web.home().join("vectors/held.db");
    drop(VectorDb::create_or_open_for_writing(&path, &OpenOptions::default(), "test:v1", 4, &"".into()).unwrap());
    // Another program locks the database, so opening it has to wait.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let address = "/api/v1/lancedb/info?db=held";
    let request = format!("GET {address} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\n\r\n", web.address, web.bearer());
    let (slowest, count) = watch_health(&web, || {
        let mut clients = Vec::new();
        until("every thread is at work and the queue is full", || {
            let mut client = connect(&web);
            client.write_all(request.as_bytes()).unwrap();
            clients.push(client);
            let http = &web.get("/health").json()["diagnostics"]["http"];
            (http["working"] == 4 && http["waiting"] == 64).then_some(())
        });
        let refused = web.get(address);
        assert_eq!(
            (refused.status, refused.headers["retry-after"].to_str().unwrap()),
            (503, "1"),
            "{}",
            refused.text()
        );
    });
    assert!(slowest < PROMISED && count >= 20, "{slowest:?} over {count}");
    drop(other);
    until("the API answers again", || (web.get(address).status == 200).then_some(()));
}

#[test]
fn reads_are_answered_while_every_request_that_writes_waits_for_another_program() {
    let web = Web::start();
    let other = rusqlite::Connection::open(web.home().join("engine.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let body = "{\"definition\": \"id: noop\\nsteps: [{ name: a, uses: windlass/noop }]\"}";
    let request = format!(
        "POST /api/v1/groups HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        web.address,
        web.bearer(),
        body.len()
    );
    let mut writers = Vec::new();
    until("every thread for writing waits", || {
        let mut client = connect(&web);
        client.write_all(request.as_bytes()).unwrap();
        writers.push(client);
        let http = &web.get("/health").json()["diagnostics"]["http"];
        (http["working"].as_u64() >= Some(4) && http["waiting"].as_u64() >= Some(2)).then_some(())
    });
    for path in ["status", "groups", "workers", "queues", "locks"] {
        let begun = Instant::now();
        let answer = web.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        // A writer waits for half a minute.
        assert!(begun.elapsed() < Duration::from_secs(15), "{path} took {:?}", begun.elapsed());
    }
    let said = web.get("/api/v1/status").text();
    assert!(said.contains(&format!("process {} ", std::process::id())), "{said}");
    drop(other);
    until("it writes again", || (web.get("/health").status == 200).then_some(()));
}

#[test]
fn what_is_no_http_gets_a_400_or_nothing() {
    let web = Web::start();
    let host = web.address;
    let long = format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET /health HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100_000));
    for (hostile, most) in [
        ("\0\0\0\0\r\n\r\n".to_string(), "400"),
        ("GET / HTTP/9.9\r\n\r\n".to_string(), "400"),
        ("GET /health HTTP/1.1\r\n\r\n".to_string(), "400"),
        (format!("GET /health HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n"), "403"),
        (format!("GET /health HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n"), "400"),
        ("GET http://evil.example/health HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_string(), "403"),
        (format!("GET /health HTTP/1.1\r\nHost: user@{host}\r\n\r\n"), "400"),
        (long, "431"),
        (many, "431"),
    ] {
        let mut stream = connect(&web);
        let _ = stream.write_all(hostile.as_bytes());
        let mut answer = vec![0; 64];
        let count = stream.read(&mut answer).unwrap_or(0);
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        let fine = answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {most}"));
        assert!(fine, "{}: {answer}", hostile.chars().take(60).collect::<String>());
    }
    assert_eq!(web.send("GET", "/health", &[], &[]).status, 200);
}

#[test]
fn a_client_that_asks_and_never_reads_takes_no_memory() {
    let web = Web::start();
    let before = rss(&web);
    let mut stream = connect(&web);
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\n\r\n", web.address, web.bearer());
    let burst = request.repeat(100);
    let sent = (0..1_000).take_while(|_| stream.write_all(burst.as_bytes()).is_ok()).count();
    assert!(sent < 1_000, "it went on reading");
    assert!(rss(&web) < before + (24 << 20), "{before} -> {}", rss(&web));
}

#[test]
fn health_answers_while_the_database_can_not_be_written() {
    let web = Web::start();
    let flow = web.home().join("flow.yaml");
    std::fs::write(&flow, "id: f\nsteps: [{ name: a, uses: windlass/noop }]\n").unwrap();
    // Another program holds the turn to write and does not release it. The end of a step waits for it.
    assert!(web.windlass(&["submit", flow.to_str().unwrap()]).output().unwrap().status.success());
    let room = until("the turn is ours", || FileLock::try_exclusive(&web.home().join("engine.write.lock")).unwrap());
    let mut submit =
        web.windlass(&["submit", flow.to_str().unwrap()]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let (slowest, count) = watch_health(&web, || thread::sleep(Duration::from_millis(500)));
    assert!(slowest < PROMISED, "{slowest:?} over {count}");
    assert_eq!(web.get("/metrics").status, 200, "what only reads goes on");
    drop(room);
    assert!(web::wait(&mut submit).success());
}

#[test]
fn without_a_token_health_tells_numbers_and_with_it_names() {
    let web = Web::start();
    let (open, known) = (web.send("GET", "/health", &[], &[]).json(), web.get("/health").json());
    assert_eq!((&open["status"], &open["reasons"]), (&"ok".into(), &serde_json::json!([])));
    let numbers = &open["diagnostics"];
    for name in ["thread_count", "async_task_count", "open_fds", "rss_bytes", "wal_bytes", "free_disk_bytes"] {
        assert!(numbers[name].as_i64().unwrap() > 0 || name == "wal_bytes", "{name}: {numbers}");
    }
    for name in ["running_attempts", "consecutive_failures", "leases_lost", "last_commit_age"] {
        assert!(numbers[name].is_number(), "{name}: {numbers}");
    }
    // The start was the last commit.
    assert!(numbers["last_commit_age"].as_f64().unwrap() >= 0.0, "{numbers}");
    assert_eq!(numbers["history"]["limit"], 1000);
    assert!(numbers["pools"]["size"].as_i64().unwrap() >= 3);
    let text = open.to_string();
    assert!(!text.contains(web.home().to_str().unwrap()) && !text.contains("windlass-http"), "{text}");
    let names = known["diagnostics"]["thread_names"].as_array().unwrap();
    assert!(names.iter().any(|it| it == "windlass-http"), "{names:?}");
    assert_eq!(known["diagnostics"]["pools"]["by_name"]["store"], serde_json::json!([0, 1]));
    let wrong = web.send("GET", "/health", &[("authorization", "Bearer wrong")], &[]);
    assert_eq!((wrong.status, wrong.json()["diagnostics"]["thread_names"].is_null()), (200, true));
}

#[test]
fn the_reading_that_a_worker_was_replaced_for_is_told_with_the_token_only() {
    if !needs("python3") {
        return;
    }
    let web = Web::start();
    let code = "from windlass_worker import *\n@step\ndef a(ctx):\n    return 1\nrun()\n";
    std::fs::write(web.home().join("windlass_worker.py"), sdk::PYTHON).unwrap();
    std::fs::write(web.home().join("steps.py"), code).unwrap();
    let text = "id: w\nsteps: [{ name: a, worker: py }]\n\
                workers: { py: { command: [python3, steps.py], limits: { age: 10ms } } }\n";
    let flow = web.home().join("flow.yaml");
    std::fs::write(&flow, text).unwrap();
    let last = |answer: serde_json::Value| {
        let workers = answer["diagnostics"]["workers"].as_array().unwrap().clone();
        workers.iter().find_map(|it| it["last_recycle"].as_str().map(str::to_string))
    };
    let reading = until("a worker is replaced", || {
        let submit = web.windlass(&["submit", flow.to_str().unwrap()]).output().unwrap();
        assert!(submit.status.success(), "{}", String::from_utf8_lossy(&submit.stderr));
        last(web.get("/health").json())
    });
    assert!(reading.starts_with("age ") && reading.contains(">="), "{reading}");
    let signal = until("somebody else sees it", || last(web.send("GET", "/health", &[], &[]).json()));
    assert_eq!(signal, "age");
}

/// Sends a body in chunks of 1 MiB until it is complete or the server stops reading. Returns whether all of it was
/// sent, and the first line of the answer.
fn pour(web: &Web, path: &str, kind: &str, mebibytes: usize) -> (bool, String) {
    let mut stream = connect(web);
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n",
        web.address,
        web.bearer()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut chunk = format!("{:x}\r\n", 1 << 20).into_bytes();
    chunk.extend(vec![b'['; 1 << 20]);
    chunk.extend(b"\r\n");
    let whole = (0..mebibytes).all(|_| stream.write_all(&chunk).is_ok());
    if whole {
        let _ = stream.write_all(b"0\r\n\r\n");
    }
    let mut answer = [0; 100];
    let count = stream.read(&mut answer).unwrap_or(0);
    (whole, String::from_utf8_lossy(&answer[..count]).lines().next().unwrap_or_default().to_string())
}

#[test]
fn a_hundred_megabytes_for_the_api_get_a_4xx_and_take_no_memory() {
    let web = Web::start();
    let before = rss(&web);
    let (slowest, _) = watch_health(&web, || {
        for (path, kind) in [
            ("/api/v1/groups", "application/json"),
            ("/api/v1/batch/", "application/x-www-form-urlencoded"),
            ("/api/v1/batch/", "multipart/form-data; boundary=x"),
        ] {
            let (_, answer) = pour(&web, path, kind, 100);
            // A client that is refused while it still sends may see only the end of the connection.
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{path} {kind}: {answer}");
        }
    });
    assert!(slowest < PROMISED, "{slowest:?}");
    assert!(rss(&web) < before + (80 << 20), "{before} -> {}", rss(&web));
}

/// The beginning of a form of 32 MiB. All but its last bytes are sent, as far as the server reads them.
fn most_of_a_form(web: &Web) -> TcpStream {
    const LENGTH: usize = 31 << 20;
    let mut stream = connect(web);
    let head = format!(
        "POST /api/v1/source-status HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Length: {LENGTH}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\nsource=s&hashes=",
        web.address,
        web.bearer()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![b'x'; LENGTH - 20]));
    stream
}

#[test]
fn what_clients_send_is_bounded_together_and_given_back() {
    let web = Web::start();
    let before = rss(&web);
    let (slowest, _) = watch_health(&web, || {
        let mut clients: Vec<TcpStream> = (0..20).map(|_| most_of_a_form(&web)).collect();
        let held = rss(&web);
        assert!(held < before + (160 << 20), "{before} -> {held}");
        // There is room for two. The others were refused, and a small request always has room.
        let mut refused = 0;
        for client in &mut clients {
            client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let mut answer = [0; 12];
            refused += usize::from(client.read_exact(&mut answer).is_ok() && &answer[9..] == b"503");
        }
        assert_eq!(refused, 18);
        assert_eq!(web.get("/api/v1/batch/").status, 200);
        // Two complete ones are decoded while others send requests.
        for client in &mut clients {
            let _ = client.write_all(&[b'x'; 5]);
        }
    });
    assert!(slowest < PROMISED, "{slowest:?}");
    until("the memory is given back", || (rss(&web) < before + (24 << 20)).then_some(()));
}

#[test]
fn json_a_hundred_thousand_deep_gets_a_4xx() {
    let web = Web::start();
    let bearer = web.bearer();
    for body in ["[".repeat(100_000), format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000))] {
        for (path, kind, body) in [
            ("/api/v1/groups", "application/json", body.clone()),
            ("/api/v1/groups", "application/json", format!("{{\"workflow\": {body}}}")),
            ("/api/v1/source-status", "application/x-www-form-urlencoded", format!("source=s&hashes={body}")),
            ("/api/v1/workflow/param-sets", "application/x-www-form-urlencoded", format!("yaml_content={body}")),
        ] {
            let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
            let answer = web.send("POST", path, &headers, body.as_bytes());
            assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
            assert_eq!(answer.json()["status_code"], answer.status, "{path}");
        }
    }
    assert_eq!(web.send("GET", "/health", &[], &[]).status, 200);
}

//! Access control: who is admitted, and how the server treats others.

mod support {
    pub mod binary;
    pub mod needs;
    pub mod web;
}

use support::binary::Windlass;
use support::needs::needs_root;
use support::web;

use serde_json::json;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
};
use web::Web;

#[test]
fn health_is_open_and_everything_else_needs_the_token() {
    let web = Web::start();
    assert_eq!(web.send("GET", "/health", &[], &[]).status, 200);
    let closed = web.send("GET", "/metrics", &[], &[]);
    assert_eq!((closed.status, &closed.json()["status_code"]), (401, &json!(401)));
    let hint = closed.json()["hint"].to_string();
    assert!(hint.contains("`api_token`") && hint.contains("`serve.token`"), "{hint}");
    assert!(closed.json()["error"].as_str().unwrap().contains("token"));
    assert_eq!(web.get("/metrics").status, 200);
    assert_eq!(web.send("GET", "/metrics", &[("x-api-key", &web.token)], &[]).status, 200);
    assert_eq!(web.send("GET", "/metrics", &[("authorization", "Bearer wrong")], &[]).status, 401);
    assert_eq!(web.get("/nothing/here").json(), json!({"error": "no such address", "status_code": 404}));
    assert_eq!(web.delete("/metrics").status, 405);
}

#[test]
fn foreign_hosts_and_origins_are_turned_away() {
    let web = Web::start();
    let bearer = web.bearer();
    let own = format!("http://{}", web.address);
    for (headers, status) in [
        (vec![("host", "evil.example")], 403),
        (vec![("host", "evil.example:8787")], 403),
        (vec![("host", "10.1.2.3")], 403),
        (vec![("host", "localhost:1")], 200),
        (vec![("origin", "http://evil.example")], 403),
        (vec![("origin", "null")], 403),
        (vec![("origin", "http://localhost:3000")], 403),
        (vec![("origin", own.as_str())], 200),
        (vec![("sec-fetch-site", "cross-site")], 403),
        (vec![("sec-fetch-site", "same-site")], 403),
        (vec![("sec-fetch-site", "same-origin")], 200),
    ] {
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend(headers.clone());
        assert_eq!(web.send("GET", "/metrics", &all, &[]).status, status, "{headers:?}");
    }
}

/// The status of a request with a session.
fn with_session(web: &Web, session: &str, headers: &[(&str, &str)]) -> u16 {
    let mut all = vec![("x-windlass-session", session)];
    all.extend(headers);
    web.send("GET", "/metrics", &all, &[]).status
}

fn session_of(opened: &web::Answer) -> String {
    assert_eq!(opened.status, 201, "{}", opened.text());
    opened.json()["session"].as_str().unwrap().to_string()
}

#[test]
fn the_printed_link_lets_one_browser_in_once() {
    let web = Web::start();
    let link = web.link();
    let page = web.send("GET", &link, &[], &[]);
    assert_eq!(page.status, 200, "to look at a link, as a preview does, does not open it");
    assert!(page.text().contains("<title>windlass</title>"), "{}", page.text());
    assert_eq!(web.send("HEAD", &link, &[], &[]).status, 204);
    let opened = web.open_session(&link);
    let session = session_of(&opened);
    assert!(!page.headers.contains_key("set-cookie") && !opened.headers.contains_key("set-cookie"));
    assert_eq!(with_session(&web, &session, &[]), 200);
    assert_eq!((with_session(&web, "x", &[]), with_session(&web, "", &[])), (401, 401));
    assert_eq!(web.open_session(&link).status, 401);
    assert_eq!(web.send("HEAD", &link, &[], &[]).status, 410);
    let another = web.send("POST", "/api/v1/session", &[("x-windlass-session", &session)], &[]).json();
    session_of(&web.open_session(another["path"].as_str().unwrap()));
}

#[test]
fn the_token_opens_a_session_and_nothing_else_does() {
    let web = Web::start();
    let json = ("content-type", "application/json");
    let open = |body: serde_json::Value| web.send("POST", "/api/v1/session/open", &[json], body.to_string().as_bytes());
    let session = session_of(&open(json!({"token": web.token})));
    assert_eq!(with_session(&web, &session, &[]), 200);
    for (body, status) in [
        (json!({"token": "wrong"}), 401),
        (json!({"code": ""}), 401),
        (json!({"code": "00"}), 401),
        (json!({}), 400),
        (json!({"token": web.token, "code": "00"}), 400),
        (json!({"token": "x".repeat(100_000)}), 413),
    ] {
        assert_eq!(open(body.clone()).status, status, "{}", body.to_string().chars().take(80).collect::<String>());
    }
    let foreign = [json, ("origin", "http://evil.example")];
    let body = json!({"token": web.token}).to_string();
    assert_eq!(web.send("POST", "/api/v1/session/open", &foreign, body.as_bytes()).status, 403);
}

#[test]
fn a_session_counts_under_its_own_host_and_ends_with_a_sign_out_and_its_streams_with_it() {
    let web = Web::start();
    let session = session_of(&web.open_session(&web.link()));
    let port = web.address.port();
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{}", port ^ 1)] {
        assert_eq!(with_session(&web, &session, &[("host", &host)]), 401, "{host} is another origin");
    }
    let cookie = format!("windlass_session={session}");
    assert_eq!(web.send("GET", "/metrics", &[("cookie", &cookie)], &[]).status, 401, "a cookie is nothing");
    let mut stream = TcpStream::connect(web.address).unwrap();
    stream.set_read_timeout(Some(web::PATIENCE)).unwrap();
    let host = web.address;
    let head = format!("GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\nX-Windlass-Session: {session}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.any(|it| it.contains("hello")), "the stream has begun");
    let ended = web.send("DELETE", "/api/v1/session", &[("x-windlass-session", &session)], &[]);
    assert_eq!((ended.status, &ended.json()["ended"]), (200, &json!(1)));
    assert_eq!(with_session(&web, &session, &[]), 401);
    assert!(lines.any(|it| it == "0"), "the stream ends with its session");
    let open = || {
        let link = web.send("POST", "/api/v1/session", &[("authorization", &web.bearer())], &[]).json();
        session_of(&web.open_session(link["path"].as_str().unwrap()))
    };
    let (one, other) = (open(), open());
    assert_eq!(web.delete("/api/v1/session").json()["ended"], 2, "the token ends all of them");
    assert_eq!((with_session(&web, &one, &[]), with_session(&web, &other, &[])), (401, 401));
}

#[test]
fn a_session_does_not_outlive_the_daemon_that_opened_it() {
    let home = tempfile::tempdir().unwrap();
    let mut first = Web::on(home.path(), &[]);
    let session = session_of(&first.open_session(&first.link()));
    let host = first.address.to_string();
    assert_eq!(with_session(&first, &session, &[]), 200);
    first.terminate();
    let second = Web::on(home.path(), &[]);
    assert_eq!(with_session(&second, &session, &[("host", &host)]), 401);
    assert_eq!(second.get("/metrics").status, 200, "the token stays the token");
}

/// A connection made by another user of this machine.
fn connect_as(user: u32, web: &Web) -> TcpStream {
    // The owner of a socket is the file-system user of the thread that creates it.
    std::thread::scope(|scope| {
        let made = scope.spawn(|| {
            // SAFETY: it changes the one number, of this thread alone, which ends here.
            unsafe { libc::setfsuid(user) };
            TcpStream::connect(web.address).unwrap()
        });
        made.join().unwrap()
    })
}

#[cfg(target_os = "linux")]
#[test]
fn another_user_of_the_machine_neither_opens_a_link_nor_uses_it_up() {
    if !needs_root() {
        return;
    }
    let web = Web::start();
    let link = web.link();
    let code = link.rsplit('/').next().unwrap();
    let body = json!({"code": code}).to_string();
    let open_as = |user: u32| {
        let mut stream = connect_as(user, &web);
        stream.set_read_timeout(Some(web::PATIENCE)).unwrap();
        let head = format!(
            "POST /api/v1/session/open HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            web.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let stranger = open_as(65_534);
    assert!(stranger.starts_with("HTTP/1.1 403") && stranger.contains("the token"), "{stranger}");
    assert!(!stranger.contains("\"session\""), "{stranger}");
    let own = open_as(0);
    assert!(own.starts_with("HTTP/1.1 201"), "{own}");
}

#[test]
fn the_browser_is_led_by_a_file_of_its_user_alone_and_no_argument_list_has_the_link() {
    let web = Web::start();
    let desk = tempfile::tempdir().unwrap();
    let opener = desk.path().join("xdg-open");
    let text = "#!/bin/sh\nd=$(dirname \"$0\")\nstat -c %a \"$1\" >\"$d/mode\"\ncat \"$1\" >\"$d/page\"\nprintf '%s\\n' \"$@\" >\"$d/new\"\nmv \"$d/new\" \"$d/arguments\"\n";
    std::fs::write(&opener, text).unwrap();
    std::fs::set_permissions(&opener, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let path = format!("{}:{}", desk.path().display(), std::env::var("PATH").unwrap());
    let mut ui = web.windlass(&["ui"]);
    ui.env("PATH", path).env("DISPLAY", ":0").stdout(Stdio::piped()).stderr(Stdio::piped());
    let ui = ui.spawn().unwrap();
    let read = |name: &str| std::fs::read_to_string(desk.path().join(name)).ok();
    let arguments = web::until("the browser is started", || read("arguments"));
    let file = std::path::Path::new(arguments.trim());
    assert!(!arguments.contains("/open/"), "every user can read this: {arguments}");
    assert!(file.exists() && read("mode").unwrap().trim() == "600", "{arguments}");
    let page = read("page").unwrap();
    let link = page.split("url=").nth(1).unwrap().split('"').next().unwrap();
    assert!(link.starts_with(&web.url("/open/")), "{page}");
    session_of(&web.open_session(link));
    let ended = ui.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && said.contains("opened in your browser"), "{said}");
    assert!(!said.contains("/open/"), "{said}");
    assert!(!file.exists(), "it is gone once the link is opened");
}

#[test]
fn a_browser_that_does_not_start_leaves_the_link_and_no_file() {
    let web = Web::start();
    let desk = tempfile::tempdir().unwrap();
    let opener = desk.path().join("xdg-open");
    std::fs::write(&opener, "#!/bin/sh\nprintf %s \"$1\" >\"$(dirname \"$0\")/file\"\nexit 3\n").unwrap();
    std::fs::set_permissions(&opener, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let path = format!("{}:{}", desk.path().display(), std::env::var("PATH").unwrap());
    let ended = web.windlass(&["ui"]).env("PATH", path).env("DISPLAY", ":0").output().unwrap();
    let link = String::from_utf8_lossy(&ended.stdout).into_owned();
    session_of(&web.open_session(link.trim()));
    let file = std::fs::read_to_string(desk.path().join("file")).unwrap();
    assert!(file.ends_with(".html") && !std::path::Path::new(&file).exists(), "{file}");
}

#[test]
fn a_proxy_and_an_open_api_exclude_each_other() {
    let home = tempfile::tempdir().unwrap();
    for open in ["api_open", "read_open"] {
        for proxy in ["hosts = [\"windlass.example\"]", "trust_proxy_headers = [\"127.0.0.1\"]"] {
            let name = proxy.split(' ').next().unwrap();
            std::fs::write(home.path().join("windlass.toml"), format!("{open} = true\n{proxy}\n")).unwrap();
            let refused = Windlass::on(home.path()).args(["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success(), "{said}");
            assert!(said.contains(&format!("`{open}`")) && said.contains(&format!("`{name}`")), "{said}");
        }
    }
    // The two settings may come from different places.
    std::fs::write(home.path().join("windlass.toml"), "hosts = [\"windlass.example\"]\n").unwrap();
    let refused = Windlass::on(home.path()).env("WINDLASS_API_OPEN", "true").arg("settings").output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("WINDLASS_API_OPEN") && said.contains("`hosts`"), "{said}");
}

#[test]
fn with_read_open_this_machine_may_read_but_not_change() {
    let web = Web::with("read_open = true\n");
    let get = |headers: &[(&str, &str)]| web.send("GET", "/metrics", headers, &[]).status;
    assert_eq!(get(&[]), 200);
    // Through a proxy, the request may come from anyone.
    assert_eq!((get(&[("x-forwarded-for", "8.8.8.8")]), get(&[("via", "1.1 proxy")])), (401, 401));
    assert_eq!((get(&[("x-forwarded-proto", "https")]), get(&[("cf-connecting-ip", "8.8.8.8")])), (401, 401));
    assert_eq!(web.send("POST", "/api/v1/session", &[], &[]).status, 401);
    assert_eq!(web.send("POST", "/api/v1/stop", &[("content-type", "text/plain")], b"x").status, 401);
    assert_eq!(web.send("GET", "/metrics", &[("authorization", "Bearer wrong")], &[]).status, 401, "wrong is wrong");
}

#[test]
fn beyond_loopback_everything_needs_the_token() {
    let home = tempfile::tempdir().unwrap();
    let settings = "listen = \"0.0.0.0:0\"\nread_open = true\napi_open = true\n";
    std::fs::write(home.path().join("windlass.toml"), settings).unwrap();
    let web = Web::on(home.path(), &["--listen", "0.0.0.0:0"]);
    assert!(web.address.ip().is_loopback(), "the link is one that can be opened: {}", web.address);
    assert_eq!(web.send("GET", "/metrics", &[], &[]).status, 401);
    assert_eq!((web.get("/metrics").status, web.send("GET", "/health", &[], &[]).status), (200, 200));
    let foreign = [("host", "windlass.example"), ("authorization", &web.bearer())];
    assert_eq!(web.send("GET", "/metrics", &foreign, &[]).status, 403);
    drop(web);
    std::fs::write(home.path().join("windlass.toml"), "api_token = \"short\"\n").unwrap();
    let weak = Windlass::on(home.path()).args(["serve", "--listen", "0.0.0.0:0"]).output().unwrap();
    let said = String::from_utf8_lossy(&weak.stderr).into_owned();
    assert!(weak.status.code() == Some(1) && said.contains("too short") && !said.contains("short\""), "{said}");
}

#[test]
fn a_proxy_is_believed_only_where_it_is_listed() {
    let user = [("x-forwarded-user", "alice")];
    let stranger = Web::with("");
    assert_eq!(stranger.send("GET", "/metrics", &user, &[]).status, 401);
    let other = Web::with("trust_proxy_headers = [\"10.0.0.1\"]\n");
    assert_eq!(other.send("GET", "/metrics", &user, &[]).status, 401);
    let listed = Web::with("trust_proxy_headers = [\"127.0.0.1\"]\nhosts = [\"Windlass.example\"]\n");
    assert_eq!(listed.send("GET", "/metrics", &user, &[]).status, 200);
    assert_eq!(listed.send("GET", "/metrics", &[("x-forwarded-user", " ")], &[]).status, 401);
    let named = [("host", "windlass.example"), ("origin", "https://windlass.example"), user[0]];
    assert_eq!(listed.send("POST", "/api/v1/session", &named, &[]).status, 201);
    let foreign = [("host", "windlass.example"), ("origin", "https://evil.example"), user[0]];
    assert_eq!(listed.send("POST", "/api/v1/session", &foreign, &[]).status, 403);
}

#[test]
fn no_secret_is_ever_said() {
    let secret = "hunter2-hunter2-hunter2";
    let home = tempfile::tempdir().unwrap();
    let settings = format!("listen = \"127.0.0.1:0\"\napi_token = \"{secret}\"\nlog.level = \"trace\"\n");
    std::fs::write(home.path().join("windlass.toml"), settings).unwrap();
    let run = |arguments: &[&str]| {
        let output = Windlass::on(home.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let started = run(&["--json", "serve", "--background"]);
    let address = serde_json::from_str::<serde_json::Value>(&started).unwrap()["http"].as_str().unwrap().to_string();
    let ask = |path: &str| {
        let url = format!("http://{address}{path}");
        let header = format!("Bearer {secret}");
        ureq::get(url).header("authorization", header).call().unwrap().body_mut().read_to_string().unwrap()
    };
    let link = run(&["ui", "--print"]);
    let code = link.trim().rsplit('/').next().unwrap();
    // Neither of these opens anything, but a reader of the log could correct them.
    for odd in [format!("/%6fpen/{code}"), format!("/ui/open/{code}")] {
        ureq::get(format!("http://{address}{odd}")).call().unwrap_err();
    }
    let mut said =
        [started, ask("/health"), ask("/metrics"), run(&["settings"]), run(&["--json", "settings"])].concat();
    said += &link;
    run(&["stop"]);
    let log = std::fs::read_to_string(home.path().join("serve.log")).unwrap();
    assert!(log.contains("/metrics"), "the log tells of requests: {log}");
    assert!(!said.contains(secret) && !log.contains(secret));
    assert!(!log.contains(code), "a one-time link is a secret too");
}

#[test]
fn api_open_opens_the_compatible_api_on_this_machine_and_nothing_else() {
    let closed = Web::start();
    assert_eq!(closed.send("GET", "/api/v1/batch/", &[], &[]).status, 401);
    let web = Web::with("api_open = true\n");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let made = |headers: &[(&str, &str)]| web.send("POST", "/api/v1/batch/", headers, b"source=s&name=n").status;
    assert_eq!((web.send("GET", "/api/v1/batch/", &[], &[]).status, made(&[form])), (200, 201));
    // Neither another site's page nor a client behind a proxy is this machine.
    assert_eq!(made(&[form, ("origin", "http://evil.example")]), 403);
    assert_eq!(made(&[form, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]), 403);
    assert_eq!(made(&[form, ("x-forwarded-for", "8.8.8.8")]), 401);
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    assert_eq!(web.send("GET", "/api/v1/lancedb/vacuum?db=x", &link, &[]).status, 403, "a link that changes something");
    assert_eq!(web.send("GET", "/api/v1/groups", &[], &[]).status, 401);
    assert_eq!(web.send("POST", "/api/v1/stop", &[], &[]).status, 401);
    assert_eq!(web.send("GET", "/metrics", &[], &[]).status, 401);
}

//! Who may in, and how the server treats those who may not.

mod web;

use serde_json::json;
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
    assert_eq!(
        web.get("/nothing/here").json(),
        json!({"error": "there is nothing at this address", "status_code": 404})
    );
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

#[test]
fn the_printed_link_lets_one_browser_in_once() {
    let web = Web::start();
    let opened = web.send("GET", &web.link, &[], &[]);
    assert_eq!((opened.status, opened.headers["location"].to_str().unwrap()), (303, "/"));
    let cookie = opened.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(web.send("GET", "/metrics", &[("cookie", pair)], &[]).status, 200);
    assert_eq!(web.send("GET", "/metrics", &[("cookie", "windlass_session=x")], &[]).status, 401);
    assert_eq!(web.send("GET", &web.link, &[], &[]).status, 401);
    let another = web.send("POST", "/api/v1/session", &[("authorization", &web.bearer())], &[]).json();
    assert_eq!(web.send("GET", another["path"].as_str().unwrap(), &[], &[]).status, 303);
}

#[test]
fn with_read_open_this_machine_may_read_but_not_change() {
    let web = Web::with("read_open = true\n");
    let get = |headers: &[(&str, &str)]| web.send("GET", "/metrics", headers, &[]).status;
    assert_eq!(get(&[]), 200);
    // Through a proxy it may be anybody.
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
    let weak = web::windlass(home.path()).args(["serve", "--listen", "0.0.0.0:0"]).output().unwrap();
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
        let output = web::windlass(home.path()).args(arguments).output().unwrap();
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
    // Neither of these opens anything; whoever reads them could mend them.
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
    // Neither another site's page nor the world behind a proxy is this machine.
    assert_eq!(made(&[form, ("origin", "http://evil.example")]), 403);
    assert_eq!(made(&[form, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]), 403);
    assert_eq!(made(&[form, ("x-forwarded-for", "8.8.8.8")]), 401);
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    assert_eq!(web.send("GET", "/api/v1/lancedb/vacuum?db=x", &link, &[]).status, 403, "a link that changes something");
    assert_eq!(web.send("GET", "/api/v1/groups", &[], &[]).status, 401);
    assert_eq!(web.send("POST", "/api/v1/stop", &[], &[]).status, 401);
    assert_eq!(web.send("GET", "/metrics", &[], &[]).status, 401);
}

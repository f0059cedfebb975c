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

//! The fixture of tests that use HTTP: `serve` of the real binary on a free port, with a home of its own.
#![allow(dead_code)] // Each test program uses its own part of it.

pub mod stream;

use super::binary::{Running, Windlass};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running daemon, killed when it is dropped.
pub struct Web {
    pub child: Running,
    pub address: SocketAddr,
    pub token: String,
    home: Home,
}

/// A home directory that is removed with its last user.
pub enum Home {
    Own(tempfile::TempDir),
    Lent(PathBuf),
}

impl Home {
    pub fn path(&self) -> &Path {
        match self {
            Home::Own(directory) => directory.path(),
            Home::Lent(path) => path,
        }
    }
}

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl Web {
    /// A daemon with a home and a token of its own.
    pub fn start() -> Web {
        Web::with("")
    }

    /// Like `start`, with these lines in `windlass.toml`.
    pub fn with(settings: &str) -> Web {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("windlass.toml"), settings).unwrap();
        Web::launch(Home::Own(home), &[])
    }

    /// A daemon on a home that outlives it.
    pub fn on(home: &Path, arguments: &[&str]) -> Web {
        Web::launch(Home::Lent(home.to_path_buf()), arguments)
    }

    fn launch(home: Home, arguments: &[&str]) -> Web {
        let mut command = Windlass::on(home.path());
        command.arg("serve").args(arguments).stdout(Stdio::piped());
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        Web::of(command, home)
    }

    /// A daemon started by this command, on a home that outlives it.
    pub fn started_by(mut command: Windlass, home: &Path) -> Web {
        command.stdout(Stdio::piped());
        Web::of(command, Home::Lent(home.to_path_buf()))
    }

    fn of(mut command: Windlass, home: Home) -> Web {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.starts_with("http://"), "`serve` said `{line}` and {:?}", child.try_wait());
        // Drains the rest of its output, because a full pipe would block it.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let (address, path) = line.trim().trim_start_matches("http://").split_once('/').unwrap();
        assert_eq!(path, "", "no link is printed into a pipe");
        let token = fs::read_to_string(home.path().join("serve.token")).unwrap_or_default().trim().to_string();
        Web { child, address: address.parse().unwrap(), token, home }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The path of a new one-time link.
    pub fn link(&self) -> String {
        let said = self.windlass(&["ui", "--print"]).output().unwrap();
        let link = String::from_utf8(said.stdout).unwrap();
        let path = link.trim().find("/open/").map(|at| link.trim()[at..].to_string());
        path.unwrap_or_else(|| panic!("`ui` said `{link}` and {}", String::from_utf8_lossy(&said.stderr)))
    }

    /// Another command of the binary on the same home.
    pub fn windlass(&self, arguments: &[&str]) -> Windlass {
        let mut command = Windlass::on(self.home());
        command.args(arguments);
        command
    }

    /// A request with the token.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("authorization", &self.bearer())], &[])
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[("authorization", &self.bearer())], &[])
    }

    pub fn post_json(&self, path: &str, body: &Value) -> Answer {
        let headers = [("authorization", self.bearer()), ("content-type", "application/json".into())];
        let headers = headers.each_ref().map(|it| (it.0, it.1.as_str()));
        self.send("POST", path, &headers, body.to_string().as_bytes())
    }

    /// `body` has the form `a=1&b=2`.
    pub fn post_form(&self, path: &str, body: &str) -> Answer {
        let headers = [("authorization", self.bearer()), ("content-type", "application/x-www-form-urlencoded".into())];
        let headers = headers.each_ref().map(|it| (it.0, it.1.as_str()));
        self.send("POST", path, &headers, body.as_bytes())
    }

    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Signs in with a one-time path. The answer has the session, if access was granted.
    pub fn open_session(&self, link: &str) -> Answer {
        let code = link.rsplit('/').next().unwrap();
        let body = serde_json::json!({"code": code}).to_string();
        self.send("POST", "/api/v1/session/open", &[("content-type", "application/json")], body.as_bytes())
    }

    /// A request with exactly these headers, and no token unless they contain it.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(PATIENCE))
            .allow_non_standard_methods(true)
            .build()
            .into();
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = match body.is_empty() {
            true => agent.run(request.body(()).unwrap())?,
            false => agent.run(request.body(body).unwrap())?,
        };
        let mut read = Vec::new();
        response.body_mut().as_reader().read_to_end(&mut read)?;
        Ok(Answer { status: response.status().as_u16(), headers: response.headers().clone(), body: read })
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        wait(&mut self.child)
    }
}

/// Waits for a process to end, with a deadline.
#[track_caller]
pub fn wait(child: &mut Child) -> ExitStatus {
    until("the process ends", || child.try_wait().unwrap())
}

/// Repeats `ask` until it returns a value.
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

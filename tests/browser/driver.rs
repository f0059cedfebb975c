//! A real headless Chromium, driven by the DevTools protocol over a websocket.

use crate::support::needs::skip;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tungstenite::{Message, WebSocket};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The position of the page: how far it is scrolled, its length, the focused element, and where it will return.
const WHERE: &str = "JSON.stringify([scrollY, document.documentElement.scrollHeight, document.activeElement.outerHTML.slice(0, 100), \
    sessionStorage.left, history.state])";

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A browser with one tab. Dropping it ends it with all its processes.
pub struct Browser {
    child: Child,
    socket: WebSocket<TcpStream>,
    session: String,
    next: u64,
    events: VecDeque<Value>,
    /// Errors reported by the page.
    pub complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// `None`, with a message, if there is no Chromium.
    pub fn start() -> Option<Browser> {
        let Some(program) = NAMES.iter().find_map(|it| in_path(it)) else {
            skip("Chromium is not installed");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--remote-debugging-port=0",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(said.read_line(&mut line).unwrap() > 0, "Chromium ended: {:?}", child.wait());
            if let Some((_, address)) = line.trim().split_once("DevTools listening on ") {
                break address.to_string();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let host = address.trim_start_matches("ws://").split('/').next().unwrap().to_string();
        let stream = TcpStream::connect(&host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(address.as_str(), stream).unwrap();
        let (session, next) = (String::new(), 0);
        let (events, complaints) = (VecDeque::new(), Vec::new());
        let mut browser = Browser { child, socket, session, next, events, complaints, _profile: profile };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.ask("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = attached["sessionId"].as_str().unwrap().to_string();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser.screen(1280, 860, false);
        Some(browser)
    }

    /// The size of the window in CSS pixels, and the user's preferred theme.
    pub fn screen(&mut self, width: u32, height: u32, dark: bool) {
        let phone = width < 500;
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": if phone { 2 } else { 1 }, "mobile": phone});
        self.ask("Emulation.setDeviceMetricsOverride", size);
        let theme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": theme}, {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.ask("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Opens another window of the same browser, visible next to this one. Returns the argument for `turn_to`.
    pub fn another_window(&mut self, url: &str) -> String {
        let before = self.turn_to("");
        let target =
            self.ask("Target.createTarget", json!({"url": "about:blank", "newWindow": true}))["targetId"].clone();
        let attached = self.ask("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        self.turn_to(attached["sessionId"].as_str().unwrap());
        self.open(url);
        self.turn_to(&before)
    }

    /// Drives that window from now on. Returns the previous one.
    pub fn turn_to(&mut self, window: &str) -> String {
        std::mem::replace(&mut self.session, window.to_string())
    }

    pub fn open(&mut self, url: &str) {
        let answer = self.ask("Page.navigate", json!({"url": url}));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        self.until("the page is loaded", "document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// The value of an expression in the page; a promise is waited for.
    #[track_caller]
    pub fn eval(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.ask("Runtime.evaluate", parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&mut self, what: &str, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        // While a page is being replaced, an expression may fail.
        let parameters = json!({"expression": format!("Boolean({expression})"), "returnByValue": true});
        while self.ask("Runtime.evaluate", parameters.clone())["result"]["value"] != true {
            if Instant::now() > deadline {
                let shown = self.eval("document.body.innerText");
                let place = self.eval(WHERE);
                panic!("not in time: {what}; {place}; the page shows {shown}; it complained of {:?}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the page shows a text.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        let wanted = Value::from(text.to_lowercase());
        self.until(&format!("`{text}` is shown"), &format!("document.body.innerText.toLowerCase().includes({wanted})"));
    }

    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let selector = Value::from(selector);
        self.until(&format!("{selector} can be clicked"), &format!("document.querySelector({selector})"));
        // A link in an SVG has no `click()`.
        let event = "new MouseEvent('click', { bubbles: true, cancelable: true })";
        self.eval(&format!("document.querySelector({selector}).dispatchEvent({event})"));
    }

    /// Presses or releases the mouse in the middle of an element, like a user.
    #[track_caller]
    pub fn mouse(&mut self, kind: &str, selector: &str) {
        let selector = Value::from(selector);
        let place = self.eval(&format!("(it => [it.x + it.width / 2, it.y + it.height / 2])(document.querySelector({selector}).getBoundingClientRect())"));
        let event = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
        self.ask("Input.dispatchMouseEvent", event);
    }

    /// Presses a key like a user: a letter, or a name such as `Enter`.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "Tab" => (9, ""),
            other => (u32::from(other.as_bytes()[0].to_ascii_uppercase()), other),
        };
        let mut event = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code, "text": text});
        if text.is_empty() {
            event["type"] = "rawKeyDown".into();
        }
        self.ask("Input.dispatchKeyEvent", event.clone());
        event["type"] = "keyUp".into();
        self.ask("Input.dispatchKeyEvent", event);
    }

    /// Types a text into the focused element.
    pub fn type_text(&mut self, text: &str) {
        self.ask("Input.insertText", json!({"text": text}));
    }

    /// Writes a picture of the whole page into `screenshots` of the target directory.
    pub fn picture(&mut self, name: &str) {
        let wanted = json!({"format": "png", "captureBeyondViewport": false});
        let shot = self.ask("Page.captureScreenshot", wanted);
        let directory = screenshots();
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{name}.png")), base64(shot["data"].as_str().unwrap())).unwrap();
    }

    /// Sends a command and waits for its answer. Events that arrive in between are kept.
    #[track_caller]
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        loop {
            let text = match self.socket.read().unwrap() {
                Message::Text(text) => text,
                _ => continue,
            };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == id {
                assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.hear(answer);
        }
    }

    fn hear(&mut self, event: Value) {
        let params = &event["params"];
        let complaint = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => Some(params["exceptionDetails"].to_string()),
            Some("Runtime.consoleAPICalled") if params["type"] == "error" => Some(params["args"].to_string()),
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => Some(params["entry"].to_string()),
            _ => None,
        };
        self.complaints.extend(complaint);
        if self.events.len() == 1_000 {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Where the pictures go.
pub fn screenshots() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots")
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|it| it.join(name)).find(|it| it.is_file())
}

fn base64(text: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = text.bytes().filter(|it| *it != b'=').map(value).collect();
    let mut bytes = Vec::with_capacity(letters.len() * 3 / 4);
    for four in letters.chunks(4) {
        let bits = four.iter().fold(0u32, |bits, it| bits << 6 | u32::from(*it)) << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}

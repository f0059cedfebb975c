//! What hooks receive, alerts in the settings, and the webhook against a small server.

use crate::{
    Shop, hooked,
    support::{binary::eventually, place::Place},
};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use windlass::model::Status;

#[test]
fn hooks_are_told_how_their_group_ended_and_why() {
    let shop = Shop::new();
    let text = "id: three\nname: Three items\nsteps: [{ name: a, run: 'test {{ item }} = 0 || exit 3' }]\n\
                hooks:\n  group_failed: [{ name: f, run: 'echo {{ event }} {{ group.status }} {{ group.name }} {{ group.failed }}/{{ group.total }} {{ group.reasons }} > failed; \
                echo $WINDLASS_EVENT $WINDLASS_GROUP_STATUS $WINDLASS_GROUP_NAME $WINDLASS_GROUP_FAILED $WINDLASS_GROUP_TOTAL $WINDLASS_GROUP_REASONS > env' }]\n\
                \x20 group_completed: [{ name: c, run: 'echo {{ group.status }} {{ group.reasons }}. > completed' }]\n";
    assert_eq!(shop.ends(text, &["0", "3", "3"]).1, Status::Failed);
    shop.idle();
    let said = "group_failed FAILED Three items 2/3 exit code 3 (2 runs)\n";
    assert_eq!((shop.text("failed").as_str(), shop.text("env")), (said, said.replace('/', " ")));
    assert!(!shop.has("completed"));
    assert_eq!(shop.ends(text, &["0"]).1, Status::Completed);
    shop.idle();
    assert_eq!(shop.text("completed"), "COMPLETED .\n");
}

#[test]
fn a_cancelled_group_has_neither_failed_nor_completed() {
    let shop = Shop::new();
    let text = "id: c\nsteps: [{ name: a, run: 'touch begun; sleep 600' }]\nhooks:\n  group_failed: [{ name: f, run: 'touch failed' }]\n\
                \x20 group_completed: [{ name: c, run: 'touch completed' }]\n  group_end: [{ name: e, run: 'touch ended' }]\n";
    let group = crate::plant::submit(&shop.engine, text, &["x"]);
    eventually("the step runs", || shop.has("begun"));
    shop.engine.cancel_group(group).unwrap();
    shop.idle();
    assert!(shop.has("ended") && !shop.has("failed") && !shop.has("completed"));
}

#[test]
fn a_quarantined_step_is_told_of_and_another_failure_is_not() {
    let shop = Shop::new();
    let text = "id: q\nsteps: [{ name: a, run: 'test {{ item }} = fails && exit 64; kill -9 $$', max_crashes: 1 }]\n\
                hooks: { step_quarantined: [{ name: q, run: 'echo {{ step }} {{ group.reasons }} >> told' }] }\n";
    shop.ends(text, &["fails", "crashes"]);
    shop.idle();
    let lines = shop.text("told");
    assert!(lines.lines().count() == 1 && lines.starts_with("s2 "), "{lines}");
}

#[test]
fn facts_of_the_group_are_for_hooks_only_and_names_are_checked() {
    let known = windlass::definition::KnownKinds::new(["windlass/webhook"]);
    for (text, wanted) in [
        ("id: a\nsteps: [{ name: a, run: 'echo {{ group.status }}' }]\n".to_string(), "has a value only in hooks"),
        (
            hooked("group_end", "run: 'echo {{ group.stats }}'").replace("uses: windlass/noop", "run: ls"),
            "`group.stats`",
        ),
        (hooked("group_end", "uses: windlass/webhook").replace("uses: windlass/noop", "run: ls"), "`url` is missing"),
        (hooked("group_ended", "run: ls").replace("uses: windlass/noop", "run: ls"), "group_end"),
    ] {
        let error = windlass::definition::parse(&text, "t.yaml", &known).unwrap_err();
        assert!(format!("{error} {:?}", error.hint()).contains(wanted), "{error}");
    }
}

/// A server that answers each request with the next of these, and records what it received.
struct Chat {
    url: String,
    got: Arc<Mutex<Vec<String>>>,
}

impl Chat {
    /// An empty answer makes it hang.
    fn with(answers: &'static [&'static str]) -> Chat {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/services/T0/B0/hush", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = got.clone();
        thread::spawn(move || {
            for (at, stream) in listener.incoming().enumerate() {
                let answer = answers[at.min(answers.len() - 1)];
                let kept = kept.clone();
                thread::spawn(move || serve(stream.unwrap(), answer, &kept));
            }
        });
        Chat { url, got }
    }

    fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: &str, got: &Mutex<Vec<String>>) {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|it| it.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if count == 0 || body.len() >= length.unwrap_or(0) {
            break;
        }
    }
    got.lock().unwrap().push(text.clone());
    // Like Slack: accepts a JSON object with a text, otherwise answers `invalid_payload`.
    let body = text.split_once("\r\n\r\n").map_or("", |it| it.1);
    let fits = serde_json::from_str::<serde_json::Value>(body).is_ok_and(|it| it["text"].is_string());
    let answer = if fits || !answer.starts_with("200") { answer } else { "400 Bad Request" };
    if answer.is_empty() {
        thread::sleep(Duration::from_secs(60));
    }
    let (status, more) = answer.split_once('|').unwrap_or((answer, ""));
    let _ = write!(stream, "HTTP/1.1 {status}\r\n{more}content-length: 2\r\nconnection: close\r\n\r\nok");
}

fn sends(chat: &Chat, more: &str) -> String {
    hooked(
        "group_end",
        &format!("uses: windlass/webhook, with: {{ url: '{}' }}, backoff: {{ initial: 5ms }}{more}", chat.url),
    )
}

#[test]
fn a_webhook_sends_a_text_that_slack_takes_and_is_retried_after_a_5xx() {
    let shop = Shop::new();
    let chat = Chat::with(&["503 Busy", "200 OK"]);
    let (group, _) = shop.ends(&sends(&chat, ""), &["x"]);
    shop.idle();
    assert_eq!((shop.failed(group), chat.got().len()), (vec![], 2));
    let got = chat.got()[1].clone();
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, format!("{{\"text\":\"windlass: hooked ({group}) completed\"}}"));
    assert!(head.starts_with("POST /services/T0/B0/hush HTTP/1.1"), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    assert!(head.to_lowercase().contains("x-windlass-event: group_end"), "{head}");
}

#[test]
fn a_webhook_that_hangs_times_out_and_one_that_is_refused_is_not_retried() {
    let shop = Shop::new();
    let chat = Chat::with(&[""]);
    let (group, _) = shop.ends(&sends(&chat, ", timeout: 200ms, retries: 1"), &["x"]);
    shop.idle();
    let failed = shop.failed(group);
    assert!(failed.len() == 1 && failed[0].detail.contains("timed out") && failed[0].attempts == 2, "{failed:?}");
    let chat = Chat::with(&["404 Not Found"]);
    let (group, _) = shop.ends(&sends(&chat, ""), &["x"]);
    shop.idle();
    let failed = shop.failed(group);
    assert!(failed[0].detail.contains("the server answered 404") && failed[0].attempts == 1, "{failed:?}");
}

#[test]
fn a_webhook_follows_no_redirect_so_that_secrets_stay_with_the_server_that_was_named() {
    let other = Chat::with(&["200 OK"]);
    let answer: &'static str = Box::leak(format!("302 Found|location: {}\r\n", other.url).into_boxed_str());
    let answers: &'static [&'static str] = Box::leak(vec![answer].into_boxed_slice());
    let shop = Shop::new();
    let chat = Chat::with(answers);
    let (group, _) = shop.ends(&sends(&chat, ""), &["x"]);
    shop.idle();
    assert!(shop.failed(group)[0].detail.contains("it redirects"), "{:?}", shop.failed(group));
    assert_eq!((chat.got().len(), other.got().len()), (1, 0));
}

#[test]
fn alerts_of_the_settings_tell_of_every_workflow_but_those_that_opt_out() {
    let place = Place::new();
    let chat = Chat::with(&["200 OK"]);
    let settings = format!(
        "[[alerts.group_failed]]\nname = \"chat\"\nuses = \"windlass/webhook\"\nwith = {{ url = \"{}\", secret = \"SIGN\", headers = {{ authorization = {{ secret = \"SIGN\" }} }} }}\n",
        chat.url
    );
    place.write("home/windlass.toml", &settings);
    let fails = "steps: [{ name: a, run: 'exit 3' }]\n";
    place.write("fails.yaml", &format!("id: fails\n{fails}"));
    place.write("quiet.yaml", &format!("id: quiet\nalerts: false\n{fails}"));
    place.write("well.yaml", "id: well\nsteps: [{ name: a, run: 'true' }]\n");
    let refused = place.run(&["run", "fails.yaml"]);
    assert!(refused.code != 0 && refused.err.contains("the secret `SIGN` of hook `chat` is not set"), "{refused:?}");
    crate::secrets::put(&place, "SIGN", "hush-hush", 0o600);
    for file in ["fails.yaml", "quiet.yaml", "well.yaml"] {
        place.run(&["run", file]);
    }
    let got = chat.got();
    assert_eq!(got.len(), 1, "{got:?}");
    assert!(got[0].contains("windlass: fails (g1) failed, 1 of 1 runs failed: exit code 3 (1 run)"), "{}", got[0]);
    assert!(got[0].to_lowercase().contains("authorization: hush-hush"), "{}", got[0]);
    assert!(got[0].contains("x-windlass-signature-256: sha256="), "{}", got[0]);
    place.write("home/windlass.toml", "[[alerts.group_ended]]\nname = \"x\"\nrun = \"true\"\n");
    let wrong = place.run(&["run", "well.yaml"]);
    assert!(wrong.code != 0 && wrong.err.contains("alerts") && wrong.err.contains("group_end"), "{wrong:?}");
    place.assert_sound();
}

#[test]
fn a_schedule_that_missed_its_time_is_told_of() {
    let place = Place::new();
    place.write(
        "nightly.yaml",
        "id: nightly\nschedule: { every: 1h }\nitems_from: { file: gone.txt }\nsteps: [{ name: a, run: 'echo {{ item }}' }]\n\
         hooks: { schedule_missed: [{ name: tell, run: 'echo {{ event }} {{ group.name }}: {{ group.reasons }} > told' }] }\n",
    );
    place.ok(&["schedule", "add", "nightly.yaml"]);
    place.run(&["schedule", "run", "nightly"]);
    place.ok(&["worker", "--until-idle"]);
    let lines = std::fs::read_to_string(place.path().join("told")).unwrap();
    assert!(lines.starts_with("schedule_missed nightly: ") && lines.contains("gone.txt"), "{lines}");
    place.assert_sound();
    place.ok(&["prune", "--keep", "0s"]);
    place.assert_sound();
}

#[test]
fn a_watched_directory_that_is_missing_is_told_of_once() {
    let place = Place::new();
    place.write(
        "inbox.yaml",
        "id: inbox\non: { files: inbox }\nsteps: [{ name: a, run: 'echo {{ item }}' }]\n\
         hooks: { schedule_missed: [{ name: tell, run: 'echo {{ event }} {{ group.name }}: {{ group.reasons }} >> told' }] }\n",
    );
    place.ok(&["schedule", "add", "inbox.yaml"]);
    let worker = place.start(&["worker"]);
    place.wait_for_file("told");
    std::fs::create_dir(place.path().join("inbox")).unwrap();
    std::fs::write(place.path().join("inbox/a.txt"), "x").unwrap();
    eventually("what came later starts it", || place.json(&["list", "groups"])["groups"][0]["status"] == "COMPLETED");
    worker.signal("TERM");
    worker.end(Duration::from_secs(60));
    let lines = std::fs::read_to_string(place.path().join("told")).unwrap();
    assert!(lines.starts_with("schedule_missed inbox: ") && lines.contains("/inbox"), "{lines}");
    assert_eq!(lines.lines().count(), 1, "{lines}");
    place.assert_sound();
}

#[test]
fn the_example_tells_a_chat_why_a_run_failed() {
    let place = Place::new();
    let chat = Chat::with(&["200 OK"]);
    crate::secrets::put(&place, "SLACK_URL", &chat.url, 0o600);
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/alert.yaml");
    place.run(&["run", example, "--items", "sound", "broken"]);
    let got = chat.got();
    let body = r#"{"text":"A workflow that reports its failures: 1 of 2 failed, exit code 3 (1 run)"}"#;
    assert!(got.len() == 1 && got[0].ends_with(body), "{got:?}");
    assert!(!place.ok(&["--json", "show", "g1"]).contains("hush"), "the address is a secret");
}

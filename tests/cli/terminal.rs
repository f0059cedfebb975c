//! Output on a terminal: a real pseudo-terminal, read through a small screen emulator.

use super::Place;
use crate::support::binary::Running;
use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::process::CommandExt,
    },
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const DEADLINE: Duration = Duration::from_secs(90);

/// A command on its own terminal, and its output there.
struct Terminal {
    child: Running,
    keyboard: File,
    written: Arc<Mutex<Vec<u8>>>,
    columns: usize,
}

impl Terminal {
    fn start(place: &Place, columns: u16, arguments: &[&str]) -> Terminal {
        let (mut ours, mut theirs) = (0, 0);
        let size = libc::winsize { ws_row: 30, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let none = std::ptr::null_mut();
        // SAFETY: the pointers lead to locals, or are null where the call allows it.
        let made = unsafe { libc::openpty(&mut ours, &mut theirs, none, std::ptr::null(), &size) };
        assert_eq!(made, 0, "no pseudo-terminal: {}", std::io::Error::last_os_error());
        // SAFETY: both descriptors are new, and nobody else has them.
        let (ours, theirs) = unsafe { (File::from_raw_fd(ours), File::from_raw_fd(theirs)) };
        let end = || Stdio::from(theirs.try_clone().unwrap());
        let mut command = place.command(arguments);
        command.stdin(end()).stdout(end()).stderr(end()).env("TERM", "xterm").env_remove("CI").env_remove("NO_COLOR");
        // SAFETY: between fork and exec the child calls only what is safe after a signal.
        unsafe {
            command.inner().pre_exec(|| {
                // The terminal is this command's own, so that Ctrl-C reaches it.
                match libc::setsid() != -1 && libc::ioctl(0, libc::TIOCSCTTY as _, 0) != -1 {
                    true => Ok(()),
                    false => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let child = command.spawn().unwrap();
        drop((command, theirs));
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, sink) = (ours.try_clone().unwrap(), written.clone());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // Reading fails when the other side is closed.
            while let Ok(length @ 1..) = screen.read(&mut piece) {
                sink.lock().unwrap().extend(&piece[..length]);
            }
        });
        Terminal { child, keyboard: ours, written, columns: usize::from(columns) }
    }

    fn rows(&self) -> Vec<String> {
        screen(&self.written.lock().unwrap(), self.columns)
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let rows = self.rows();
            if holds(&rows) {
                return rows;
            }
            assert!(begun.elapsed() < DEADLINE, "{what}: {rows:#?}");
            std::thread::yield_now();
        }
    }

    fn press(&mut self, key: &str) {
        self.keyboard.write_all(key.as_bytes()).unwrap();
    }

    /// Waits for its end. Returns its exit code and the last screen.
    fn end(mut self) -> (i32, Vec<String>) {
        let begun = Instant::now();
        let code = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status.code().unwrap_or(-1),
                None => assert!(begun.elapsed() < DEADLINE, "it does not end: {:#?}", self.rows()),
            }
            std::thread::yield_now();
        };
        // The last output may still be on its way.
        let mut left = libc::pollfd { fd: self.keyboard.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `left` is one descriptor, as the call is told.
        while unsafe { libc::poll(&mut left, 1, 20) } == 1 && left.revents & libc::POLLIN != 0 {
            std::thread::yield_now();
        }
        (code, self.rows())
    }
}

#[test]
fn a_narrow_list_of_groups_keeps_the_names() {
    let place = Place::new();
    place.ok(&["submit", "--each", "true {{ item }}", "--items", "a"]);
    let (code, rows) = Terminal::start(&place, 40, &["list", "groups"]).end();
    assert_eq!(code, 0, "{rows:#?}");
    assert!(rows[0].contains("NAME") && !rows[0].contains("FAILED"), "{rows:#?}");
    assert!(rows[1].contains("true"), "{rows:#?}");
}

#[test]
fn a_person_is_asked_before_a_vector_database_is_deleted() {
    let place = Place::new();
    place.write("doc.md", "# Winches\n\nA winch pulls.\n");
    place.ok(&["ingest", "doc.md"]);
    let database = place.path().join("home/vectors/default.db");
    for (answer, code, left) in [("n\n", 6, true), ("\n", 6, true), ("y\n", 0, false)] {
        let mut terminal = Terminal::start(&place, 80, &["db", "delete", "default"]);
        terminal.until("it asks", |rows| !with(rows, "Delete `default` with 1 document for good?").is_empty());
        assert!(database.exists());
        terminal.press(answer);
        let (ended, rows) = terminal.end();
        assert_eq!((ended, database.exists()), (code, left), "{rows:#?}");
    }
    place.ok(&["ingest", "doc.md", "--force"]);
    let (ended, rows) = Terminal::start(&place, 80, &["db", "delete", "default", "--yes"]).end();
    assert!(ended == 0 && !database.exists(), "{rows:#?}");
}

/// The rows of a terminal after these bytes. Text wider than the terminal wraps, as it would there.
fn screen(bytes: &[u8], columns: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut rows: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column): (usize, usize) = (0, 0);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\r' => column = 0,
            '\n' => row += 1,
            '\x08' => column = column.saturating_sub(1),
            '\x1b' if letters.peek() == Some(&'[') => {
                letters.next();
                let mut number = String::new();
                let order = loop {
                    match letters.next() {
                        Some(it) if it.is_ascii_alphabetic() => break it,
                        Some(it) => number.push(it),
                        None => return finished(rows),
                    }
                };
                let many = number.parse().unwrap_or(1);
                match order {
                    'A' => row = row.saturating_sub(many),
                    'B' => row += many,
                    'G' => column = many - 1,
                    'K' if number == "2" => rows[row].clear(),
                    'K' => rows[row].truncate(column),
                    'J' => {
                        rows[row].truncate(column);
                        rows.truncate(row + 1);
                    }
                    _ => (),
                }
            }
            it if it.is_control() => (),
            it => {
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                rows.resize(rows.len().max(row + 1), Vec::new());
                let here = &mut rows[row];
                here.resize(here.len().max(column + 1), ' ');
                here[column] = it;
                column += 1;
            }
        }
        rows.resize(rows.len().max(row + 1), Vec::new());
    }
    finished(rows)
}

fn finished(rows: Vec<Vec<char>>) -> Vec<String> {
    let mut rows: Vec<String> =
        rows.into_iter().map(|it| it.into_iter().collect::<String>().trim_end().to_string()).collect();
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    rows
}

/// A flow whose second step waits for `go.ITEM`.
const FLOW: &str = "
id: wind
name: Wind everything that is there to be wound, in two steps
steps:
  - name: fetch-everything-there-is
    run: 'true'
  - name: wait
    run: 'until [ -e go.{{ item }} ]; do sleep 0.02; done; echo done {{ item }}'
";

fn with<'a>(rows: &'a [String], text: &str) -> Vec<&'a String> {
    rows.iter().filter(|it| it.contains(text)).collect()
}

#[test]
fn bars_fit_and_stand_once_whatever_the_width() {
    for columns in [40, 80] {
        let place = Place::new();
        place.write("wind.yaml", FLOW);
        place.write("go.a", "");
        let mut terminal =
            Terminal::start(&place, columns, &["run", "wind.yaml", "--items", "a", "b", "c", "d", "--pool", "*=1"]);
        let rows = terminal.until("one run is done", |rows| {
            with(rows, "wait ").iter().any(|it| it.contains("1/4"))
                && with(rows, "fetch").iter().any(|it| it.contains("2/4"))
        });
        assert_eq!((with(&rows, "fetch").len(), with(&rows, "wait ").len()), (1, 1), "{columns}: {rows:#?}");
        assert!(!with(&rows, " left").is_empty(), "{columns}: {rows:#?}");
        terminal.press("\x03");
        terminal.until("it stops", |rows| !with(rows, "stopping").is_empty());
        place.write("go.b", "");
        let (code, rows) = terminal.end();
        assert_eq!(code, 130, "{rows:#?}");
        assert_eq!((with(&rows, "fetch").len(), with(&rows, "wait ").len()), (1, 1), "{columns}: {rows:#?}");
        assert!(with(&rows, " left").is_empty(), "nothing is left of a time that nobody waits for: {rows:#?}");
        // The line breaks depend on the path of the program.
        let all = rows.concat().replace(' ', "");
        assert!(all.contains("continuewith") && all.contains("run--resumeg1"), "{rows:#?}");

        place.write("go.c", "");
        let resumed = Terminal::start(&place, columns, &["run", "--resume", "g1", "--pool", "*=1"]);
        let rows = resumed.until("the third is done", |rows| with(rows, "wait ").iter().any(|it| it.contains("3/4")));
        // This run has done one of the two remaining steps, so the remaining time is as long as that one took. It must
        // not be zero because of the pace of earlier work.
        assert!(!with(&rows, " left").is_empty() && with(&rows, "0s left").is_empty(), "{rows:#?}");
        place.write("go.d", "");
        let (code, rows) = resumed.end();
        assert_eq!(code, 0, "{rows:#?}");
        assert!(with(&rows, "g1 completed: 4 of 4 runs").len() == 1 && with(&rows, "wait ").len() == 1, "{rows:#?}");
    }
}

#[test]
fn wait_shows_how_far_it_is_on_a_terminal() {
    let place = Place::new();
    place.write("wind.yaml", FLOW);
    place.write("go.a", "");
    place.ok(&["submit", "wind.yaml", "--items", "a", "b", "--quiet"]);
    let mut worker = place.start(&["worker", "--until-idle"]);
    let terminal = Terminal::start(&place, 80, &["wait", "g1"]);
    terminal.until("it shows one of two", |rows| with(rows, "wait ").iter().any(|it| it.contains("1/2")));
    place.write("go.b", "");
    let (code, rows) = terminal.end();
    assert!(code == 0 && with(&rows, "g1 COMPLETED").len() == 1 && with(&rows, "wait ").len() == 1, "{rows:#?}");
    assert!(worker.wait().unwrap().success());
    let quiet = place.run(&["wait", "g1"]);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("g1 COMPLETED\n", ""), "a pipe gets the result alone");
}

#[test]
fn a_terminal_is_shown_the_link_to_the_page() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, 120, &["serve", "--listen", "127.0.0.1:0"]);
    terminal.until("it shows the link", |rows| !with(rows, "/open/").is_empty());
    terminal.until("it has said all", |rows| !with(rows, "Ctrl-C").is_empty());
    terminal.press("\x03");
    let (code, rows) = terminal.end();
    assert_eq!(code, 0, "{rows:#?}");
}

#[test]
fn tables_fit_a_narrow_terminal() {
    let place = Place::new();
    place.write("wind.yaml", FLOW);
    let items: Vec<String> = (0..3).map(|it| format!("an-item-with-a-long-name-{it}")).collect();
    for it in &items {
        place.write(&format!("go.{it}"), "");
    }
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    place.ok(&[&["run", "wind.yaml", "--items"], &items[..]].concat());
    place.run(&["run", "--each", "echo this is a long reason >&2; false {{ item }}", "--items", "a", "b"]);
    place.ok(&["submit", "wind.yaml", "--items", "x"]);
    for arguments in [
        &["status"][..],
        &["list"],
        &["list", "--utc"],
        &["list", "runs"],
        &["list", "steps", "--group", "g1"],
        &["list", "definitions"],
        &["list", "params"],
        &["show", "g1"],
        &["show", "r1"],
    ] {
        let terminal = Terminal::start(&place, 40, arguments);
        let written = terminal.written.clone();
        let (code, _) = terminal.end();
        // Without a right margin, so that each row is a complete line.
        let rows = screen(&written.lock().unwrap(), 10_000);
        assert_eq!(code, 0, "{arguments:?}: {rows:#?}");
        let is_head = |row: &String| {
            let words: Vec<&str> = row.split_whitespace().collect();
            words.len() > 1 && words.iter().all(|it| it.chars().all(|it| it.is_ascii_uppercase()))
        };
        let tables = rows.split(|it| it.is_empty()).filter_map(|part| {
            let head = part.iter().position(is_head)?;
            Some(part[head..].iter().take_while(|it| !it.starts_with(['n', 'm', 'h'])))
        });
        let lines: Vec<&String> = tables.flatten().collect();
        assert!(lines.len() > 1, "{arguments:?} has no table: {rows:#?}");
        for line in lines {
            assert!(line.chars().count() <= 40, "{arguments:?}: {line}");
        }
    }
}

#[test]
fn words_that_match_are_bold_on_a_terminal_and_no_sign_is_added() {
    let place = Place::new();
    place.write("docs/winch.md", "# The winch\n\nA *winch* pulls a **heavy** load with a drum.\n");
    place.ok(&["ingest", "docs"]);
    let terminal = Terminal::start(&place, 80, &["search", "heavy"]);
    let written = terminal.written.clone();
    let (code, rows) = terminal.end();
    assert_eq!((code, with(&rows, "A winch pulls a heavy load with a drum.").len()), (0, 1), "{rows:#?}");
    let written = String::from_utf8_lossy(&written.lock().unwrap()).into_owned();
    assert!(written.contains("A winch pulls a \x1b[1mheavy\x1b[0m load"), "{written:?}");
}

//! The worker's side of the protocol in Rust: a worker process of this same program, for work of our own that may
//! crash, hang or use too much memory.
//!
//! For the engine it is like a worker in any language: a pool with the command `command_of(NAME)`. The program's `main`
//! calls `requested` first, then `serve`.

use super::{
    program,
    protocol::{Answer, FDS, Failed, Incoming, LONGEST, Message, NONCE, VERSION, Work, decode, encode_message},
};
use crate::{
    model::Health,
    os::{limits, process_stat, spawn},
};
use serde_json::Value;
use std::{
    any::Any,
    env,
    ffi::OsString,
    fs::File,
    io::{self, BufReader, Read, Write},
    os::fd::FromRawFd,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// The hidden first argument that makes this program a worker process. The name of what it serves follows.
const WORD: &str = "__worker";

/// Less resident memory than this is not worth returning, in bytes.
const LITTLE: u64 = 48 << 20;

/// The command of a worker process of this program that serves `name`.
pub fn command_of(name: &str) -> Result<Vec<OsString>, String> {
    Ok(vec![program::program()?.into(), WORD.into(), name.into()])
}

/// What this process was started to serve. `None` if it was not started as a worker process of our own.
pub fn requested() -> Option<String> {
    let mut words = env::args_os().skip(1);
    if words.next()? != WORD {
        return None;
    }
    words.next()?.into_string().ok()
}

/// Serves requests with `run` until the engine has no more or is gone. Each unit is one step: memory that `run` used is
/// returned to the system when the unit is finalized. If `run` panics, that step fails permanently.
///
/// Returns an error only if the engine is gone.
pub fn serve(mut run: impl FnMut(&Work) -> Result<Option<Value>, Failed>) -> io::Result<()> {
    let mut channel = Channel::take()?;
    let nonce = env::var(NONCE).unwrap_or_default();
    channel.send(&Message::Hello { nonce, protocol: VERSION, pid: std::process::id() })?;
    while let Some(body) = channel.receive()? {
        let (id, request) = decode(&body)?;
        let last = matches!(request, Incoming::Shutdown);
        let done = match request {
            Incoming::Run(work) => {
                catch_unwind(AssertUnwindSafe(|| run(&work))).unwrap_or_else(|panic| Err(panicked(&*panic)))
            }
            Incoming::Finalize { .. } => {
                if health().rss_bytes.is_some_and(|it| it > LITTLE) {
                    limits::give_memory_back();
                }
                Ok(None)
            }
            Incoming::Ping | Incoming::Load { .. } | Incoming::Shutdown => Ok(None),
            Incoming::Unknown => Err(Failed { kind: "unknown_request".to_string(), ..Failed::default() }),
        };
        // This output belongs to the step, so flush it before the answer.
        let _ = io::stdout().flush();
        channel.answer(id, done)?;
        if last {
            break;
        }
    }
    Ok(())
}

/// Converts a panic to a failure of the protocol.
pub fn panicked(panic: &(dyn Any + Send)) -> Failed {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let said: String = said.unwrap_or("without a message").chars().take(200).collect();
    Failed { kind: "panicked".to_string(), message: said, ..Failed::default() }
}

fn health() -> Health {
    let pid = std::process::id();
    Health { rss_bytes: process_stat::rss_bytes(pid), open_fds: process_stat::open_fds(pid) }
}

struct Channel {
    requests: BufReader<File>,
    answers: File,
}

impl Channel {
    /// Takes the descriptors named in the environment, and makes them inaccessible to programs that the work starts.
    fn take() -> io::Result<Channel> {
        let missing = || io::Error::other("this is a worker process of windlass; only windlass starts it");
        let named = env::var(FDS).map_err(|_| missing())?;
        let (requests, answers) = named.split_once(',').ok_or_else(missing)?;
        let open = |number: &str| -> io::Result<File> {
            let number: i32 = number.parse().map_err(|_| missing())?;
            spawn::close_on_exec(number)?;
            // SAFETY: the engine passed this open descriptor to us, and nothing else in this process uses it.
            Ok(unsafe { File::from_raw_fd(number) })
        };
        Ok(Channel { requests: BufReader::new(open(requests)?), answers: open(answers)? })
    }

    /// The JSON of the next request; `None` if the engine is gone.
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        match self.requests.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > LONGEST {
            return Err(io::Error::other(format!("a request of {length} bytes")));
        }
        let mut body = vec![0; length];
        self.requests.read_exact(&mut body)?;
        Ok(Some(body))
    }

    fn answer(&mut self, id: u64, done: Result<Option<Value>, Failed>) -> io::Result<()> {
        let (value, failed) = match done {
            Ok(value) => (value, None),
            Err(failed) => (None, Some(failed)),
        };
        let health = health();
        let clean = health.rss_bytes.is_none_or(|it| it <= LITTLE);
        let answer = |value, failed| Message::Answer(Box::new(Answer { id, value, failed, clean, health }));
        match encode_message(&answer(value, failed)) {
            Ok(frame) => self.answers.write_all(&frame),
            Err(length) => {
                let message = format!("the answer would have {length} bytes; a frame has at most {LONGEST}");
                let failed = Failed { kind: "bad_value".to_string(), message, ..Failed::default() };
                self.send(&answer(None, Some(failed)))
            }
        }
    }

    fn send(&mut self, message: &Message) -> io::Result<()> {
        let frame =
            encode_message(message).map_err(|length| io::Error::other(format!("a message of {length} bytes")))?;
        self.answers.write_all(&frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A channel and its two far ends: the one for writing requests, and the one for reading answers.
    fn channel() -> (Channel, File, File) {
        let ((requests, to), (from, answers)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let file = |it: std::os::fd::OwnedFd| File::from(it);
        let channel = Channel { requests: BufReader::new(file(requests.into())), answers: file(answers.into()) };
        (channel, file(to.into()), file(from.into()))
    }

    fn frame(body: &str) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes(), body.as_bytes()].concat()
    }

    #[test]
    fn a_request_that_is_cut_off_is_an_error_and_the_end_is_none() {
        let (mut ours, mut to, _from) = channel();
        to.write_all(&frame(r#"{"id":3,"type":"finalize","unit":"s1"}"#)).unwrap();
        to.write_all(&frame("half of it")[..7]).unwrap();
        drop(to);
        let body = ours.receive().unwrap().unwrap();
        let (id, request) = decode(&body).unwrap();
        assert!(id == 3 && matches!(request, Incoming::Finalize { unit } if unit == "s1"));
        assert!(ours.receive().is_err());
        let (mut ours, to, _from) = channel();
        drop(to);
        assert_eq!(ours.receive().unwrap(), None);
    }

    #[test]
    fn an_answer_that_is_too_long_is_a_failure_instead() {
        let (mut ours, _to, mut from) = channel();
        ours.answer(7, Ok(Some(json!("x".repeat(LONGEST))))).unwrap();
        ours.answer(8, Ok(Some(json!({"pages": 2})))).unwrap();
        drop(ours);
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        let mut frames = crate::process::protocol::Frames::default();
        frames.push(&bytes);
        let mut next = || match frames.next_frame() {
            Some(crate::process::protocol::Frame::Message(Message::Answer(answer))) => answer,
            other => panic!("{other:?}"),
        };
        let (long, short) = (next(), next());
        assert_eq!((long.id, long.failed.unwrap().kind.as_str()), (7, "bad_value"));
        assert_eq!((short.id, short.value, short.failed), (8, Some(json!({"pages": 2})), None));
        assert!(short.health.rss_bytes.is_none_or(|it| it > 1 << 16));
    }

    #[test]
    fn a_panic_is_told_in_its_own_words() {
        let panic = catch_unwind(|| panic!("page {} is odd", 7)).unwrap_err();
        assert_eq!(panicked(&*panic).message, "page 7 is odd");
    }
}

//! What the system reports about single threads: their state, and whether they got a processor since.
//!
//! On Linux the answers come from /proc. On other systems, and for a process in another namespace, there is no answer.

use super::process_stat;
#[cfg(target_os = "linux")]
use crate::model::ThreadState;
use crate::model::{ProcessIdentity, ThreadLook};

/// The system's id of the calling thread; 0 if other processes can't look it up.
pub fn own_thread() -> u32 {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid().as_raw_nonzero().get() as u32;
    #[cfg(not(target_os = "linux"))]
    0
}

/// The state of a thread of exactly this process. `None` if the system does not report it or there is no such thread.
pub fn look(process: &ProcessIdentity, thread: u32) -> Option<ThreadLook> {
    let own = process_stat::own_identity();
    let place = |it: &ProcessIdentity| (it.boot_id.clone(), it.pid_namespace, it.time_namespace);
    if thread == 0 || place(process) != place(&own) {
        return None;
    }
    let found = read(process.pid, thread)?;
    // Checked afterwards: an unchanged start time means that it is still the same process.
    (process_stat::start_time(process.pid) == process.start_time).then_some(found)
}

/// Whether any thread of exactly this process is running, or waiting for a processor or a disk: its other threads may
/// be waiting for something that this one holds.
pub fn is_any_at_work(process: &ProcessIdentity) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid)).into_iter().flatten().flatten();
    let mut threads = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
    threads.any(|thread| look(process, thread).is_some_and(|it| it.is_at_work()))
}

#[cfg(target_os = "linux")]
fn read(pid: u32, thread: u32) -> Option<ThreadLook> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).ok()?)
}

#[cfg(not(target_os = "linux"))]
fn read(_pid: u32, _thread: u32) -> Option<ThreadLook> {
    None
}

/// Lines have the format of proc_pid_status(5).
#[cfg(target_os = "linux")]
fn parse(status: &str) -> Option<ThreadLook> {
    let field = |name: &str| status.lines().find_map(|it| it.strip_prefix(name)).map(str::trim);
    let count = |name: &str| field(name)?.parse::<u64>().ok();
    let state = match field("State:")?.as_bytes().first()? {
        b'R' => ThreadState::Runs,
        b'D' => ThreadState::Stuck,
        b'T' | b't' => ThreadState::Stopped,
        b'S' | b'I' => ThreadState::Waits,
        _ => return None,
    };
    Some(ThreadLook { state, turns: count("voluntary_ctxt_switches:")? + count("nonvoluntary_ctxt_switches:")? })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::{
        process::{Child, Command},
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU32, Ordering},
            mpsc,
        },
        thread,
        time::{Duration, Instant},
    };

    fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(it) = found() {
                return it;
            }
            assert!(Instant::now() < deadline, "never: {what}");
            thread::yield_now();
        }
    }

    #[test]
    fn the_lines_of_the_system_are_read() {
        let text = |state: &str| {
            format!("Name:\tState: R\nState:\t{state}\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t5\n")
        };
        let table = [
            ("R (running)", Some(ThreadState::Runs)),
            ("S (sleeping)", Some(ThreadState::Waits)),
            ("D (disk sleep)", Some(ThreadState::Stuck)),
            ("T (stopped)", Some(ThreadState::Stopped)),
            ("t (tracing stop)", Some(ThreadState::Stopped)),
            ("Z (zombie)", None),
        ];
        for (word, state) in table {
            assert_eq!(parse(&text(word)), state.map(|state| ThreadLook { state, turns: 12 }), "{word}");
        }
        assert_eq!(parse("State:\tR (running)\n"), None);
    }

    #[test]
    fn a_thread_that_waits_has_no_turns_and_one_that_works_has_no_rest() {
        let own = process_stat::own_identity();
        let (done, reported) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (go_on, waits_for) = mpsc::channel::<()>();
        let (waits_as, waiter) = mpsc::channel();
        let (ended, number) = (done.clone(), reported.clone());
        let busy = thread::spawn(move || {
            number.store(own_thread(), Ordering::SeqCst);
            while !ended.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
        });
        let idle = thread::spawn(move || {
            waits_as.send(own_thread()).unwrap();
            let _ = waits_for.recv();
            let _ = waits_for.recv();
        });
        let works = until("it works", || Some(reported.load(Ordering::SeqCst)).filter(|it| *it > 0));
        let waits = waiter.recv().unwrap();
        let rests = || look(&own, waits).filter(|it| it.state == ThreadState::Waits);
        let before = until("it waits", rests);
        for _ in 0..100 {
            assert_eq!(look(&own, works).unwrap().state, ThreadState::Runs, "whether it has a processor or not");
        }
        assert!(is_any_at_work(&own));
        assert_eq!(look(&own, waits), Some(before));
        go_on.send(()).unwrap();
        until("it was given a turn", || rests().filter(|it| it.turns > before.turns));
        done.store(true, Ordering::SeqCst);
        drop(go_on);
        busy.join().unwrap();
        idle.join().unwrap();
        assert_eq!(until("it is gone", || look(&own, waits).is_none().then_some(())), ());
    }

    struct Killed(Child);

    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_stopped_process_is_seen_to_be_stopped_and_a_stranger_is_not_judged() {
        let child = Killed(Command::new("sleep").arg("600").spawn().unwrap());
        let pid = child.0.id();
        let identity = process_stat::identity_of(pid).unwrap();
        let is = |state| look(&identity, pid).filter(|it| it.state == state);
        until("it sleeps", || is(ThreadState::Waits));
        assert!(!is_any_at_work(&identity));
        let signal =
            |signal| rustix::process::kill_process(rustix::process::Pid::from_child(&child.0), signal).unwrap();
        signal(rustix::process::Signal::STOP);
        until("it is stopped", || is(ThreadState::Stopped));
        signal(rustix::process::Signal::CONT);
        until("it runs again", || is(ThreadState::Waits));
        let other = |change: fn(&mut ProcessIdentity)| {
            let mut it = identity.clone();
            change(&mut it);
            look(&it, pid)
        };
        assert_eq!(other(|it| it.start_time = Some(1)), None, "the pid is another's by now");
        assert_eq!(other(|it| it.pid_namespace = Some(1)), None);
        assert_eq!(other(|it| it.boot_id = "before".into()), None);
        assert_eq!(look(&identity, 0), None);
    }
}

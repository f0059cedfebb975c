//! Sends one request to a worker process and waits for its answer or for the end of the worker.
//!
//! The loop that waits for the answer also drains the worker's output, checks its limits and notices its death. After a
//! death, everything left in the pipes is read first, so an answer that was written is not lost.

use super::{
    capture::{CAPTURE, Captured},
    live::Live,
    protocol::{Answer, Frame, Message, VERSION},
    worker_process::{Timeouts, Worker},
};
use crate::{
    model::{Bytes, ExitStatus, KillIntent, Millis, ResourceLimit},
    os::{CancelToken, cancel::CancelWake, leader::Left, process_stat, readiness::wait_ready},
};
use std::{
    io::{self, Write},
    os::fd::AsFd,
    path::Path,
    time::{Duration, Instant},
};

/// How long a worker that has closed its pipe may take to end by itself.
const LAST_BREATH: Duration = Duration::from_secs(2);
/// A process that survives KILL for this long is stuck in the kernel and is left alone.
const STUCK: Duration = Duration::from_secs(30);
/// The time between TERM and KILL for processes left behind by a worker that ended.
const LEFT_BEHIND: Duration = Duration::from_secs(1);
/// The first memory check comes soon; later ones are rarer.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_millis(100);

/// The options of one request.
#[derive(Clone, Copy)]
pub struct RequestOptions<'a> {
    pub cancel: &'a CancelToken,
    /// A worker that has not answered by then is ended.
    pub deadline: Option<Millis>,
    pub limits: WorkLimits,
    /// Between TERM and KILL.
    pub grace: Millis,
    pub drain: Millis,
    /// The directory for output that a follower reads while the request runs (`live`).
    pub live: Option<&'a Path>,
}

/// Limits of the worker and its descendants during one request, checked by sampling. `None` sets no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkLimits {
    pub memory: Option<Bytes>,
    /// The same for a process that has worked before, measured as if it were new: memory left in use by earlier work
    /// does not count.
    pub memory_if_new: Option<Bytes>,
    /// Per process.
    pub open_files: Option<u64>,
    /// For the worker and the children that it waited for.
    pub cpu: Option<Millis>,
}

impl<'a> RequestOptions<'a> {
    /// No deadline and no limits.
    pub fn of(cancel: &'a CancelToken, timeouts: &Timeouts) -> RequestOptions<'a> {
        RequestOptions {
            cancel,
            deadline: None,
            limits: WorkLimits::default(),
            grace: timeouts.grace,
            drain: timeouts.drain,
            live: None,
        }
    }
}

/// The result of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    pub answer: Option<Answer>,
    /// Whether the answer was read from the pipes after the worker had ended.
    pub recovered: bool,
    /// If the request was too long to send, the size of its JSON in bytes.
    pub too_long: Option<usize>,
    /// Why we ended the worker; `None` if it is alive or ended by itself.
    pub intent: Option<KillIntent>,
    /// How it ended by itself; `None` if it is alive, or closed its pipe without ending.
    pub exit: Option<ExitStatus>,
    pub raw_messages: u64,
    pub parse_failures: u64,
    pub stdout: Captured,
    /// Includes the lines of `log` messages.
    pub stderr: Captured,
    /// From samples; `None` for a short request.
    pub peak_rss: Option<Bytes>,
    /// The CPU time of the worker. If CPU time is limited, it includes the children that the worker waited for. `None`
    /// for a short request.
    pub cpu: Option<Millis>,
    pub took: Millis,
    pub remarks: Vec<String>,
}

/// The event to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited<'a> {
    /// The hello with this nonce.
    Hello(&'a str),
    /// The answer to the last request.
    Answer,
    /// The end of the worker.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    /// The worker or its pipe has ended.
    Lost {
        until: Instant,
    },
    /// TERM was sent.
    Stopping {
        until: Instant,
    },
    /// KILL was sent.
    Killing {
        until: Instant,
    },
    /// The whole tree is gone.
    Gone,
}

struct Exchange<'a, 'w> {
    worker: &'w mut Worker,
    awaited: Awaited<'a>,
    options: &'a RequestOptions<'a>,
    wake: Option<CancelWake>,
    outgoing: Vec<u8>,
    sent: usize,
    phase: Phase,
    began: Instant,
    next_look: Instant,
    pause: Duration,
    cpu_before: Option<Millis>,
    /// CPU time of the worker alone, for the attempt statistics.
    own_cpu_before: Option<Millis>,
    /// Memory left in use by earlier work, in bytes, if a limit depends on it.
    rss_left: u64,
    live: Option<Live>,
    /// Whether we have sent it signals, which makes its exit status meaningless.
    signalled: bool,
    reply: Reply,
}

/// Sends a frame, if there is one, and waits.
pub(super) fn exchange(
    worker: &mut Worker,
    awaited: Awaited,
    frame: Option<Vec<u8>>,
    options: &RequestOptions,
) -> Reply {
    let began = Instant::now();
    let mut exchange = Exchange {
        awaited,
        options,
        // Created only if the request takes longer than a moment: one pipe per request would cost more than it saves.
        wake: None,
        outgoing: frame.unwrap_or_default(),
        sent: 0,
        phase: Phase::Waiting,
        began,
        next_look: began + FIRST_LOOK,
        pause: FIRST_LOOK,
        cpu_before: options.limits.cpu.and_then(|_| process_stat::cpu_time(worker.pid)),
        own_cpu_before: process_stat::own_cpu_time(worker.pid),
        rss_left: options.limits.memory_if_new.map_or(0, |_| worker.rss_left()),
        live: options.live.map(|it| Live::new(it, began)),
        signalled: false,
        reply: Reply::default(),
        worker,
    };
    exchange.send();
    while !exchange.is_over() {
        if let Err(error) = exchange.turn() {
            // Without poll we can neither read nor wait.
            exchange.reply.remarks.push(format!("lost contact with the worker: {error}"));
            exchange.worker.handle.kill();
            exchange.worker.exit_info.get_or_insert_default();
            break;
        }
    }
    exchange.finish()
}

impl Exchange<'_, '_> {
    fn is_over(&self) -> bool {
        let heard = self.reply.answer.is_some() && self.awaited != Awaited::End;
        self.phase == Phase::Gone || (self.phase == Phase::Waiting && heard)
    }

    /// Writes as much of the request as the pipe takes.
    fn send(&mut self) {
        while self.sent < self.outgoing.len() {
            match self.worker.requests.write(&self.outgoing[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // The reader is gone; its end is reported elsewhere.
                    self.sent = self.outgoing.len();
                    self.phase = Phase::Lost { until: Instant::now() + LAST_BREATH };
                }
            }
        }
    }

    /// Waits for something to happen and handles it.
    fn turn(&mut self) -> io::Result<()> {
        let [answers, out, err, control] = self.worker.signs();
        let readers = [answers, out, err, control, self.wake.as_ref().map(AsFd::as_fd)];
        let writer = (self.sent < self.outgoing.len()).then(|| self.worker.requests.as_fd());
        let (ready, writable) = wait_ready(&readers, writer, self.timeouts())?;
        if writable {
            self.send();
        }
        if ready[1] || ready[2] {
            self.worker.read_printed();
        }
        if ready[0] {
            self.worker.read_answers();
            self.hear_frames();
        }
        // Handled before other events, so that a worker that answers our own TERM with exit code 0 counts as cancelled.
        if ready[4] || self.wake.is_none() {
            self.look_at_the_token();
        }
        if ready[3] {
            self.worker.hear_events();
        }
        self.move_on();
        if let Some(live) = &mut self.live {
            let [out, err] = &self.worker.captured;
            live.look([out, err], Instant::now());
        }
        Ok(())
    }

    /// The time until something is due.
    fn timeouts(&self) -> Duration {
        let due = match self.phase {
            Phase::Waiting => {
                let deadline = self.options.deadline.map(|it| self.began + it.duration());
                deadline.map_or(self.next_look, |it| it.min(self.next_look))
            }
            Phase::Lost { until } | Phase::Stopping { until } | Phase::Killing { until } => until,
            Phase::Gone => self.began,
        };
        due.saturating_duration_since(Instant::now())
    }

    fn hear_frames(&mut self) {
        while let Some(frame) = self.worker.frames.next_frame() {
            self.reply.raw_messages += 1;
            match frame {
                Frame::Message(message) => self.hear(message),
                Frame::Unreadable => self.reply.parse_failures += 1,
                Frame::TooLong => {
                    self.reply.parse_failures += 1;
                    self.reply.remarks.push("the worker sent a frame of more than 16 MiB".to_string());
                    self.worker.answers = None;
                    return;
                }
            }
        }
    }

    fn hear(&mut self, message: Message) {
        let ours = |id: Option<u64>| id == Some(self.worker.last_id);
        match message {
            Message::Hello { nonce, protocol: VERSION, pid } if self.awaited == Awaited::Hello(&nonce) => {
                // If the worker was started through another program, its own process is the one to measure. In another
                // namespace its pid means nothing.
                if process_stat::descendants(self.worker.pid).contains(&pid) {
                    self.worker.pid = pid;
                }
                self.reply.answer = Some(Answer::default());
            }
            Message::Hello { protocol, .. } if protocol != VERSION => {
                self.reply.remarks.push(format!("it speaks protocol {protocol}, this is protocol {VERSION}"));
                self.worker.answers = None;
            }
            Message::Answer(answer) if self.awaited == Awaited::Answer && ours(Some(answer.id)) => {
                self.worker.note(&answer);
                self.reply.recovered = self.worker.exit_info.is_some();
                self.reply.answer = Some(*answer);
            }
            Message::Log { id, level, message } if ours(id) => {
                let level = level.map(|it| format!("[{it}] ")).unwrap_or_default();
                self.worker.captured[1].push(format!("{level}{message}\n").as_bytes(), CAPTURE);
            }
            // Progress does not extend the deadline; the other messages answer no request.
            Message::Progress { .. } | Message::Log { .. } | Message::Answer(_) | Message::Hello { .. } => (),
            Message::Other => (),
        }
    }

    fn look_at_the_token(&mut self) {
        let Some(intent) = self.options.cancel.intent() else { return };
        self.wake = None; // it stays readable from now on
        match self.phase {
            Phase::Waiting if self.reply.answer.is_none() => self.stop(intent),
            // A cancel outranks every other intent.
            Phase::Stopping { .. } | Phase::Killing { .. } if intent == KillIntent::Cancel => {
                self.reply.intent = self.reply.intent.map(|_| intent);
            }
            _ => (),
        }
    }

    fn move_on(&mut self) {
        let now = Instant::now();
        if self.worker.handle.is_gone() {
            // There is no writer left, so everything written can be read now.
            self.worker.read_answers();
            self.hear_frames();
            self.tree_is_gone();
        }
        if self.phase == Phase::Waiting {
            self.wait_on(now);
        }
        match self.phase {
            Phase::Lost { until } => {
                let known = self.worker.exit_info.is_some();
                let complete = self.reply.answer.is_some() || self.worker.answers.is_none();
                if (known && complete) || now >= until {
                    self.end_leftovers();
                }
            }
            Phase::Stopping { until } if now >= until => self.kill(),
            Phase::Killing { until } if now >= until => {
                self.worker.handle.overthrow();
                self.worker.exit_info.get_or_insert_default();
                self.tree_is_gone();
            }
            _ => (),
        }
    }

    fn tree_is_gone(&mut self) {
        let Left { ended, stuck } = self.worker.handle.left();
        if ended > 0 {
            self.reply.remarks.push(format!("its supervisor was killed; its remaining processes were ended ({ended})"));
        }
        if stuck > 0 {
            self.reply.remarks.push("one of the worker's processes could not be killed".to_string());
        }
        self.phase = Phase::Gone;
    }

    fn wait_on(&mut self, now: Instant) {
        if self.is_over() {
            return;
        }
        if self.worker.exit_info.is_some() {
            let drain = if self.awaited == Awaited::End { LAST_BREATH } else { self.options.drain.duration() };
            self.phase = Phase::Lost { until: now + drain };
        } else if self.worker.answers.is_none() {
            self.phase = Phase::Lost { until: now + LAST_BREATH };
        } else if let Some(deadline) = self.options.deadline.filter(|it| now >= self.began + it.duration()) {
            self.stop(KillIntent::Deadline(deadline));
        } else if now >= self.next_look {
            self.look();
            self.pause = (self.pause * 2).min(LAST_LOOK);
            self.next_look = now + self.pause;
        }
    }

    /// Measures the worker and its descendants, and kills them at a limit.
    fn look(&mut self) {
        if self.wake.is_none() {
            self.wake = self.options.cancel.wake().ok();
        }
        let limits = &self.options.limits;
        let (mut rss, mut most_files) = (0, 0);
        // Starts below the shim, which has adopted orphans of the worker.
        let mut waiting = process_stat::children(self.worker.handle.pid());
        if waiting.is_empty() {
            waiting.push(self.worker.pid);
        }
        while let Some(pid) = waiting.pop() {
            rss += process_stat::rss_bytes(pid).unwrap_or(0);
            if limits.open_files.is_some() {
                most_files = most_files.max(process_stat::open_fds(pid).unwrap_or(0));
            }
            waiting.extend(process_stat::children(pid));
        }
        self.worker.out_of_memory_kills = process_stat::out_of_memory_kills();
        if rss > 0 {
            self.reply.peak_rss = self.reply.peak_rss.max(Some(Bytes(rss)));
        }
        self.reply.cpu = self.cpu_since().or(self.reply.cpu);
        let reached = match (limits.memory, limits.open_files, limits.cpu.zip(self.reply.cpu)) {
            (Some(limit), _, _) if rss >= limit.0 => ResourceLimit::Memory,
            _ if limits.memory_if_new.is_some_and(|it| rss.saturating_sub(self.rss_left) >= it.0) => {
                ResourceLimit::Memory
            }
            (_, Some(limit), _) if most_files >= limit => ResourceLimit::OpenFiles,
            (_, _, Some((limit, used))) if used >= limit => ResourceLimit::CpuTime,
            _ => return,
        };
        self.reply.intent = Some(KillIntent::Limit(reached));
        self.kill();
    }

    fn cpu_since(&self) -> Option<Millis> {
        let pid = self.worker.pid;
        // If CPU time is limited, this includes children that the worker waited for.
        let (before, now) = match self.cpu_before {
            Some(before) => (before, process_stat::cpu_time(pid)?),
            None => (self.own_cpu_before?, process_stat::own_cpu_time(pid)?),
        };
        Some(Millis(now.0.saturating_sub(before.0)))
    }

    fn stop(&mut self, intent: KillIntent) {
        self.reply.intent = Some(intent);
        self.end_leftovers();
    }

    /// Sends TERM to the worker and its descendants, and KILL after the grace period.
    fn end_leftovers(&mut self) {
        // Record how it ended by itself: from now on, its exit may be caused by our own signals.
        self.note_exit();
        self.worker.handle.terminate();
        let grace = self.options.grace.duration();
        let grace = if self.worker.exit_info.is_some() { grace.min(LEFT_BEHIND) } else { grace };
        self.phase = Phase::Stopping { until: Instant::now() + grace };
    }

    fn kill(&mut self) {
        self.note_exit();
        self.worker.handle.kill();
        self.phase = Phase::Killing { until: Instant::now() + STUCK };
    }

    fn note_exit(&mut self) {
        if !std::mem::replace(&mut self.signalled, true) {
            self.reply.exit = self.worker.exit_info.as_ref().and_then(|it| it.exit);
        }
    }

    fn finish(mut self) -> Reply {
        // Output that the worker printed before its answer is already in the pipe.
        self.worker.read_printed();
        self.note_exit();
        if self.reply.peak_rss.is_some() {
            // If the process did nothing before, the CPU time at its exit is exact.
            let whole_life = self.worker.exit_info.as_ref().and_then(|it| it.cpu).filter(|_| self.worker.units == 0);
            let of_the_dead =
                whole_life.zip(self.own_cpu_before).map(|(all, before)| Millis(all.0.saturating_sub(before.0)));
            self.reply.cpu = of_the_dead.or(self.cpu_since()).or(self.reply.cpu);
        }
        let [stdout, stderr] = self.worker.take_printed();
        let took = self.began.elapsed().into();
        Reply { stdout, stderr, took, ..self.reply }
    }
}

//! The newest events in memory, from all processes of the home, in commit order.
//!
//! One thread reads the event table from where it stopped and fills a ring, which all subscribers read at their own
//! pace. Nothing is published before it is on disk, and a writer never waits for a subscriber. A subscriber that falls
//! behind the ring reads from the database until it has caught up. Nothing is lost, and memory does not grow.

use crate::{
    engine::Engine,
    model::{Event, GroupId},
    observe::{Counter, Metrics},
    os::{Unpoisoned, threads},
    store::{
        self, Store,
        event::{self, Cursor},
    },
    view,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, Weak},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// The most subscribers. Each has a connection.
pub const SUBSCRIBERS: usize = 128;
/// The interval between two checks for commits, by any process. A check costs microseconds.
const LOOK: Duration = Duration::from_millis(100);
/// The interval without subscribers.
const LEISURE: Duration = Duration::from_millis(500);
/// How many transactions are read at once.
const BATCHES: usize = 256;

/// An event in the form that is sent.
#[derive(Debug)]
pub struct RingEvent {
    /// The cursor after the event.
    pub cursor: Cursor,
    pub event: Event,
    pub json: String,
}

impl RingEvent {
    pub fn new(cursor: Cursor, event: Event) -> RingEvent {
        let json = serde_json::to_string(&view::event_view(cursor, &event)).unwrap_or_default();
        RingEvent { cursor, event, json }
    }

    pub fn is_of(&self, group: Option<GroupId>) -> bool {
        group.is_none() || self.event.group == group
    }
}

/// The events after a subscriber's cursor.
#[derive(Debug)]
pub enum Ahead {
    /// In order. Empty if the subscriber has seen everything.
    Events(Vec<Arc<RingEvent>>),
    /// The next event has left the ring.
    Behind,
}

#[derive(Clone)]
pub struct EventRing(Arc<Feed>);

struct Feed {
    ring: Mutex<Ring>,
    /// The most events in the ring.
    limit: usize,
    /// Held while the ring is filled, so that no event is added twice.
    filling: Mutex<()>,
    /// Wakes the reader early.
    woken: Condvar,
    /// Incremented whenever the ring has grown.
    grown: watch::Sender<u64>,
    metrics: Arc<dyn Metrics>,
}

struct Ring {
    events: VecDeque<Arc<RingEvent>>,
    /// The cursor before the first event of the ring.
    start: Cursor,
    /// The cursor after the last event.
    end: Cursor,
    subscribers: usize,
    /// When the last commit was seen, by any process.
    last_commit: Instant,
    stopped: bool,
}

/// A subscription of the event ring. Dropping it ends it.
pub struct Subscription {
    event_ring: EventRing,
    grown: watch::Receiver<u64>,
}

impl EventRing {
    /// Keeps the newest `limit` events until it is stopped or dropped.
    pub fn start(engine: &Engine, limit: u64, metrics: Arc<dyn Metrics>) -> EventRing {
        let store = engine.store().clone();
        // If that fails, the whole table counts as new, and only its newest events are read.
        let event_ring = EventRing::empty(limit, metrics, store.read(event::newest).unwrap_or_default());
        let shared = Arc::downgrade(&event_ring.0);
        let started = threads::start("windlass-events", move || follow(&shared, &store));
        if let Err(error) = started {
            tracing::error!(%error, "failed to follow events");
        }
        event_ring
    }

    fn empty(limit: u64, metrics: Arc<dyn Metrics>, end: Cursor) -> EventRing {
        let ring = Ring {
            events: VecDeque::new(),
            start: end,
            end,
            subscribers: 0,
            // The start of a daemon commits its epoch.
            last_commit: Instant::now(),
            stopped: false,
        };
        EventRing(Arc::new(Feed {
            ring: Mutex::new(ring),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            filling: Mutex::default(),
            woken: Condvar::new(),
            grown: watch::Sender::new(0),
            metrics,
        }))
    }

    /// Starts a subscription. `None` if there are already `SUBSCRIBERS`. Reads the database, so don't call it on the server's
    /// thread.
    pub fn sit_down(&self, store: &Store) -> store::Result<Option<Subscription>> {
        // The subscriber gets only events after this point.
        self.0.take_in(store)?;
        let mut ring = self.0.ring();
        if ring.subscribers >= SUBSCRIBERS {
            return Ok(None);
        }
        ring.subscribers += 1;
        self.0.woken.notify_all();
        Ok(Some(Subscription { event_ring: self.clone(), grown: self.0.grown.subscribe() }))
    }

    /// The number of events held, its limit, and the number of subscribers.
    pub fn load(&self) -> (usize, usize, usize) {
        let ring = self.0.ring();
        (ring.events.len(), self.0.limit, ring.subscribers)
    }

    /// When any process was last seen to commit.
    pub fn last_commit(&self) -> Instant {
        self.0.ring().last_commit
    }

    /// Counts events that left the ring before a subscriber read them. `how`: `read` from the table, or `dropped`.
    pub fn count_missed(&self, how: &str, events: i64) {
        self.0.metrics.add(Counter::EventsMissed, how, u64::try_from(events).unwrap_or(0));
    }

    /// The cursor after the newest event that was read.
    pub fn end(&self) -> Cursor {
        self.0.ring().end
    }

    /// At most `most` events after a cursor. Empty if the cursor is newer than the ring.
    pub fn after(&self, cursor: Cursor, most: usize) -> Ahead {
        let ring = self.0.ring();
        if cursor < ring.start {
            return Ahead::Behind;
        }
        let first = ring.events.partition_point(|it| it.cursor <= cursor);
        Ahead::Events(ring.events.iter().skip(first).take(most).cloned().collect())
    }

    /// Stops reading. Subscribers learn that the process is stopping.
    pub fn stop(&self) {
        self.0.ring().stopped = true;
        self.0.woken.notify_all();
        self.0.grown.send_modify(|it| *it += 1);
    }
}

/// Reads committed events for as long as the ring has an owner.
fn follow(shared: &Weak<Feed>, store: &Store) {
    let mut watch = None;
    let mut seen = None;
    while let Some(shared) = shared.upgrade() {
        if watch.is_none() {
            watch = store.watch().inspect_err(|error| tracing::warn!(%error, "failed to follow events")).ok();
        }
        match watch.as_ref().map(store::Watch::version) {
            Some(Ok(version)) if seen != Some(version) => {
                // The first check has nothing to compare with.
                if seen.is_some() {
                    shared.ring().last_commit = Instant::now();
                }
                match shared.take_in(store) {
                    Ok(()) => seen = Some(version),
                    Err(error) => tracing::warn!(%error, "failed to read events"),
                }
            }
            Some(Err(_)) => watch = None,
            _ => (),
        }
        if shared.rest() {
            return;
        }
    }
}

impl Feed {
    /// Waits until the next check is due. Returns true if the ring was stopped.
    fn rest(&self) -> bool {
        let ring = self.ring();
        let time = if ring.subscribers == 0 { LEISURE } else { LOOK };
        if ring.stopped {
            return true;
        }
        self.woken.wait_timeout(ring, time).unpoisoned().0.stopped
    }

    /// Reads new events into the ring. Holds no transaction while it waits.
    fn take_in(&self, store: &Store) -> store::Result<()> {
        let _filling = self.filling.lock().unpoisoned();
        self.skip(store.read(event::newest)?);
        loop {
            let from = self.ring().end;
            let (oldest, found) = store.read(|tx| Ok((event::oldest(tx)?, event::after(tx, from, BATCHES)?)))?;
            if from.seq + 1 < oldest.seq {
                // Events were pruned before they were read. Subscribers must not continue in the ring as if nothing
                // were missing.
                let mut ring = self.ring();
                ring.events.clear();
                (ring.start, ring.end) = (oldest, oldest);
            }
            if found.is_empty() {
                return Ok(());
            }
            let events = found.into_iter().map(|(at, event)| Arc::new(RingEvent::new(at, event))).collect();
            self.push(events);
        }
    }

    /// Skips events that would leave the ring immediately. Each transaction in the table has at least one event.
    fn skip(&self, newest: Cursor) {
        let first = newest.seq.saturating_sub(i64::try_from(self.limit).unwrap_or(i64::MAX));
        let mut ring = self.ring();
        if first > ring.end.seq + 1 {
            ring.events.clear();
            ring.start = Cursor { seq: first, index: 0 };
            ring.end = ring.start;
        }
    }

    fn push(&self, events: Vec<Arc<RingEvent>>) {
        let mut ring = self.ring();
        for it in events {
            if ring.events.len() == self.limit
                && let Some(first) = ring.events.pop_front()
            {
                ring.start = first.cursor;
            }
            ring.end = it.cursor;
            ring.events.push_back(it);
        }
        drop(ring);
        self.grown.send_modify(|it| *it += 1);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unpoisoned()
    }
}

impl Subscription {
    pub fn event_ring(&self) -> &EventRing {
        &self.event_ring
    }

    /// Returns when the ring has grown since the last call, or after this time.
    pub async fn wait(&mut self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.grown.changed()).await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.event_ring.0.ring().subscribers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{EventKind, Timestamp},
        observe::NoMetrics,
    };

    fn event(seq: i64, group: i64) -> Arc<RingEvent> {
        let event = Event {
            at: Timestamp(seq),
            kind: EventKind::GroupStart,
            group: Some(GroupId(group)),
            run: None,
            step: None,
            detail: String::new(),
        };
        Arc::new(RingEvent::new(Cursor { seq, index: 1 }, event))
    }

    fn seqs(ahead: Ahead) -> Vec<i64> {
        match ahead {
            Ahead::Events(events) => events.iter().map(|it| it.cursor.seq).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reader_goes_on_behind_its_cursor_and_hears_when_it_fell_behind() {
        // Room for three: the first two make way.
        let event_ring = EventRing::empty(3, Arc::new(NoMetrics), Cursor { seq: 8, index: 1 });
        event_ring.0.push((9..=13).map(|seq| event(seq, seq)).collect());
        assert_eq!(event_ring.load(), (3, 3, 0));
        assert_eq!(seqs(event_ring.after(Cursor { seq: 10, index: 1 }, 100)), [11, 12, 13]);
        assert_eq!(seqs(event_ring.after(Cursor { seq: 12, index: 0 }, 1)), [12]);
        assert_eq!(seqs(event_ring.after(Cursor { seq: 13, index: 1 }, 100)), [] as [i64; 0]);
        assert!(matches!(event_ring.after(Cursor { seq: 9, index: 5 }, 100), Ahead::Behind));
        assert_eq!(seqs(event_ring.after(Cursor { seq: 99, index: 0 }, 100)), [] as [i64; 0]);
    }

    #[test]
    fn what_would_leave_the_ring_at_once_is_not_read() {
        let event_ring = EventRing::empty(3, Arc::new(NoMetrics), Cursor { seq: 1, index: 1 });
        event_ring.0.push(vec![event(2, 2)]);
        event_ring.0.skip(Cursor { seq: 6, index: 1 });
        assert_eq!((event_ring.end().seq, event_ring.load().0), (2, 1), "the next of three is at hand");
        event_ring.0.skip(Cursor { seq: 100, index: 4 });
        assert_eq!(event_ring.load().0, 0, "what is before the gap has left, too");
        event_ring.0.push((98..=100).map(|seq| event(seq, seq)).collect());
        assert_eq!(seqs(event_ring.after(Cursor { seq: 97, index: 1 }, 100)), [98, 99, 100]);
        assert!(matches!(event_ring.after(Cursor { seq: 2, index: 1 }, 100), Ahead::Behind));
    }

    #[test]
    fn an_event_carries_the_cursor_behind_it() {
        let event = event(7, 3);
        assert_eq!(event.json, r#"{"cursor":"7.1","at":7,"kind":"GROUP_START","group":3,"run":null,"step":null}"#);
        assert!(event.is_of(None) && event.is_of(Some(GroupId(3))) && !event.is_of(Some(GroupId(4))));
    }
}

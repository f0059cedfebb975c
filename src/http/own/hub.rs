//! One reader of the history for all subscribers: what is new is read once, and kept in a ring that everybody reads at his
//! own pace. Who falls behind the ring reads from the database until he has caught up, so nothing is lost and nothing grows.

use crate::{
    http::App,
    model::{Event, GroupId},
    store::{
        self, Store,
        event::{self, Cursor},
    },
    view,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// Events that are kept for those who follow.
const RING: usize = 4_096;
/// Subscribers at a time; a connection each.
pub const SUBSCRIBERS: usize = 128;
/// Between two looks at whether anything was committed, by whatever process. A look costs microseconds.
const LOOK: Duration = Duration::from_millis(100);
/// Transactions that are read at once.
const BATCHES: usize = 256;

/// An event as it is sent.
#[derive(Debug)]
pub struct Told {
    /// Behind the event.
    pub cursor: Cursor,
    pub event: Event,
    pub json: String,
}

impl Told {
    pub fn new(cursor: Cursor, event: Event) -> Told {
        let json = serde_json::to_string(&view::event_view(cursor, &event)).unwrap_or_default();
        Told { cursor, event, json }
    }

    pub fn is_of(&self, group: Option<GroupId>) -> bool {
        group.is_none() || self.event.group == group
    }
}

/// What a subscriber finds behind its cursor.
#[derive(Debug)]
pub enum Ahead {
    /// In order; empty when it has seen everything.
    Events(Vec<Arc<Told>>),
    /// What is next has left the ring.
    Behind,
}

#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    ring: Mutex<Ring>,
    /// Counts up whenever the ring has grown.
    grown: watch::Sender<u64>,
}

#[derive(Default)]
struct Ring {
    events: VecDeque<Arc<Told>>,
    /// Before the first event of the ring.
    start: Cursor,
    /// Behind the last.
    end: Cursor,
    subscribers: usize,
    /// The thread that reads lives.
    reading: bool,
}

/// A place at the hub. Dropping it frees the place; with the last one the reading ends.
pub struct Seat {
    hub: Hub,
    grown: watch::Receiver<u64>,
}

impl Default for Hub {
    fn default() -> Hub {
        Hub(Arc::new(Shared { ring: Mutex::default(), grown: watch::Sender::new(0) }))
    }
}

impl Hub {
    /// Takes a place; the first one starts the reading. `None` when all are taken. Reads the database: not for the
    /// server's thread.
    pub fn sit_down(&self, app: &App) -> store::Result<Option<Seat>> {
        let store = app.engine().store();
        // Asked before the lock is taken: nobody waits for a read while he wants the ring.
        let newest = store.read(event::newest)?;
        let mut ring = self.ring();
        if ring.subscribers >= SUBSCRIBERS {
            return Ok(None);
        }
        if !ring.reading {
            *ring = Ring { start: newest, end: newest, subscribers: ring.subscribers, ..Ring::default() };
            let (hub, app) = (self.clone(), app.clone());
            let spawned = std::thread::Builder::new().name("windlass-events".into()).spawn(move || hub.read(&app));
            spawned.map_err(|source| store::Error::File {
                action: "start the reader of the events of",
                path: store.path().to_path_buf(),
                source,
            })?;
            ring.reading = true;
        }
        ring.subscribers += 1;
        Ok(Some(Seat { hub: self.clone(), grown: self.0.grown.subscribe() }))
    }

    /// Behind the newest event that was read.
    pub fn end(&self) -> Cursor {
        self.ring().end
    }

    /// At most `most` events behind a cursor; none yet when that was seen elsewhere before it was read here.
    pub fn after(&self, cursor: Cursor, most: usize) -> Ahead {
        let ring = self.ring();
        if cursor < ring.start {
            return Ahead::Behind;
        }
        let first = ring.events.partition_point(|it| it.cursor <= cursor);
        Ahead::Events(ring.events.iter().skip(first).take(most).cloned().collect())
    }

    /// Follows the history until nobody listens any more.
    fn read(&self, app: &App) {
        let store = app.engine().store();
        let mut watch = None;
        let mut seen = None;
        let gone = || {
            let mut ring = self.ring();
            ring.reading &= ring.subscribers > 0 && !app.is_stopping();
            !ring.reading
        };
        while !gone() {
            if watch.is_none() {
                watch = store.watch().inspect_err(|error| tracing::warn!(%error, "events can't be followed")).ok();
            }
            match watch.as_ref().map(store::Watch::version) {
                Some(Ok(version)) if seen != Some(version) => match self.take_in(store) {
                    Ok(()) => seen = Some(version),
                    Err(error) => tracing::warn!(%error, "events can't be read"),
                },
                Some(Err(_)) => watch = None,
                _ => (),
            }
            std::thread::sleep(LOOK);
        }
        // Whoever sits yet learns that the process is stopping.
        self.0.grown.send_modify(|it| *it += 1);
    }

    /// Reads what is new into the ring. No transaction stays open while it waits for anything.
    fn take_in(&self, store: &Store) -> store::Result<()> {
        loop {
            let from = self.end();
            let (oldest, found) = store.read(|tx| Ok((event::oldest(tx)?, event::after(tx, from, BATCHES)?)))?;
            if from.seq + 1 < oldest.seq {
                // Pruned before it was read here: nobody may go on in the ring as if nothing were missing.
                let mut ring = self.ring();
                ring.events.clear();
                (ring.start, ring.end) = (oldest, oldest);
            }
            if found.is_empty() {
                return Ok(());
            }
            let told: Vec<Arc<Told>> = found.into_iter().map(|(at, event)| Arc::new(Told::new(at, event))).collect();
            let mut ring = self.ring();
            for it in told {
                if ring.events.len() == RING
                    && let Some(first) = ring.events.pop_front()
                {
                    ring.start = first.cursor;
                }
                ring.end = it.cursor;
                ring.events.push_back(it);
            }
            drop(ring);
            self.0.grown.send_modify(|it| *it += 1);
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Returns when the ring has grown since the last call, or after this time.
    pub async fn wait(&mut self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.grown.changed()).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.ring().subscribers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventKind, Timestamp};

    fn told(seq: i64, group: i64) -> Arc<Told> {
        let event = Event {
            at: Timestamp(seq),
            kind: EventKind::GroupStart,
            group: Some(GroupId(group)),
            run: None,
            step: None,
            detail: String::new(),
        };
        Arc::new(Told::new(Cursor { seq, index: 1 }, event))
    }

    fn seqs(ahead: Ahead) -> Vec<i64> {
        match ahead {
            Ahead::Events(events) => events.iter().map(|it| it.cursor.seq).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reader_goes_on_behind_its_cursor_and_hears_when_it_fell_behind() {
        let hub = Hub::default();
        {
            let mut ring = hub.ring();
            ring.start = Cursor { seq: 10, index: 1 };
            ring.end = Cursor { seq: 13, index: 1 };
            ring.events = (11..=13).map(|seq| told(seq, seq)).collect();
        }
        assert_eq!(seqs(hub.after(Cursor { seq: 10, index: 1 }, 100)), [11, 12, 13]);
        assert_eq!(seqs(hub.after(Cursor { seq: 12, index: 0 }, 1)), [12]);
        assert_eq!(seqs(hub.after(Cursor { seq: 13, index: 1 }, 100)), [] as [i64; 0]);
        assert!(matches!(hub.after(Cursor { seq: 9, index: 5 }, 100), Ahead::Behind));
        assert_eq!(seqs(hub.after(Cursor { seq: 99, index: 0 }, 100)), [] as [i64; 0]);
    }

    #[test]
    fn an_event_is_told_with_the_cursor_behind_it() {
        let told = told(7, 3);
        assert_eq!(told.json, r#"{"cursor":"7.1","at":7,"kind":"GROUP_START","group":3,"run":null,"step":null}"#);
        assert!(told.is_of(None) && told.is_of(Some(GroupId(3))) && !told.is_of(Some(GroupId(4))));
    }
}

//! The event bus: what was committed, told to whoever listens.
//!
//! Publishing never waits: every subscriber has a bounded queue that drops its oldest event when it is full, and counts
//! what it dropped. Who needs every event reads them from the database.

use crate::model::Event;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Where committed events are announced. Clones share it.
#[derive(Clone)]
pub struct Bus {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    subscribers: Vec<Weak<Queue>>,
    /// The newest events, oldest first.
    history: VecDeque<Arc<Event>>,
    limit: usize,
}

/// One subscriber's queue.
struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    events: VecDeque<Arc<Event>>,
    capacity: usize,
    dropped: u64,
    closed: bool,
}

/// Receives events until it is dropped.
pub struct Subscription {
    queue: Arc<Queue>,
}

/// A thread that hands events to a function. Dropping it stops and joins the thread.
pub struct Listener {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Bus {
    /// A bus that remembers the newest `history` events.
    pub fn new(history: usize) -> Bus {
        let shared = Shared { subscribers: Vec::new(), history: VecDeque::new(), limit: history };
        Bus { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Tells everyone. To be called after the commit, in the order of the commits.
    pub fn publish(&self, events: impl IntoIterator<Item = Event>) {
        let mut shared = lock(&self.shared);
        for event in events {
            let event = Arc::new(event);
            shared.subscribers.retain(|it| match it.upgrade() {
                Some(queue) => queue.offer(&event),
                None => false,
            });
            if shared.limit > 0 {
                if shared.history.len() == shared.limit {
                    shared.history.pop_front();
                }
                shared.history.push_back(event);
            }
        }
    }

    /// A new subscriber that keeps at most `capacity` (at least 1) unread events.
    pub fn subscribe(&self, capacity: usize) -> Subscription {
        let state = State { events: VecDeque::new(), capacity: capacity.max(1), dropped: 0, closed: false };
        let queue = Arc::new(Queue { state: Mutex::new(state), arrived: Condvar::new() });
        lock(&self.shared).subscribers.push(Arc::downgrade(&queue));
        Subscription { queue }
    }

    /// Calls a function for every event, on a thread of its own with this name. A panic in it costs that one event.
    pub fn listen(
        &self,
        name: &str,
        capacity: usize,
        mut hear: impl FnMut(&Event) + Send + 'static,
    ) -> std::io::Result<Listener> {
        let subscription = self.subscribe(capacity);
        let queue = subscription.queue.clone();
        let owned = name.to_string();
        let thread = thread::Builder::new().name(owned.clone()).spawn(move || {
            while let Some(event) = subscription.wait() {
                if catch_unwind(AssertUnwindSafe(|| hear(&event))).is_err() {
                    tracing::error!(listener = owned, kind = ?event.kind, "a listener panicked; the event is lost to it");
                }
            }
        })?;
        Ok(Listener { queue, thread: Some(thread) })
    }

    /// The newest events, oldest first, at most `count`.
    pub fn recent(&self, count: usize) -> Vec<Arc<Event>> {
        let shared = lock(&self.shared);
        let skipped = shared.history.len().saturating_sub(count);
        shared.history.iter().skip(skipped).cloned().collect()
    }

    /// How many events are remembered, and how many can be.
    pub fn history_size(&self) -> (usize, usize) {
        let shared = lock(&self.shared);
        (shared.history.len(), shared.limit)
    }

    pub fn subscriber_count(&self) -> usize {
        lock(&self.shared).subscribers.iter().filter(|it| it.strong_count() > 0).count()
    }
}

impl Subscription {
    /// The next event, waiting for it at most this long.
    pub fn next_within(&self, timeout: Duration) -> Option<Arc<Event>> {
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.queue.state);
        loop {
            if let Some(event) = state.events.pop_front() {
                return Some(event);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closed {
                return None;
            }
            let waited = self.queue.arrived.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next event if there is one.
    pub fn try_next(&self) -> Option<Arc<Event>> {
        lock(&self.queue.state).events.pop_front()
    }

    /// How many events this subscriber lost because its queue was full.
    pub fn dropped(&self) -> u64 {
        lock(&self.queue.state).dropped
    }

    /// The next event, however long that takes; `None` once the queue is closed.
    fn wait(&self) -> Option<Arc<Event>> {
        let mut state = lock(&self.queue.state);
        loop {
            if state.closed {
                return None;
            }
            if let Some(event) = state.events.pop_front() {
                return Some(event);
            }
            state = self.queue.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queue {
    /// Whether the subscriber still listens.
    fn offer(&self, event: &Arc<Event>) -> bool {
        let mut state = lock(&self.state);
        if state.events.len() == state.capacity {
            state.events.pop_front();
            state.dropped += 1;
        }
        state.events.push_back(event.clone());
        self.arrived.notify_one();
        !state.closed
    }
}

impl Listener {
    /// Stops hearing; returns when the function is not running any more. Unheard events are dropped.
    pub fn stop(&mut self) {
        lock(&self.queue.state).closed = true;
        self.queue.arrived.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A panic elsewhere leaves queues as they were: whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventKind, GroupId, Timestamp};
    use std::sync::mpsc;

    fn event(number: i64) -> Event {
        Event {
            at: Timestamp(number),
            kind: EventKind::GroupStart,
            group: Some(GroupId(number)),
            run: None,
            step: None,
            detail: String::new(),
        }
    }

    fn times(subscription: &Subscription) -> Vec<i64> {
        std::iter::from_fn(|| subscription.try_next()).map(|it| it.at.0).collect()
    }

    #[test]
    fn a_full_queue_drops_its_oldest_and_counts() {
        let bus = Bus::new(0);
        let (small, large) = (bus.subscribe(2), bus.subscribe(100));
        bus.publish((1..=5).map(event));
        assert_eq!((times(&small), small.dropped()), (vec![4, 5], 3));
        assert_eq!((times(&large), large.dropped()), (vec![1, 2, 3, 4, 5], 0));
    }

    #[test]
    fn the_history_is_bounded_and_in_order() {
        let bus = Bus::new(3);
        bus.publish((1..=10).map(event));
        let recent = |count| bus.recent(count).iter().map(|it| it.at.0).collect::<Vec<_>>();
        assert_eq!((recent(2), recent(99), bus.history_size()), (vec![9, 10], vec![8, 9, 10], (3, 3)));
    }

    #[test]
    fn a_subscriber_that_left_costs_nothing() {
        let bus = Bus::new(1);
        drop(bus.subscribe(5));
        let stays = bus.subscribe(5);
        bus.publish([event(1)]);
        assert_eq!((bus.subscriber_count(), times(&stays)), (1, vec![1]));
    }

    #[test]
    fn a_waiting_subscriber_is_woken() {
        let bus = Bus::new(1);
        let subscription = bus.subscribe(5);
        assert!(subscription.next_within(Duration::ZERO).is_none());
        let waiting = thread::spawn(move || subscription.next_within(Duration::from_secs(30)).map(|it| it.at.0));
        bus.publish([event(7)]);
        assert_eq!(waiting.join().unwrap(), Some(7));
    }

    #[test]
    fn a_listener_that_panics_harms_nobody_and_hears_the_next_event() {
        let bus = Bus::new(1);
        let quiet = bus.subscribe(5);
        let (sender, heard) = mpsc::channel();
        let mut listener = bus
            .listen("test-listener", 10, move |event| {
                assert!(event.at.0 != 1, "planted");
                sender.send(event.at.0).unwrap();
            })
            .unwrap();
        bus.publish([event(1), event(2)]);
        assert_eq!(heard.recv_timeout(Duration::from_secs(30)).unwrap(), 2);
        assert_eq!(times(&quiet), [1, 2]);
        listener.stop();
        listener.stop();
        bus.publish([event(3)]);
        assert!(heard.recv().is_err(), "the thread is gone and with it the sender");
    }
}

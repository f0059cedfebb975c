// Whether windlass answers, in one of four words (live, stopping, silent, out), and the stream of what changed.

import { events, get, now, query } from "./wire.js";

/** How often it is asked whether it is there, and how long the answer may take, in ms: a stream alone does not show a dead server. */
const WATCH = 5000;
const AGAIN = 2000;

/** Streams of all windows together: a browser has six connections to one server, and requests need some. */
const STREAMS = 3;

/** Leave to have a stream, as a function that gives it back; null when others have them all. */
async function leave() {
  // A browser has no such locks where the page came over plain HTTP from another machine.
  if (!navigator.locks) return () => {};
  for (let at = 0; at < STREAMS; at += 1) {
    const free = await new Promise((done) => {
      // What is waited for in there is called to give the lock back.
      navigator.locks.request(`windlass events ${at}`, { ifAvailable: true }, (lock) => (lock ? new Promise(done) : done(null))).catch(() => done(null));
    });
    if (free) return free;
  }
  return null;
}

/**
 * `changed(digest)`: something happened, null when it is not known what. `show(word, fact)`: the state is another one;
 * the fact is the time of the last answer, or how many steps run yet. Closed while the page is hidden: a browser has few
 * connections to one server, and a hidden page needs none. For the same reason the fourth window asks instead.
 */
export function connect(changed, show) {
  let word = "";
  let source = null;
  let giveBack = null;
  // It has no stream, because other windows have them.
  let asks = false;
  let opened = 0;
  let last = null;
  let answered = now();
  let timer = null;
  // Only the newest look counts; `busy` is the one that is under way.
  let turn = 0;
  let busy = 0;
  let shut = 0;

  function be(next, fact) {
    const other = next !== word;
    word = next;
    show(word, fact);
    if (word === "stopping" || (word === "live" && (other || asks))) changed(null);
    if (word === "out") close();
  }

  async function open() {
    opened = Date.now();
    const mine = shut;
    const free = await leave();
    // It was closed meanwhile, or opened twice.
    if (source || mine !== shut) {
      free?.();
      return;
    }
    giveBack = free;
    asks = !free;
    if (asks) {
      if (word === "") look(false);
      return;
    }
    source = new AbortController();
    follow(source);
  }

  /** Reads a stream to its end. An `EventSource` could not show the session. */
  async function follow(own) {
    try {
      for await (const it of events(`/api/v1/events${query({ digest: 400, after: last })}`, own.signal)) {
        if (it.event === "hello") answered = now();
        last = it.id || last;
        if (it.event === "hello" && word === "") be("live");
        else changed(it.event === "digest" ? JSON.parse(it.data) : null);
      }
    } catch {
      // Why it ended is found out by an ordinary request.
    }
    if (own !== source) return;
    drop();
    if (!document.hidden) look(true);
  }

  function drop() {
    source?.abort();
    source = null;
    giveBack?.();
    giveBack = null;
  }

  async function look(thoroughly) {
    const mine = ++turn;
    busy = mine;
    clearTimeout(timer);
    let found;
    try {
      const health = await get("/health", null, WATCH);
      // Health is public; this is not.
      if (thoroughly) await get("/api/v1/queues", null, WATCH);
      answered = now();
      found = health.reasons?.includes("stopping") ? ["stopping", health.diagnostics?.running_attempts || 0] : ["live"];
    } catch (error) {
      found = error.status === 401 ? ["out"] : error.status === 0 ? ["silent", answered] : ["live"];
    }
    if (mine !== turn) return;
    busy = 0;
    be(...found);
    if (word === "out") return;
    if (word === "live" && !source && Date.now() - opened >= AGAIN) open();
    timer = setTimeout(() => look(!source), word === "live" && (source || asks) ? WATCH : AGAIN);
  }

  function close() {
    turn += 1;
    shut += 1;
    busy = 0;
    clearTimeout(timer);
    drop();
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : look(true)));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && look(true));
  const heal = () => word === "out" && look(true);
  addEventListener("focus", heal);
  open();
  timer = setTimeout(() => look(false), WATCH);
  return { doubt: () => word !== "out" && !busy && look(true), out: () => be("out"), heal };
}

// Whether windlass answers, in one of four words (live, stopping, silent, out), and the stream of what changed.

import { get, query } from "./wire.js";

/** How often it is asked whether it is there, and how long the answer may take, in ms: a stream alone tells no death. */
const WATCH = 5000;
const AGAIN = 2000;

/**
 * `changed(digest)`: something happened, null when it is not known what. `show(word, fact)`: the state is another one;
 * the fact is the time of the last answer, or how many steps run yet. Closed while the page is hidden: a browser has few
 * connections to one server, and a hidden page needs none.
 */
export function connect(changed, show) {
  let word = "";
  let source = null;
  let opened = 0;
  let last = null;
  let answered = Date.now();
  let timer = null;
  // Only the newest look counts; `busy` is the one that is under way.
  let turn = 0;
  let busy = 0;

  function be(next, fact) {
    const other = next !== word;
    word = next;
    show(word, fact);
    if (word === "stopping" || (other && word === "live")) changed(null);
    if (word === "out") close();
  }

  function open() {
    opened = Date.now();
    source = new EventSource(`/api/v1/events${query({ digest: 400, after: last })}`);
    source.addEventListener("hello", (it) => {
      last = it.lastEventId || last;
      answered = Date.now();
      if (word === "") be("live");
      else changed(null);
    });
    source.addEventListener("gap", () => changed(null));
    source.addEventListener("digest", (it) => {
      last = it.lastEventId;
      changed(JSON.parse(it.data));
    });
    // The browser does not tell why a stream ended; an ordinary request does.
    source.addEventListener("error", () => {
      source?.close();
      source = null;
      if (!document.hidden) look(true);
    });
  }

  async function look(thoroughly) {
    const mine = ++turn;
    busy = mine;
    clearTimeout(timer);
    let found;
    try {
      const health = await get("/health", null, WATCH);
      // Health is told to everybody; this is not.
      if (thoroughly) await get("/api/v1/queues", null, WATCH);
      answered = Date.now();
      found = health.reasons?.includes("stopping") ? ["stopping", health.diagnostics?.running_attempts || 0] : ["live"];
    } catch (error) {
      found = error.status === 401 ? ["out"] : error.status === 0 ? ["silent", answered] : ["live"];
    }
    if (mine !== turn) return;
    busy = 0;
    be(...found);
    if (word === "out") return;
    if (word === "live" && !source && Date.now() - opened >= AGAIN) open();
    timer = setTimeout(() => look(!source), word === "live" && source ? WATCH : AGAIN);
  }

  function close() {
    turn += 1;
    busy = 0;
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : look(true)));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && look(true));
  open();
  timer = setTimeout(() => look(false), WATCH);
  return { doubt: () => word !== "out" && !busy && look(true), out: () => be("out") };
}

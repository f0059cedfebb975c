// The page: which view is shown, the keyboard, and whether windlass answers.

import { connect } from "./connection.js";
import { callIt, count, h, put, marked, took, typed } from "./dom.js";
import { groupList, groupView } from "./groups.js";
import { healthView } from "./health.js";
import { lockView, queueView, workerView } from "./machine.js";
import { resourceView, waitingView } from "./resources.js";
import { runView, stepView } from "./runs.js";
import { scheduleView } from "./schedules.js";
import { searchView } from "./search.js";
import { door, signIn, signOut } from "./session.js";
import { startView } from "./start.js";
import { get, Refused, session } from "./wire.js";

await signIn();

const TABS = [
  ["groups", "Groups", groupList],
  ["queues", "Queues", queueView],
  ["workers", "Workers", workerView],
  ["locks", "Locks", lockView],
  ["search", "Search", searchView],
  ["health", "Health", healthView],
  ["schedules", "Schedules", scheduleView],
  ["resources", "Resources", resourceView],
  ["waiting", "Waiting", waitingView],
];
/** Views without a tab of their own: the tab that they belong to. */
const OTHERS = { start: [startView, "groups", "Start a workflow"] };
const THINGS = { g: [groupView, "groups"], r: [runView, "groups"], s: [stepView, "groups"] };

const main = document.getElementById("main");
const tabs = document.getElementById("tabs");
const banner = document.getElementById("banner");
const said = document.getElementById("said");
const live = document.getElementById("live");
const leaves = document.getElementById("out");

let view = null;
let cancelled = null;

put(tabs, TABS.map(([name, title]) => h("a", { href: `#/${name}`, "data-tab": name }, title)));

/** `#/groups?status=FAILED` or `#/g12`: the name and its parameters. */
function place() {
  const [name, parameters] = location.hash.replace(/^#\/?/, "").split("?");
  return [name || "groups", Object.fromEntries(new URLSearchParams(parameters || ""))];
}

function route() {
  const [name, parameters] = place();
  const thing = /^([grs])([1-9]\d{0,14})$/.exec(name);
  const other = Object.hasOwn(OTHERS, name) ? OTHERS[name] : null;
  const tab = thing ? THINGS[thing[1]][1] : other ? other[1] : name;
  const make = thing ? THINGS[thing[1]][0] : other ? other[0] : TABS.find((it) => it[0] === name)?.[2];
  for (const it of tabs.children) {
    if (it.dataset.tab === tab) it.setAttribute("aria-current", "page");
    else it.removeAttribute("aria-current");
  }
  cancelled?.abort();
  cancelled = new AbortController();
  clearTimeout(later);
  // A question belongs to the place where it was asked.
  for (const it of document.querySelectorAll("dialog[open]")) it.close("");
  document.title = `${thing ? name : other?.[2] || TABS.find((it) => it[0] === name)?.[1] || "Not found"} · windlass`;
  if (!make) {
    hide();
    nothing("Nothing here.");
    return;
  }
  const page = parameters.after || parameters.before || parameters.q;
  const same = view?.name === name && view.change?.(parameters);
  if (!same) {
    view = make({ id: thing ? Number(thing[2]) : null, parameters, signal: cancelled.signal, act, go, again });
    view.name = name;
    main.replaceChildren(view.element);
    trouble = null;
    acted = false;
    hide();
  }
  if (!same || view.page !== page) arrive();
  view.page = page;
  view.signal = cancelled.signal;
  refresh();
}

let moved = false;

// Where each place of the history was left: how far down, and at which link, which has its place in the window again although
// what stands above it has grown.
history.scrollRestoration = "manual";
const left = new Map(JSON.parse(sessionStorage.left || "[]"));
let entry = null;
// Where to go when what was there is shown again.
let back = null;

function enter() {
  entry = history.state || Math.random();
  back = left.get(entry);
  history.replaceState(entry, "");
}

function comeBack() {
  if (!back) return;
  const { y, at, top } = back;
  back = null;
  scrollTo(0, y);
  const link = at && main.querySelector(`a[href="${CSS.escape(at)}"]`);
  if (!link) return;
  link.focus({ preventScroll: true });
  scrollBy(0, link.getBoundingClientRect().top - top);
}

/** After a step from one place to another: its top, and the focus where a reader begins. */
function arrive() {
  scrollTo(0, 0);
  if (back || !moved || main.contains(document.activeElement?.closest("input, .filters"))) return;
  const title = main.querySelector("h1");
  (title || main).focus({ preventScroll: true });
}

function nothing(text) {
  view = null;
  trouble = null;
  main.replaceChildren(h("div", { class: "empty" }, h("h1", { tabindex: -1 }, text), h("p", {}, h("a", { href: "#/groups" }, "All groups"))));
  showState();
  arrive();
}

const go = (hash) => {
  location.hash = hash;
};

// One refresh at a time; what changes meanwhile leads to one more, not before a pause.
let running = false;
let wanted = false;
let acted = false;
let later = null;

/** Reads again after a while, to catch up on what was skipped. */
function again(ms) {
  clearTimeout(later);
  later = setTimeout(refresh, ms);
}

async function refresh() {
  if (running) {
    wanted = true;
    return;
  }
  running = true;
  const shown = view;
  try {
    await shown?.refresh(shown.signal || cancelled.signal);
    if (shown === view) {
      trouble = null;
      comeBack();
      // The focus must not be lost with a button that an action took away.
      const at = document.activeElement;
      if (at === main || (acted && at.offsetParent === null)) {
        acted = false;
        main.querySelector("h1")?.focus({ preventScroll: true });
      }
      if (state[0] === "out") connection.heal();
    }
  } catch (error) {
    if (error.name !== "AbortError" && shown === view) failed(error);
  }
  showState();
  running = false;
  if (wanted || shown !== view) {
    wanted = false;
    setTimeout(refresh, shown === view ? 250 : 0);
  }
}

// ---- what the page says: how the connection is, or else what is wrong with what it shows

let state = ["", null];
let trouble = null;

const WORDS = { live: "live", stopping: "stopping", silent: "not responding", out: "signed out" };

function showState() {
  const [word, fact] = state;
  live.className = `live ${word}`;
  put(live, WORDS[word] || "", word === "silent" ? h("span", { "aria-hidden": "true" }, "for ", took(fact)) : null);
  const text = {
    silent: ["Can't reach windlass. Retrying; data may be stale. If it isn't running, start it with ", typed("windlass serve"), "."],
    stopping: ["windlass is stopping", fact > 0 ? `; ${count(fact, "step")} may finish.` : "."],
  }[word] || trouble;
  const out = word === "out";
  banner.hidden = out || !text;
  put(banner, text && !out ? h("div", {}, text) : null);
  main.hidden = tabs.hidden = out;
  leaves.hidden = out || !session();
  showDoor(out);
}

function failed(error) {
  if (!(error instanceof Refused)) {
    console.error(error);
    trouble = [`error in this page: ${error.message}`];
  } else if (error.status === 0 || error.status === 503) {
    trouble = refused(error);
    connection.doubt();
    // When it is live all the same, the view is still to be read.
    if (state[0] === "live") again(3000);
  } else if (error.status === 401) connection.out();
  else if (error.status === 404) nothing(error.message);
  else trouble = refused(error);
}

const refused = (error) => [marked(error.message), error.hint ? h("span", { class: "hint" }, marked(error.hint)) : null];

// ---- what came of an action: it stays until it is closed, or for a while when all is well

let fades = null;

function hide() {
  clearTimeout(fades);
  said.hidden = true;
}

function say(kind, fading, ...children) {
  hide();
  said.className = `banner ${kind}`;
  put(said, h("div", {}, children), h("button", { type: "button", class: "quiet", onclick: hide, "aria-label": "Close the message" }, "×"));
  said.hidden = false;
  if (fading) fades = setTimeout(hide, 6000);
}

/** Does something that was confirmed, such as `Cancel g21`, and shows at once that it is in progress, then its result. */
async function act(name, work, done) {
  acted = true;
  say("done", false, `${name} …`);
  try {
    const answer = await work();
    say("done", true, typeof done === "function" ? done(answer) : done);
  } catch (error) {
    if (!(error instanceof Refused)) failed(error);
    else if (error.status === 0) say("refused", false, `${name}: no response. The result is unknown.`);
    // The other message says why.
    else if (error.status === 503 && /stopping/.test(error.message)) say("refused", false, `${name} failed.`);
    else say("refused", false, `${name}: `, refused(error));
    if (error.status === 0 || error.status === 503) connection.doubt();
    if (error.status === 401) connection.out();
  }
  view?.stale?.();
  refresh();
}

const connection = connect(
  (digest) => {
    if (!view || !view.concerns || !digest || view.concerns(digest)) refresh();
  },
  (...now) => {
    state = now;
    showState();
  },
);
// What has no events: health of processes, disk, locks of files.
setInterval(() => !document.hidden && view?.polls && (state[0] === "live" || state[0] === "") && refresh(), 3000);

const showDoor = door(document.getElementById("door"), () => {
  connection.heal();
  learnCall();
});
leaves.addEventListener("click", () => signOut().then(connection.out, failed));

// ---- keyboard

const links = () => [...main.querySelectorAll(".rowlink")].filter((it) => it.offsetParent !== null);

function step(by) {
  const all = links();
  if (!all.length) return;
  const now = all.indexOf(document.activeElement?.closest("tr, li, g")?.querySelector(".rowlink") || document.activeElement);
  const next = all[now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

const press = (name) => main.querySelector(`[data-key-of="${name}"]:not([disabled], [hidden])`)?.click();

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  u: () => view?.up && go(view.up()),
  n: () => press("n"),
  b: () => press("b"),
  p: () => press("p"),
  c: () => press("c"),
  t: () => press("t"),
  r: refresh,
  s: () => go("#/start"),
  "/": () => {
    const field = main.querySelector("input[type=search]");
    if (field) field.focus();
    else go("#/search");
  },
  "?": help,
  Escape: () => {
    if (!said.hidden) hide();
    else if (document.activeElement.tabIndex >= 0) document.activeElement.blur();
    else if (view?.up) go(view.up());
  },
};

function help() {
  const rows = [
    ["1 … 9", "a view"],
    ["j k", "next, previous row"],
    ["Enter", "open it"],
    ["u", "up: from a step to its run, its group, all groups"],
    ["n b", "next page, first page"],
    ["/", "search"],
    ["s", "start a workflow"],
    ["p", "pause or resume"],
    ["c", "cancel"],
    ["t", "try again"],
    ["r", "reload"],
    ["Esc", "leave a field, close a message or a dialog, go up"],
    ["?", "this help"],
  ];
  if (document.querySelector("dialog[open]")) return;
  const list = h("dl", { class: "keys" }, rows.map(([key, what]) => [h("dt", {}, key.split(" ").map((it) => h("kbd", {}, it))), h("dd", {}, what)]));
  const dialog = h("dialog", { "aria-label": "Keyboard" }, h("form", { method: "dialog" }, h("h2", {}, "Keyboard"), list, h("div", { class: "actions" }, h("button", { class: "primary" }, "Close"))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
  const field = event.target.closest?.("input, select, textarea");
  if (field) {
    if (event.key === "Escape") field.blur();
    return;
  }
  const tab = /^[1-9]$/.test(event.key) && TABS[Number(event.key) - 1];
  const known = tab ? () => go(`#/${tab[0]}`) : KEYS[event.key];
  if (!known) return;
  event.preventDefault();
  known();
});

document.getElementById("help").addEventListener("click", help);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
/** How windlass is called for this home. */
function learnCall() {
  get("/api/v1/status").then(
    (it) => {
      callIt(it.call);
      refresh();
    },
    () => {},
  );
}

function leave() {
  const it = document.activeElement;
  left.set(entry, { y: scrollY, at: main.contains(it) ? it.getAttribute("href") : null, top: it.getBoundingClientRect().top });
}
addEventListener("hashchange", () => {
  leave();
  moved = true;
  enter();
  route();
});
addEventListener("pagehide", () => {
  leave();
  sessionStorage.left = JSON.stringify([...left]);
});
enter();
route();
learnCall();

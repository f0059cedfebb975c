// The page: which view is shown, the keyboard, and whether windlass answers.

import { h, put } from "./dom.js";
import { groupList, groupView } from "./groups.js";
import { healthView, lockView, queueView, workerView } from "./machine.js";
import { runView, stepView } from "./runs.js";
import { searchView } from "./search.js";
import { Refused, follow } from "./wire.js";

const TABS = [
  ["groups", "Groups", groupList],
  ["queues", "Queues", queueView],
  ["workers", "Workers", workerView],
  ["locks", "Locks", lockView],
  ["search", "Search", searchView],
  ["health", "Health", healthView],
];
const THINGS = { g: [groupView, "groups"], r: [runView, "groups"], s: [stepView, "groups"] };

const main = document.getElementById("main");
const tabs = document.getElementById("tabs");
const banner = document.getElementById("banner");
const live = document.getElementById("live");

let view = null;
let cancelled = null;

put(tabs, TABS.map(([name, title]) => h("a", { href: `#/${name}`, "data-tab": name }, title)));

/** `#/groups?status=FAILED` or `#/g12`: the name and its parameters. */
function place() {
  const [name, parameters] = location.hash.replace(/^#\/?/, "").split("?");
  return [name || "groups", Object.fromEntries(new URLSearchParams(parameters || ""))];
}

function route() {
  if (location.hash === "#main") return;
  const [name, parameters] = place();
  const thing = /^([grs])([1-9]\d*)$/.exec(name);
  const tab = thing ? THINGS[thing[1]][1] : name;
  const make = thing ? THINGS[thing[1]][0] : TABS.find((it) => it[0] === name)?.[2];
  for (const it of tabs.children) {
    if (it.dataset.tab === tab) it.setAttribute("aria-current", "page");
    else it.removeAttribute("aria-current");
  }
  cancelled?.abort();
  cancelled = new AbortController();
  document.title = `${thing ? name : TABS.find((it) => it[0] === name)?.[1] || "Not found"} · windlass`;
  if (!make) {
    view = null;
    put(main, h("div", { class: "empty" }, h("p", {}, "There is nothing here."), h("p", {}, h("a", { href: "#/groups" }, "Groups"))));
    return;
  }
  const same = view?.name === name && view.change?.(parameters);
  if (!same) {
    view = make({ id: thing ? Number(thing[2]) : null, parameters, signal: cancelled.signal, act, go });
    view.name = name;
    put(main, view.element);
    scrollTo(0, 0);
  }
  view.signal = cancelled.signal;
  refresh();
}

const go = (hash) => {
  location.hash = hash;
};

// One refresh at a time; what changes meanwhile leads to one more, not before a pause.
let running = false;
let wanted = false;

async function refresh() {
  if (running) {
    wanted = true;
    return;
  }
  running = true;
  const shown = view;
  try {
    await shown?.refresh(shown.signal || cancelled.signal);
    if (shown === view) answered();
  } catch (error) {
    if (error.name !== "AbortError" && shown === view) failed(error);
  }
  running = false;
  if (wanted || shown !== view) {
    wanted = false;
    setTimeout(refresh, shown === view ? 250 : 0);
  }
}

function answered() {
  if (banner.dataset.kind !== "action") hide();
}

function hide() {
  banner.hidden = true;
  banner.dataset.kind = "";
}

function say(kind, ...children) {
  banner.dataset.kind = kind;
  put(banner, h("div", {}, children), h("button", { type: "button", class: "quiet", onclick: hide, "aria-label": "Close the message" }, "×"));
  banner.hidden = false;
}

function failed(error) {
  if (!(error instanceof Refused)) {
    console.error(error);
    say("bad", `the page has a mistake: ${error.message}`);
  } else if (error.status === 0) {
    gone();
  } else if (error.status === 401) {
    say("bad", "Your browser is not let in any more. Run ", h("code", {}, "windlass ui"), " to open the page again.");
  } else if (error.status === 404) {
    hide();
    put(main, h("div", { class: "empty" }, h("p", {}, error.message), h("p", {}, h("a", { href: "#/groups" }, "All groups"))));
    view = null;
  } else {
    say("bad", error.message, error.hint ? h("span", { class: "hint" }, ` ${error.hint}`) : null);
  }
}

function gone() {
  say("gone", "windlass does not answer. The page tries again; what you see is old. Start it with ", h("code", {}, "windlass serve"), ".");
}

/** Does something that was confirmed, and tells how it went. */
async function act(work, done) {
  try {
    const answer = await work();
    if (done) say("action", typeof done === "function" ? done(answer) : done);
    else hide();
    setTimeout(() => banner.dataset.kind === "action" && hide(), 6000);
  } catch (error) {
    failed(error);
  }
  refresh();
}

follow(
  (digest) => {
    if (!view || !view.concerns || view.concerns(digest)) refresh();
  },
  (open) => {
    live.className = open ? "live on" : "live off";
    live.textContent = open ? "live" : "offline";
    if (!open) gone();
    else {
      if (banner.dataset.kind === "gone") hide();
      refresh();
    }
  },
);
// What no event tells of: health of processes, disk, locks of files.
setInterval(() => !document.hidden && view?.polls && refresh(), 3000);

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

const press = (name) => main.querySelector(`[data-key-of="${name}"]:not([disabled])`)?.click();

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
  "/": () => {
    const field = main.querySelector("input[type=search]");
    if (field) field.focus();
    else go("#/search");
  },
  "?": help,
  Escape: () => {
    if (!banner.hidden && banner.dataset.kind !== "gone") hide();
    else if (document.activeElement !== document.body && document.activeElement !== main) document.activeElement.blur();
    else if (view?.up) go(view.up());
  },
};

function help() {
  const rows = [
    ["1 – 6", "a view"],
    ["j k", "next, previous row"],
    ["Enter", "open it"],
    ["u", "up: from a step to its run, to its group, to all groups"],
    ["n b", "next page, first page"],
    ["/", "search"],
    ["p", "pause or resume"],
    ["c", "cancel"],
    ["t", "try again"],
    ["r", "read anew"],
    ["Esc", "leave a field, close a message or a question, go up"],
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
  const tab = /^[1-6]$/.test(event.key) && TABS[Number(event.key) - 1];
  const known = tab ? () => go(`#/${tab[0]}`) : KEYS[event.key];
  if (!known) return;
  event.preventDefault();
  known();
});

document.getElementById("help").addEventListener("click", help);
addEventListener("hashchange", route);
route();

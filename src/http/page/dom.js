// Elements from texts: a text is always inserted as text, never as markup.

import { now, parsed } from "./wire.js";

const SVG = "http://www.w3.org/2000/svg";

// What is not seen but changes what is read (control characters, marks of direction, what has no width) is shown as what
// it is. U+200D joins emoji.
const UNSEEN = /\r(?!\n)|[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]/g;
const seen = (text) => String(text).replace(UNSEEN, (it) => (it < " " ? String.fromCharCode(0x2400 + it.charCodeAt(0)) : `\u27e8U+${it.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`));

const nodes = (children) =>
  children.flat(9).filter((it) => it !== null && it !== undefined && it !== false).map((it) => (it instanceof Node ? it : document.createTextNode(seen(it))));

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...nodes(children));
  return element;
}

/** An element; strings among the children become text. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export const number = (value) => Number(value).toLocaleString("en");

export const count = (value, noun) => `${number(value)} ${noun}${Number(value) === 1 ? "" : "s"}`;

/** A length of time in ms, with at most two units: as the command line words it. */
export function duration(ms) {
  const s = Math.floor(Math.max(0, ms) / 1000);
  const two = (a, unit, b, small) => (b ? `${a} ${unit} ${b} ${small}` : `${a} ${unit}`);
  if (s < 1) return `${Math.max(0, Math.round(ms))} ms`;
  if (s < 10) return `${(ms / 1000).toFixed(1)} s`;
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), "m", s % 60, "s");
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "m");
  return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

export function ago(at) {
  const away = Math.abs(now() - at);
  if (away < 1000) return "just now";
  const s = Math.floor(away / 1000);
  const coarse =
    s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} m` : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
  return at > now() ? `in ${coarse}` : `${coarse} ago`;
}

export function bytes(value) {
  if (value === null || value === undefined || value < 0) return "unknown";
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let size = Number(value);
  while (size >= 1024 && at < 4) {
    size /= 1024;
    at += 1;
  }
  return at === 0 ? `${size} bytes` : `${size.toFixed(size < 10 ? 1 : 0)} ${units[at]}`;
}

/** `1.5s`, `10m`, `2h` as ms. */
export function span(text) {
  const found = /^([\d.]+)(ms|s|m|h|d)$/.exec(text || "");
  return found ? Number(found[1]) * { ms: 1, s: 1000, m: 60000, h: 3600000, d: 86400000 }[found[2]] : null;
}

const stamp = (at) => new Date(at).toISOString().replace("T", " ").replace("Z", " UTC");

/** A relative time that stays current. */
export const when = (at) => (at ? h("time", { "data-at": at, datetime: new Date(at).toISOString(), title: stamp(at) }, ago(at)) : "");

/** The same with the time on the reader's clock beside it. */
export const whenExactly = (at) => at && [when(at), h("span", { class: "dim" }, `, ${new Date(at).toLocaleString("sv")}`)];

/** How long something took, or takes. */
export const took = (from, to) =>
  !from ? "" : to ? duration(to - from) : h("span", { "data-since": from }, duration(now() - from));

// The text of a node is changed in place: a selection around it stays.
setInterval(() => {
  for (const it of document.querySelectorAll("[data-since]")) it.firstChild.data = duration(now() - Number(it.dataset.since));
}, 1000);
setInterval(() => {
  for (const it of document.querySelectorAll("[data-at]")) it.firstChild.data = ago(Number(it.dataset.at));
}, 5000);

/** A text of others, such as a name: whole where it is short, else its first lines and the rest as a hint. */
export const label = (text) => h("span", { class: text.length > 160 ? "text long" : "text", title: text.length > 160 ? seen(text) : null }, text);

/** What an item is called: of an object its name, its address, or else its text. */
export function titled(item) {
  if (!/^\{/.test(item || "")) return item || "";
  try {
    const it = parsed(item);
    const found = [it.name, it.title, it.uri, it.path, it.source, it.id].find((one) => one && ["string", "number"].includes(typeof one));
    return String(found ?? item);
  } catch {
    return item;
  }
}

export const status = (name) => h("span", { class: `status ${name.toLowerCase()}` }, name.toLowerCase());

/** A bar of parts: [[class, share of the whole], ...]. */
export function bar(parts, label) {
  const element = h("span", { class: "bar", role: "img", "aria-label": label, title: label });
  for (const [kind, share] of parts) {
    if (!(share > 0)) continue;
    const part = h("i", { class: kind });
    part.style.width = `${Math.min(100, share * 100)}%`;
    element.append(part);
  }
  return element;
}

/** How full something is: green, then amber, then red. */
export function meter(value, most, label) {
  if (value === null || value === undefined) return h("span", { class: "dim" }, "unknown");
  const share = most ? value / most : 0;
  const kind = share > 0.9 ? "failed" : share > 0.7 ? "error" : "completed";
  return h("span", { class: "meter" }, most ? bar([[kind, share]], label) : null, h("span", {}, label));
}

/** Whether a click was meant for a row as a whole: not for something in it or another window, and not to select a text. */
export const meant = (event) =>
  !event.target.closest("a, button") && !event.ctrlKey && !event.metaKey && !event.shiftKey && String(getSelection()) === "";

/**
 * A table. Columns: [title, class]. `show(item)` gives the cells; `href(item)` makes the first cell a link, and a click
 * anywhere in the row opens it.
 */
export function table(columns, key, show, href) {
  const body = h("tbody");
  const element = h(
    "div",
    { class: "scroll", hidden: true },
    h("table", {}, h("thead", {}, h("tr", {}, columns.map(([title, kind]) => h("th", { class: kind, scope: "col" }, title || h("span", { class: "hidden" }, "Action"))))), body),
  );
  const row = (item) => {
    const to = href?.(item);
    const open = (event) => {
      if (meant(event)) location.hash = to;
    };
    const cells = show(item).map((cell, at) =>
      h("td", { class: columns[at][1], "data-title": columns[at][0] }, at === 0 && to ? h("a", { href: to, class: "rowlink" }, cell) : cell),
    );
    return h("tr", { "data-key": key(item), class: to ? "opens" : null, onclick: to ? open : null }, cells);
  };
  element.show = (items) => {
    put(body, items.map(row));
    element.hidden = items.length === 0;
    return element;
  };
  return element;
}

/** What a view says when it has nothing to show, and the command that changes that. */
export const empty = (text, ...commands) =>
  h("div", { class: "empty" }, h("p", {}, text), commands.map((it) => h("p", {}, typed(it))));

// ---- commands, as they are typed for the home of this daemon

let call = "windlass";
export const callIt = (text) => (call = text);

/** Copies a text and says so in the button; where the browser does not allow it, the text before the button is selected. */
export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    put(button, "Copied");
    setTimeout(() => put(button, "Copy"), 2000);
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
  }
}

/** A command, short, with a button that copies it as it works from anywhere; or what else solves something. */
export function typed(text) {
  if (!text.startsWith("windlass ")) return h("code", {}, text);
  const whole = () => text.replace(/^windlass (?!--home )/, () => `${call} `);
  const button = h("button", { type: "button", class: "copy", title: "Copy the command with the home directory", onclick: (event) => copy(whole(), event.currentTarget) }, "Copy");
  return h("span", { class: "typed" }, h("code", {}, text), " ", button);
}

/** Splits a text at the ids of things and makes links of them. */
const linked = (text) => text.split(/(\b[grs][1-9]\d*\b)/).map((it, at) => (at % 2 ? h("a", { href: `#/${it}` }, it) : it));

/** A sentence of ours: its commands between backticks, and links to what it names before it quotes others after a colon. */
export function marked(text) {
  const [, ours, theirs] = /^(.*?)(: .*)?$/s.exec(text);
  const parts = ours.split(/`(windlass [^`]*)`/);
  return h("span", { class: "text" }, parts.map((it, at) => (at % 2 ? typed(it) : linked(it))), theirs);
}

/** A value for people: a text as it is, an object field by field, the rest as JSON. */
export function value(it) {
  if (typeof it === "string") return h("pre", { class: "json", tabindex: 0 }, it);
  const fields = it && typeof it === "object" && !Array.isArray(it) ? Object.entries(it) : [];
  const plain = (one) => (typeof one === "string" ? (one.includes("\n") ? value(one) : h("span", { class: "text" }, one)) : h("code", { class: "text" }, JSON.stringify(one)));
  if (fields.length && fields.every(([, one]) => one === null || typeof one !== "object")) return h("dl", { class: "parameters" }, fields.map(([name, one]) => [h("dt", {}, name), h("dd", {}, plain(one))]));
  return h("pre", { class: "json", tabindex: 0 }, JSON.stringify(it, null, 2));
}

/** A problem or a reason: a sentence, and the command that changes it. */
export const advice = ({ text, command }) => [marked(text), command ? [" ", typed(command)] : null];

// The identity of a node among its siblings: its key, or else only its kind.
const name = (node) => `${node.nodeName} ${node.dataset?.key || node.dataset?.keyOf || node.id || ""}`;

/** Makes a text another one by its ends: what stays keeps its selection. */
function edit(text, fresh) {
  if (text.data === fresh) return;
  // A log loses its beginning and grows at its end.
  const lost = fresh.startsWith(text.data) ? 0 : text.data.indexOf(fresh.slice(0, 200));
  if (lost < 0 || !fresh.startsWith(text.data.slice(lost))) text.data = fresh;
  else {
    text.deleteData(0, lost);
    text.appendData(fresh.slice(text.length));
  }
}

/** Makes an element look and work as a fresh one does. */
function become(kept, fresh) {
  if (kept === fresh) return kept;
  if (kept.nodeType === Node.TEXT_NODE) {
    edit(kept, fresh.data);
    return kept;
  }
  for (const { name: it } of [...kept.attributes]) if (!fresh.hasAttribute(it) && it !== "open") kept.removeAttribute(it);
  for (const { name: it, value } of fresh.attributes) {
    if (kept.getAttribute(it) === value) continue;
    // Our policy forbids styles that come as attributes.
    if (it === "style") kept.style.cssText = value;
    else kept.setAttribute(it, value);
  }
  kept.onclick = fresh.onclick;
  put(kept, ...fresh.childNodes);
  return kept;
}

/**
 * Makes an element hold these children. What it holds already stays the same element, so that focus, selection, scroll
 * and a click that has begun outlive it; what it did not hold comes in, what is not there any more goes.
 */
export function put(element, ...children) {
  const old = new Map();
  for (const it of element.childNodes) old.set(name(it), [...(old.get(name(it)) || []), it]);
  const wanted = nodes(children).map((fresh) => {
    if (fresh.parentNode === element) return fresh;
    const kept = old.get(name(fresh))?.shift();
    return kept ? become(kept, fresh) : fresh;
  });
  const stays = new Set(wanted);
  for (const it of [...element.childNodes]) if (!stays.has(it)) it.remove();
  wanted.forEach((it, at) => element.childNodes[at] !== it && element.insertBefore(it, element.childNodes[at] || null));
  return element;
}

/** The name under which this person answered last; kept in this browser, if it keeps anything. */
function ownName(name) {
  try {
    if (name !== undefined) localStorage.setItem("windlass-name", name);
    return name ?? localStorage.getItem("windlass-name") ?? "";
  } catch {
    return name ?? "";
  }
}

/** Asks before something is done. Resolves to null when it is not wanted, else to the text that was given (or ""); with `who`, to {by, reason}. */
export function confirm(question, details, action, { reason = false, who = false, danger = false } = {}) {
  return new Promise((done) => {
    const name = who && h("input", { type: "text", required: true, pattern: ".*\\S.*", maxlength: 200, id: "who", autocomplete: "name", value: ownName() });
    const field = reason && h("input", { type: "text", required: true, pattern: ".*\\S.*", maxlength: 200, id: "reason", autocomplete: "off" });
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "question" }, question),
      details.map((it) => h("p", {}, it)),
      name && h("label", { for: "who" }, "Your name", name),
      field && h("label", { for: "reason" }, "Reason, for the history", field),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", class: "back", onclick: () => dialog.close("") }, "Back"),
        h("button", { type: "submit", value: "yes", class: danger ? "danger" : "primary" }, action),
      ),
    );
    const dialog = h("dialog", { "aria-labelledby": "question" }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      const answer = () => (name ? { by: ownName(name.value), reason: field ? field.value : "" } : field ? field.value : "");
      done(dialog.returnValue === "yes" ? answer() : null);
    });
    document.body.append(dialog);
    dialog.showModal();
    ((name && !name.value && name) || field || form.querySelector(danger ? ".back" : "[type=submit]")).focus();
  });
}

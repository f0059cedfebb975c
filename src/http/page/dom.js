// Elements from texts: a text is always inserted as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((it) => it !== null && it !== undefined && it !== false));
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

export function ago(at, now = Date.now()) {
  const away = Math.abs(now - at);
  if (away < 1000) return "just now";
  const s = Math.floor(away / 1000);
  const coarse =
    s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} m` : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
  return at > now ? `in ${coarse}` : `${coarse} ago`;
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

/** A moment that goes on being told from now. */
export const when = (at) => (at ? h("time", { "data-at": at, datetime: new Date(at).toISOString(), title: stamp(at) }, ago(at)) : "");

/** How long something took, or takes. */
export const took = (from, to) =>
  !from ? "" : to ? duration(to - from) : h("span", { "data-since": from }, duration(Date.now() - from));

setInterval(() => {
  for (const it of document.querySelectorAll("[data-since]")) it.textContent = duration(Date.now() - Number(it.dataset.since));
}, 1000);
setInterval(() => {
  for (const it of document.querySelectorAll("[data-at]")) it.textContent = ago(Number(it.dataset.at));
}, 5000);

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

/**
 * A table whose rows are kept while what they show stays the same, so that focus and selection outlive a refresh.
 * Columns: [title, class]. `show(item)` gives the cells; `href(item)` makes the first cell a link and the row selectable.
 */
export function table(columns, key, show, href) {
  const body = h("tbody");
  const element = h(
    "div",
    { class: "scroll" },
    h("table", {}, h("thead", {}, h("tr", {}, columns.map(([title, kind]) => h("th", { class: kind, scope: "col" }, title)))), body),
  );
  const kept = new Map();
  const make = (item, seen) => {
    const cells = show(item);
    const row = h("tr", { "data-key": key(item) });
    cells.forEach((cell, at) => {
      const inside = at === 0 && href ? h("a", { href: href(item), class: "rowlink" }, cell) : cell;
      row.append(h("td", { class: columns[at][1], "data-title": columns[at][0] }, inside));
    });
    return { row, seen };
  };
  element.show = (items) => {
    const wanted = new Set();
    let before = null;
    for (const item of items) {
      const name = String(key(item));
      wanted.add(name);
      const seen = JSON.stringify(item);
      let found = kept.get(name);
      if (!found || found.seen !== seen) {
        const fresh = make(item, seen);
        const focused = found && found.row.contains(document.activeElement);
        if (found) found.row.replaceWith(fresh.row);
        if (focused) fresh.row.querySelector("a, button")?.focus({ preventScroll: true });
        kept.set(name, fresh);
        found = fresh;
      }
      const place = before ? before.nextSibling : body.firstChild;
      if (place !== found.row) body.insertBefore(found.row, place);
      before = found.row;
    }
    for (const [name, it] of kept) {
      if (wanted.has(name)) continue;
      it.row.remove();
      kept.delete(name);
    }
    element.hidden = items.length === 0;
    return element;
  };
  return element;
}

/** What a view says when it has nothing to show, and the command that changes that. */
export const empty = (text, ...commands) =>
  h("div", { class: "empty" }, h("p", {}, text), commands.map((it) => h("p", {}, h("code", {}, it))));

/** Replaces what an element holds, unless it is the same. */
export function put(element, ...children) {
  const fresh = children.flat(9).filter((it) => it !== null && it !== undefined && it !== false);
  element.replaceChildren(...fresh);
  return element;
}

/** Asks before something is done. Resolves to null when it is not wanted, else to the text that was given (or ""). */
export function confirm(question, details, action, { reason = false, danger = false } = {}) {
  return new Promise((done) => {
    const field = reason && h("input", { type: "text", required: true, maxlength: 200, id: "reason", autocomplete: "off" });
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "question" }, question),
      details.map((it) => h("p", {}, it)),
      field && h("label", { for: "reason" }, "Why, for the history", field),
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
      done(dialog.returnValue === "yes" ? (field ? field.value : "") : null);
    });
    document.body.append(dialog);
    dialog.showModal();
    (field || form.querySelector(danger ? ".back" : "[type=submit]")).focus();
  });
}

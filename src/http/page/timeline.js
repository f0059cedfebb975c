// A run over time: one bar for each step, from its start to its end.

import { duration, h } from "./dom.js";
import { now } from "./wire.js";

// More bars are unreadable; the table shows the times.
const MOST = 120;
/** A bar is at least this wide, in percent, so that a short step is seen. */
const LEAST = 0.4;

export function timeline(steps) {
  const ran = steps.filter((it) => it.started).sort((a, b) => a.started - b.started || a.id - b.id);
  if (ran.length < 2 || ran.length > MOST) return null;
  const from = ran[0].started;
  const until = Math.max(...ran.map((it) => it.ended || now()), from + 1);
  const share = (ms) => (100 * ms) / (until - from);
  const row = (it) => {
    const end = it.ended || now();
    const kind = it.status.toLowerCase();
    const words = `${it.name}: ${kind}, after ${duration(it.started - from)}, for ${duration(end - it.started)}`;
    const bar = h("i", { class: kind });
    const left = Math.min(share(it.started - from), 100 - LEAST);
    bar.style.marginLeft = `${left}%`;
    bar.style.width = `${Math.min(Math.max(share(end - it.started), LEAST), 100 - left)}%`;
    return h("li", {}, h("a", { href: `#/s${it.id}`, class: "text" }, it.name), h("span", { class: "track", role: "img", "aria-label": words, title: words }, bar), h("span", { class: "dim" }, duration(end - it.started)));
  };
  return [h("h2", {}, "Timeline"), h("p", { class: "dim" }, `The last attempt of each step, within ${duration(until - from)}.`), h("ol", { class: "timeline" }, ran.map(row))];
}

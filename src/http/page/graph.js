// The steps of a run as a small graph: layers by need, from left to right, or from top to bottom where it is narrow, a
// broad layer in several lines.

import { duration, h, svg } from "./dom.js";
import { now } from "./wire.js";

const WIDE = 168;
const HIGH = 46;
const GAP = 14;
const BETWEEN = 44;
// More than this is no picture any more; the table tells it.
const MOST = 120;

/** The layer of each step: one more than the farthest of its needs. */
function layers(needs) {
  const layer = [];
  needs.forEach((of, at) => {
    layer[at] = of.reduce((most, it) => Math.max(most, layer[it] + 1), 0);
  });
  return layer;
}

const words = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function time(step) {
  if (!step.started) return step.status.toLowerCase();
  const taken = duration((step.ended || now()) - step.started);
  const tries = step.attempts > 1 ? `, ${step.attempts} tries` : "";
  return `${step.cached ? "cached" : taken}${tries}`;
}

export function graph(run, width) {
  const { steps, needs } = run;
  if (steps.length > MOST) return h("p", { class: "dim" }, `${steps.length} steps are too many for a picture.`);
  if (steps.length < 2) return null;
  const layer = layers(needs);
  const depth = Math.max(...layer) + 1;
  const rows = Array.from({ length: depth }, () => []);
  steps.forEach((_, at) => rows[layer[at]].push(at));
  const down = depth * WIDE + (depth - 1) * BETWEEN > width;
  const [along, across, between] = down ? [HIGH, WIDE, 28] : [WIDE, HIGH, BETWEEN];
  const most = down ? Math.max(1, Math.floor((width - 4 + GAP) / (across + GAP))) : steps.length;
  const size = (many) => many * (across + GAP) - GAP;
  const breadth = size(Math.min(most, Math.max(...rows.map((it) => it.length))));
  const place = [];
  let far = 0;
  for (const row of rows) {
    row.forEach((step, at) => {
      const line = Math.floor(at / most);
      const b = (breadth - size(Math.min(most, row.length - line * most))) / 2 + (at % most) * (across + GAP);
      const a = far + line * (along + GAP);
      place[step] = down ? [b, a] : [a, b];
    });
    far += Math.ceil(row.length / most) * (along + GAP) - GAP + between;
  }
  const [w, tall] = down ? [breadth, far - between] : [far - between, breadth];
  const edges = needs.flatMap((of, to) => of.map((from) => edge(place[from], place[to], down, steps[from].status)));
  const nodes = steps.map((step, at) => node(step, place[at]));
  const picture = svg("svg", { width: w + 4, height: tall + 4, viewBox: `-2 -2 ${w + 4} ${tall + 4}`, role: "group", "aria-label": "Steps of the run" }, edges, nodes);
  return h("div", { class: "scroll" }, picture);
}

function edge([x1, y1], [x2, y2], down, status) {
  const [ax, ay] = down ? [x1 + WIDE / 2, y1 + HIGH] : [x1 + WIDE, y1 + HIGH / 2];
  const [bx, by] = down ? [x2 + WIDE / 2, y2] : [x2, y2 + HIGH / 2];
  const [cx, cy] = down ? [0, (by - ay) / 2] : [(bx - ax) / 2, 0];
  const d = `M${ax} ${ay}C${ax + cx} ${ay + cy} ${bx - cx} ${by - cy} ${bx} ${by}`;
  return svg("path", { class: status === "COMPLETED" ? "edge done" : "edge", d });
}

function node(step, [x, y]) {
  const kind = step.status.toLowerCase();
  const label = [`${step.name} ${time(step)}`, step.started && kind].filter(Boolean).join(", ");
  return svg(
    "a",
    { href: `#/s${step.id}`, "data-key": step.id, class: `node ${kind}`, "aria-label": label },
    svg("title", {}, label),
    svg("rect", { x, y, width: WIDE, height: HIGH, rx: 6 }),
    svg("rect", { class: "edgebar", x, y, width: 5, height: HIGH, rx: 2.5 }),
    svg("text", { class: "name", x: x + 16, y: y + 19 }, words(step.name, 19)),
    svg("text", { class: "time", x: x + 16, y: y + 36 }, time(step)),
  );
}

// The steps of a run as a small graph: layers by need, from left to right, or from top to bottom where it is narrow, a
// broad layer in several lines. Edges go between boxes, never behind one.

import { duration, h, svg } from "./dom.js";
import { now } from "./wire.js";

const WIDE = 168;
const HIGH = 46;
const GAP = 16;
const BETWEEN = 44;
// Larger graphs are unreadable; the table shows them.
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
  const { steps, needs, after } = run;
  if (steps.length > MOST) return h("p", { class: "dim" }, `${steps.length} steps are too many for a graph.`);
  if (steps.length < 2) return null;
  const layer = layers(needs);
  const rows = Array.from({ length: Math.max(...layer) + 1 }, () => []);
  steps.forEach((_, at) => rows[layer[at]].push(at));
  const down = rows.length * WIDE + (rows.length - 1) * BETWEEN > width;
  // Two boxes beside each other fit on a phone when they are a little narrower.
  const half = Math.floor((width - 4 - 3 * GAP) / 2);
  const wide = down && half < WIDE && half >= 132 ? half : WIDE;
  const [along, across, between] = down ? [HIGH, wide, 28] : [wide, HIGH, BETWEEN];
  const most = down ? Math.max(1, Math.floor((width - 4 - GAP) / (across + GAP))) : steps.length;
  const lines = inLines(rows, most, along, across, between);
  // Where each step is: its line, and how far along that.
  const place = [];
  for (const line of lines) line.steps.forEach((step, at) => (place[step] = { line, at: line.boxes[at] }));
  const route = router(lines, along, across);
  const xy = (a, b) => (down ? `${b} ${a}` : `${a} ${b}`);
  const edges = needs.flatMap((of, to) => of.map((from) => edge(place[from], place[to], route, xy, steps[from].status, after?.[to])));
  const nodes = steps.map((step, at) => {
    const { line, at: b } = place[at];
    return node(step, down ? [b, line.from] : [line.from, b], wide);
  });
  const [low, high] = route.reach();
  const far = lines.at(-1).from + along;
  const [x, y, w, tall] = down ? [low, 0, high - low, far] : [0, low, far, high - low];
  const picture = svg("svg", { width: w + 4, height: tall + 4, viewBox: `${x - 2} ${y - 2} ${w + 4} ${tall + 4}`, role: "group", "aria-label": "Steps of the run" }, edges, nodes);
  return h("div", { class: "scroll" }, picture);
}

/** The layers as lines of at most so many boxes, each centred: where a line begins, its steps, where their boxes begin. */
function inLines(rows, most, along, across, between) {
  const size = (many) => many * (across + GAP) - GAP;
  const breadth = size(Math.min(most, Math.max(...rows.map((it) => it.length))));
  const lines = [];
  let from = 0;
  for (const row of rows) {
    for (let at = 0; at < row.length; at += most) {
      const steps = row.slice(at, at + most);
      const first = (breadth - size(steps.length)) / 2;
      lines.push({ no: lines.length, from, steps, boxes: steps.map((_, at) => first + at * (across + GAP)), used: new Map() });
      from += along + (at + most < row.length ? GAP : between);
    }
  }
  return lines;
}

/** Finds the way of an edge through the lines between its ends. */
function router(lines, along, across) {
  let low = Math.min(...lines.map((it) => it.boxes[0]));
  let high = Math.max(...lines.map((it) => it.boxes.at(-1) + across));
  return {
    along,
    across,
    /** The gap of a line that is least out of the way; each edge has its own place in it. */
    through(line, here, there) {
      const gaps = [line.boxes[0] - GAP / 2, ...line.boxes.map((it) => it + across + GAP / 2)];
      const way = (it) => Math.abs(it - here) + Math.abs(it - there);
      const gap = gaps.reduce((best, it) => (way(it) < way(best) ? it : best));
      const count = line.used.get(gap) || 0;
      line.used.set(gap, count + 1);
      // 0, 1, -1, 2, -2 and so on, as long as there is room.
      const aside = (count % 2 ? 1 : -1) * Math.ceil(count / 2) * 2.5;
      const at = gap + (Math.abs(aside) < GAP / 2 - 2 ? aside : 0);
      [low, high] = [Math.min(low, at - 1), Math.max(high, at + 1)];
      return at;
    },
    between: (one, other) => lines.slice(one.line.no + 1, other.line.no),
    reach: () => [low, high],
  };
}

function edge(one, other, { along, across, through, between }, xy, status, after) {
  let a = one.line.from + along;
  let b = one.at + across / 2;
  const end = other.at + across / 2;
  const d = [`M${xy(a, b)}`];
  // It turns in the space between two lines only.
  const turn = (to, at) => {
    const half = (to - a) / 2;
    d.push(`C${xy(a + half, b)} ${xy(to - half, at)} ${xy(to, at)}`);
    [a, b] = [to, at];
  };
  for (const line of between(one, other)) {
    turn(line.from, through(line, b, end));
    a += along;
    d.push(`L${xy(a, b)}`);
  }
  turn(other.line.from, end);
  const words = ["edge", status === "COMPLETED" && "done", after && after !== "success" && "loose"];
  return svg("path", { class: words.filter(Boolean).join(" "), d: d.join("") });
}

function node(step, [x, y], wide) {
  const kind = step.status.toLowerCase();
  const label = [`${step.name} ${time(step)}`, step.started && kind].filter(Boolean).join(", ");
  return svg(
    "a",
    { href: `#/s${step.id}`, "data-key": step.id, class: `node ${kind}`, "aria-label": label },
    svg("title", {}, label),
    svg("rect", { x, y, width: wide, height: HIGH, rx: 6 }),
    svg("rect", { class: "edgebar", x, y, width: 5, height: HIGH, rx: 2.5 }),
    svg("text", { class: "name", x: x + 16, y: y + 19 }, words(step.name, Math.floor((wide - 26) / 7.4))),
    svg("text", { class: "time", x: x + 16, y: y + 36 }, time(step)),
  );
}

// What steps share and what they wait for: resources and rates; steps that wait for people, times, signals and their runs.

import { ago, bar, bytes, count, empty, h, label, number, put, table, titled, when } from "./dom.js";
import { filters, pager } from "./groups.js";
import { answers } from "./runs.js";
import { get, now, query } from "./wire.js";

/** Units as the command line words them: memory, and what is large, as a size. */
const units = (name, many) => (["memory", "scratch"].includes(name) || many >= 1048576 ? bytes(many) : number(many));

const step = (id) => h("a", { href: `#/s${id}` }, `s${id}`);

export function resourceView({ parameters }) {
  const rows = table(
    [["Resource", "grow"], ["In use", "gauge"], ["Waiting", "num"], ["Capacity", "mid"]],
    (it) => `${it.kind} ${it.name}`,
    (it) => [
      [h("span", { class: "text" }, it.name), it.kind === "rate" ? h("span", { class: "flag" }, "rate") : null, holders(it)],
      it.kind === "rate" ? start(it) : share(it),
      [number(it.waiting), it.first ? h("p", { class: "dim" }, "first ", step(it.first)) : null],
      it.kind === "rate" ? "" : SOURCES[it.source],
    ],
  );
  const none = h("div");
  const pages = h("div", { class: "pager" });
  const about = h("p", { class: "dim" }, "A step starts when all the units that it asks for are free, and when its rates allow it.");
  return {
    element: h("section", {}, h("h1", { tabindex: -1 }, "Resources"), about, rows, none, pages),
    polls: true,
    change(fresh) {
      parameters = fresh;
      return true;
    },
    async refresh(signal) {
      const { after, after_kind } = parameters;
      const { resources, more } = await get(`/api/v1/resources${query({ after, after_kind, limit: 50 })}`, signal);
      const last = resources.at(-1);
      rows.show(resources);
      put(none, resources.length === 0 && empty("No step takes resources. One does if its workflow has:", "resources: { gpu: 1 }", "rate: { calls: 60/1m }"));
      put(pages, pager(after && "#/resources", more && last && `#/resources${query({ after: last.name, after_kind: last.kind })}`));
    },
  };
}

/** A full resource is no problem: its bar is not red. */
function share(it) {
  const text = `${units(it.name, it.held)} of ${units(it.name, it.capacity)}`;
  return h("span", { class: "meter" }, bar([["running", it.capacity ? it.held / it.capacity : 0]], text), h("span", {}, text));
}

const SOURCES = { default: "1 unless set", machine: "of the machine", workflow: "set by a workflow", settings: "set in the settings" };

/** Steps that are named of those that hold a resource. */
const NAMED = 6;

function holders(it) {
  if (!it.holders.length) return null;
  const shown = it.holders.slice(0, NAMED).flatMap((by) => [" ", step(by.step), by.units > 1 ? ` (${units(it.name, by.units)})` : ""]);
  return h("p", { class: "dim" }, "held by", shown, it.holders.length > NAMED ? " and others" : null);
}

const start = (it) => (it.next && it.next > now() ? ["next start ", when(it.next)] : "next start now");

const KINDS = ["approval", "signal", "time", "children"];

export function waitingView({ parameters, act }) {
  const rows = table(
    [["Step", "id"], ["Waits for", "grow"], ["Item", "grow wide"], ["Since", "num wide"], ["Until", "num mid"], ["", "end"]],
    (it) => it.step,
    (it) => [
      `s${it.step}`,
      [what(it), h("p", { class: "dim" }, `${it.name} of `, h("a", { href: `#/r${it.run}` }, `r${it.run}`), " of ", h("a", { href: `#/g${it.group}` }, `g${it.group}`))],
      label(titled(it.item)),
      when(it.since),
      it.due ? when(it.due) : "",
      answers({ id: it.step }, it, act, "small"),
    ],
    (it) => `#/s${it.step}`,
  );
  const top = h("div", { class: "toolbar" });
  const none = h("div");
  const pages = h("div", { class: "pager" });
  return {
    element: h("section", {}, h("h1", { tabindex: -1 }, "Waiting"), top, rows, none, pages),
    polls: true,
    change(fresh) {
      parameters = fresh;
      return true;
    },
    async refresh(signal) {
      const { for: kind, group, after } = parameters;
      const href = (values) => `#/waiting${query({ group, ...values })}`;
      put(top, filters(KINDS, kind || "", (it) => href({ for: it }), "What they wait for"));
      const { waiting, next } = await get(`/api/v1/waiting${query({ for: kind, group, after, limit: 50 })}`, signal);
      rows.show(waiting);
      put(none, waiting.length === 0 && empty(kind ? `No step waits for ${KIND[kind]}.` : "No step waits for a person, a signal, a time or its runs."));
      put(pages, pager(after && href({ for: kind }), next && href({ for: kind, after: next })));
    },
  };
}

const KIND = { approval: "an approval", signal: "a signal", time: "a time", children: "its runs" };

function what(it) {
  if (it.kind === "approval") return h("span", { class: "text" }, it.ask);
  if (it.kind === "signal") return ["the signal ", h("code", { class: "text" }, it.signal)];
  if (it.kind === "children") return ["its runs in ", h("a", { href: `#/g${it.children}` }, `g${it.children}`)];
  return ["a time, ", it.due ? ago(it.due) : ""];
}

/** `2 steps wait for an approval`, with a link to them, for each kind. */
export const waits = (found) =>
  KINDS.filter((it) => found[it]).map((it) => [h("a", { href: `#/waiting?for=${it}` }, `${count(found[it], "step")} ${found[it] === 1 ? "waits" : "wait"}`), ` for ${it === "children" && found[it] > 1 ? "their runs" : KIND[it]}`]);

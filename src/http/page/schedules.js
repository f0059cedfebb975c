// Schedules: when each fires next or what it watches, its last firing, and a button to start it now.

import { confirm, empty, h, put, table, when } from "./dom.js";
import { get, post } from "./wire.js";

export function scheduleView({ act }) {
  const rows = table(
    [["Name", "grow"], ["Times", "mid"], ["Next", "mid"], ["Last", "mid"], ["", "end"]],
    (it) => it.name,
    (it) => [
      [h("span", { class: "text" }, it.name), it.paused ? h("span", { class: "flag" }, "paused") : null, it.problem ? h("p", { class: "text bad" }, it.problem) : null, h("div", { class: "thin dim" }, h("p", { class: "text" }, it.times), h("div", {}, next(it)), it.firings[0] ? h("div", {}, "last ", last(it.firings[0])) : null)],
      h("span", { class: "text" }, it.times),
      next(it),
      last(it.firings[0]),
      [button("Run now", it, act), button(it.paused ? "Resume" : "Pause", it, act)],
    ],
  );
  const none = h("div");
  return {
    element: h("section", {}, h("h1", { tabindex: -1 }, "Schedules"), rows, none),
    polls: true,
    async refresh(signal) {
      const { schedules } = await get("/api/v1/schedules", signal);
      rows.show(schedules);
      put(none, schedules.length === 0 && empty("No workflow starts by itself. Add one whose file has `schedule` or `on`:", "windlass schedule add WORKFLOW.yaml"));
    },
  };
}

const next = (it) => (it.next ? when(it.next) : it.paused ? "" : it.watch ? watched(it.watch) : "never");

function watched(it) {
  const known = `${it.known} ${it.known === 1 ? "file" : "files"} known`;
  return [it.watched ? "on files" : h("span", { class: "flag" }, "not watched"), h("p", { class: "text" }, known)];
}

function last(it) {
  if (!it) return "";
  if (!it.group) return it.state;
  return [h("a", { href: `#/g${it.group}` }, `g${it.group}`), " ", h("span", { class: `status ${(it.status || "").toLowerCase()}` }, (it.status || it.state).toLowerCase())];
}

const SAID = { "Run now": ["run", "It starts now, whatever the time is.", "started."], Pause: ["pause", "It does not fire until it is resumed.", "is paused."], Resume: ["resume", "It fires again, from now on.", "resumed."] };

function button(verb, it, act) {
  const [path, detail, done] = SAID[verb];
  const press = async () => {
    if ((await confirm(`${verb}: ${it.name}?`, [detail], verb)) === null) return;
    act(`${verb}: ${it.name}`, () => post(`/api/v1/schedules/${encodeURIComponent(it.name)}/${path}`), `${it.name} ${done}`);
  };
  return h("button", { type: "button", class: "small rowlink", onclick: press }, verb);
}

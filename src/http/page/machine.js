// The machine: queues, workers, locks.

import { bytes, confirm, count, duration, empty, h, meter, number, put, span, table, when } from "./dom.js";
import { get, post } from "./wire.js";

export function queueView({ act }) {
  const rows = table(
    [["Type", "grow"], ["Running", "num"], ["Ready", "num"], ["In line", "num"], ["State", "mid"], ["", "end"]],
    (it) => it.step_type,
    (it) => [
      [h("span", { class: "text" }, it.step_type), it.paused ? h("span", { class: "flag" }, "paused") : null],
      number(it.running),
      number(it.ready),
      number(it.in_line),
      it.running ? h("span", { class: "status running" }, "running") : h("span", { class: "status pending" }, "waiting"),
      toggle(it, act),
    ],
  );
  const none = h("div");
  const facts = h("p", { class: "dim" });
  return {
    element: h("section", {}, h("h1", { tabindex: -1 }, "Queues"), facts, rows, none),
    polls: true,
    async refresh(signal) {
      const found = await get("/api/v1/queues", signal);
      rows.show(found.types);
      put(none, found.types.length === 0 && empty("Nothing waits and nothing runs. Give it work:", "windlass submit WORKFLOW.yaml --items A B"));
      put(facts, waits(found));
    },
  };
}

function waits(found) {
  const parts = [[`${count(found.groups_open, "open group")}`]];
  if (found.groups_paused) parts.push([`${number(found.groups_paused)} paused`]);
  if (found.delayed) parts.push([`${count(found.delayed, "step")} ${found.delayed === 1 ? "waits" : "wait"} to be retried, the next `, when(found.next_due)]);
  if (found.on_hold) parts.push([`${count(found.on_hold, "step")} paused`]);
  if (found.hooks_waiting + found.hooks_running) parts.push([`${count(found.hooks_waiting + found.hooks_running, "hook")} due or running`]);
  return parts.flatMap((it, at) => (at ? [" · ", ...it] : it));
}

function toggle(it, act) {
  const verb = it.paused ? "Resume" : "Pause";
  const change = async () => {
    const details = [it.paused ? "Steps of this type are started again, in every group." : "What runs goes on; no step of this type is started, in any group."];
    if ((await confirm(`${verb} the type ${it.step_type}?`, details, verb)) === null) return;
    const path = `/api/v1/queues/${encodeURIComponent(it.step_type)}/${verb.toLowerCase()}`;
    act(`${verb} ${it.step_type}`, () => post(path), it.paused ? `${it.step_type} goes on.` : `${it.step_type} is paused.`);
  };
  return h("button", { type: "button", class: "small rowlink", onclick: change }, verb);
}

export function workerView() {
  const list = h("div", { class: "cards" });
  return {
    element: h("section", {}, h("h1", { tabindex: -1 }, "Workers"), list),
    polls: true,
    async refresh(signal) {
      const { workers } = await get("/api/v1/workers", signal);
      const none = empty("No worker is registered, so nothing starts. Start one:", "windlass worker");
      put(list, workers.length ? workers.map(card) : none);
    },
  };
}

function card(it) {
  const pools = Object.entries(it.pools || {});
  const room = pools.reduce((sum, [, size]) => sum + size, 0);
  return h(
    "article",
    { class: "card" },
    h("h2", {}, h("span", { class: "id" }, `w${it.id}`), " ", h("span", { class: `status ${it.alive ? "completed" : "failed"}` }, it.alive ? "alive" : "dead"), h("span", { class: "dim" }, ` pid ${it.identity.pid}, version ${it.version}, started `, when(it.registered))),
    h("p", {}, `${count(it.running, "step")} running in ${count(room, "place")}: `, pools.map(([name, size]) => h("span", { class: "flag" }, `${name === "*" ? "any type" : name} ${size}`))),
    it.processes?.length ? processes(it.processes) : null,
  );
}

function processes(all) {
  const rows = table(
    [["Process", "grow"], ["Pid", "num mid"], ["State", ""], ["Memory", "gauge"], ["Files", "gauge"], ["Age", "gauge"], ["Units", "num"], ["Replaced for", "wide"]],
    (it) => it.pid,
    (it) => {
      const [age, most] = [span(it.age), span(it.limits?.age)];
      return [
        h("span", { class: "text" }, it.pool),
        String(it.pid),
        h("span", { class: `status ${it.busy ? "running" : "pending"}` }, it.busy ? "busy" : "idle"),
        meter(it.rss_bytes, it.limits?.rss, of(bytes(it.rss_bytes), it.limits?.rss && bytes(it.limits.rss))),
        meter(it.open_fds, it.limits?.fds, of(it.open_fds, it.limits?.fds)),
        meter(age, most, of(age === null ? it.age : duration(age), most && duration(most))),
        number(it.units),
        it.last_recycle || "",
      ];
    },
  );
  rows.classList.add("processes");
  return rows.show(all);
}

const of = (value, most) => (most ? `${value} of ${most}` : String(value));

export function lockView({ act }) {
  const rows = table(
    [["Key", "grow"], ["Holder", ""], ["Process", "num wide"], ["Taken", "num"], ["File lock", "wide"], ["", "end"]],
    (it) => it.key,
    (it) => [
      h("span", { class: "text" }, it.key),
      it.holder.kind === "STEP" ? h("a", { href: `#/s${it.holder.id}` }, `step s${it.holder.id}`) : { WEB: "web request", CLI: "command line", HOOK: `hook ${it.holder.id}` }[it.holder.kind],
      it.identity ? String(it.identity.pid) : "",
      when(it.acquired),
      it.file_holder ? h("span", { class: "status running" }, `by ${it.file_holder}`) : it.file_locked ? h("span", { class: "status running" }, "held") : h("span", { class: "status pending" }, "free"),
      h("button", { type: "button", class: "small danger rowlink", onclick: () => release(it, act) }, "Release"),
    ],
  );
  const none = h("div");
  return {
    element: h("section", {}, h("h1", { tabindex: -1 }, "Locks"), h("p", { class: "dim" }, "Resource keys that are held: at any time one step, command or hook works under a key."), rows, none),
    polls: true,
    async refresh(signal) {
      const { locks } = await get("/api/v1/locks", signal);
      rows.show(locks);
      put(none, locks.length === 0 && empty("No resource key is held. Steps take one when their workflow says:", "resource_key: 'vec:{{ params.store.path }}'"));
    },
  };
}

async function release(it, act) {
  const details = [
    `${it.key}`,
    "It is taken away from its holder, and the next in line starts. Do this only when you know that the holder does nothing with it any more.",
    it.file_locked ? "A process still holds the lock of its file: it goes on excluding others until it ends." : "No process holds the lock of its file.",
  ];
  const reason = await confirm("Take this key away by force?", details, "Take it away", { reason: true, danger: true });
  if (reason === null) return;
  act(`Release ${it.key}`, () => post("/api/v1/locks/release", { key: it.key, reason }), `${it.key} is released.`);
}

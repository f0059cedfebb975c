// The machine: queues, workers, locks.

import { bytes, confirm, count, duration, empty, h, meter, number, put, span, table, when } from "./dom.js";
import { waits as waiting } from "./resources.js";
import { get, post } from "./wire.js";

export function queueView({ act }) {
  const rows = table(
    [["Type", "grow"], ["Running", "num"], ["Ready", "num"], ["Blocked", "num"], ["State", "mid"], ["", "end"]],
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
      put(none, found.types.length === 0 && empty("Nothing is waiting or running. Submit work:", "windlass submit WORKFLOW.yaml --items A B"));
      put(facts, waits(found));
    },
  };
}

function waits(found) {
  const parts = [[`${count(found.groups_open, "open group")}`]];
  if (found.groups_paused) parts.push([`${number(found.groups_paused)} paused`]);
  if (found.delayed) parts.push([`${count(found.delayed, "step")} ${found.delayed === 1 ? "is" : "are"} waiting to be retried, the next `, when(found.next_due)]);
  parts.push(...waiting(found.waiting));
  if (found.on_hold) parts.push([`${count(found.on_hold, "step")} paused`]);
  if (found.hooks_waiting + found.hooks_running) parts.push([`${count(found.hooks_waiting + found.hooks_running, "hook")} due or running`]);
  return parts.flatMap((it, at) => (at ? [" · ", ...it] : it));
}

function toggle(it, act) {
  const verb = it.paused ? "Resume" : "Pause";
  const change = async () => {
    const details = [it.paused ? "Steps of this type start again, in every group." : "Running steps continue; no new step of this type starts, in any group."];
    if ((await confirm(`${verb} the type ${it.step_type}?`, details, verb)) === null) return;
    const path = `/api/v1/queues/${encodeURIComponent(it.step_type)}/${verb.toLowerCase()}`;
    act(`${verb} ${it.step_type}`, () => post(path), it.paused ? `${it.step_type} resumed.` : `${it.step_type} is paused.`);
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
      const none = empty("No worker is registered, so no step starts. Start one:", "windlass worker");
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
    h("p", {}, `${count(it.running, "step")} running in ${count(room, "slot")}: `, pools.map(([name, size]) => h("span", { class: "flag" }, `${name === "*" ? "any type" : name} ${size}`))),
    it.processes?.length ? processes(it.processes) : null,
  );
}

function processes(all) {
  const rows = table(
    [["Process", "grow"], ["Pid", "num mid"], ["State", ""], ["Memory", "gauge"], ["Files", "gauge"], ["Age", "gauge"], ["Units", "num"], ["Reason for replacement", "wide"]],
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
    element: h("section", {}, h("h1", { tabindex: -1 }, "Locks"), h("p", { class: "dim" }, "Held resource keys: one step, command or hook holds a key at a time."), rows, none),
    polls: true,
    async refresh(signal) {
      const { locks } = await get("/api/v1/locks", signal);
      rows.show(locks);
      put(none, locks.length === 0 && empty("No resource key is held. A step holds one if its workflow has:", "resource_key: 'vec:{{ params.store.path }}'"));
    },
  };
}

async function release(it, act) {
  const details = [
    `${it.key}`,
    "The holder loses the key, and the next step starts. Do this only if you know that the holder no longer uses it.",
    it.file_locked ? "A process still holds its file lock: it blocks others until it ends." : "No process holds its file lock.",
  ];
  const reason = await confirm("Release this key by force?", details, "Release by force", { reason: true, danger: true });
  if (reason === null) return;
  act(`Release ${it.key}`, () => post("/api/v1/locks/release", { key: it.key, reason }), `${it.key} is released.`);
}

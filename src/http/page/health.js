// Health: what it means in sentences, the figures that matter in tables, and all of them as programs get them.

import { bytes, count, duration, h, number, put, table } from "./dom.js";
import { problemList } from "./groups.js";
import { get } from "./wire.js";

const REASONS = {
  stopping: "windlass is stopping: running steps may finish, no new ones start.",
  database_not_writable: "The database can't be written, so no step starts.",
  database_not_readable: "The database can't be read.",
  disk_below_reserve: "The disk has less free space than the setting disk_reserve: no step starts until there is more.",
  no_consumer: "This process starts no steps.",
};

const seconds = (value) => duration(value * 1000);
const known = (value) => value !== null && value !== undefined && value !== -1;
const be = (many) => (many === 1 ? "is" : "are");

export function healthView() {
  const head = h("div", { class: "head" });
  const problems = h("div", { class: "problems" });
  const said = h("ul", { class: "sentences" });
  const figures = rows("Measure", "Value");
  const pools = rows("Steps of type", "Running", "Slots");
  const processes = rows("Worker process", "State", "Steps", "Memory", "Age");
  const all = h("details", {}, h("summary", {}, "All values, for programs"), h("div", { class: "tiles" }));
  const part = (title, content) => h("div", { class: "part" }, h("h2", {}, title), content);
  const parts = [part("Resources", figures), part("Slots", pools), part("Worker processes", processes)];
  return {
    element: h("section", { class: "health" }, head, problems, said, h("div", { class: "parts" }, parts), all),
    polls: true,
    async refresh(signal) {
      const [health, state] = await Promise.all([get("/health", signal), get("/api/v1/status", signal)]);
      const { status, reasons = [], diagnostics: it = {} } = health;
      const well = status === "ok";
      put(head, h("h1", { tabindex: -1 }, "Health"), h("span", { class: `status ${well ? "completed" : "failed"}` }, well ? "healthy" : "unhealthy"));
      put(problems, problemList(state));
      put(said, sentences(health, state, reasons, it).map((one) => h("li", {}, one)));
      figures.show(resources(state, it));
      pools.show(Object.entries(it.pools?.by_name || {}).map(([name, [busy, size]]) => [name === "*" ? "any other" : name, number(busy), number(size)]));
      processes.show((it.workers || []).map((one) => [`${one.pool || ""} ${one.pid}`, one.busy ? "busy" : "idle", number(one.units), bytes(one.rss_bytes), seconds(one.age_seconds)]));
      parts.forEach((one) => (one.hidden = one.lastChild.hidden));
      put(all.lastChild, tiles({ home: state.home, ...health, ...it, diagnostics: undefined }));
    },
  };
}

/** A table of texts. */
function rows(...titles) {
  return table(titles.map((it, at) => [it, at ? "num" : "grow"]), (it) => it[0], (it) => it.map((one, at) => (at ? one : h("span", { class: "text" }, one))));
}

function sentences(health, state, reasons, it) {
  const { queue = {}, pools = {}, oldest_running: oldest, consecutive_failures: failures } = it;
  const waiting = Math.max(0, queue.ready) || 0;
  const others = [
    [queue.blocked, "are waiting for a resource key"],
    [queue.delayed, "are waiting to be retried"],
    [queue.paused, "are paused"],
  ].filter(([many]) => many > 0);
  const lines = reasons.map((one) => REASONS[one] || String(one));
  if (!reasons.length) lines.push("windlass is healthy: it starts steps, its database can be written, and the disk has space.");
  lines.push(`It has been running for ${seconds(health.uptime)} (version ${health.version}, process ${it.pid}) on the home ${state.home}.`);
  lines.push(`${count(Math.max(0, pools.busy || 0), "step")} ${be(pools.busy)} running here in ${count(Math.max(0, pools.size || 0), "slot")}; ${waiting ? `${count(waiting, "step")} ${be(waiting)} ready` : "no step is ready and waiting"}.`);
  if (others.length) lines.push(`Of the other steps ${others.map(([many, what]) => `${number(many)} ${what}`).join(", ")}.`);
  if (oldest) lines.push([h("a", { href: `#/s${oldest.step}` }, `s${oldest.step}`), ` has been running longest, for ${seconds(oldest.seconds)}.`]);
  if (failures > 0) lines.push(`The last ${failures === 1 ? "attempt" : count(failures, "attempt")} failed.`);
  lines.push(`The last commit was ${seconds(Math.max(0, it.last_commit_age || 0))} ago${it.writer?.busy_seconds >= 1 ? `; one has been under way for ${seconds(it.writer.busy_seconds)}` : ""}.`);
  return [...lines, ...(it.worker_trouble || [])];
}

function resources(state, it) {
  const free = known(it.free_disk_bytes) ? it.free_disk_bytes : state.disk_free;
  const all = [
    ["Free disk space", free, bytes],
    ["Memory of the daemon", it.rss_bytes, bytes],
    ["Database log", it.wal_bytes, bytes],
    ["Open files", it.open_fds, number],
    ["Threads", it.thread_count, number],
    ["Connections to this server", it.http?.connections, number],
    ["Connections closed for newer ones", it.http?.evicted, number],
    ["Clients that follow the events", it.history?.subscribers, number],
    ["Late results", it.leases_lost, number],
  ];
  return all.map(([name, value, show]) => [name, known(value) ? show(value) : "unknown"]);
}

/** Every figure under the name that it has for programs; what is nested gets a tile of its own. */
function tiles(values) {
  const text = (value) => (Array.isArray(value) ? value.map(text).join(", ") : value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));
  const list = (rows) => h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", { class: "text" }, text(value))]));
  const shown = Object.entries(values).filter(([, value]) => value !== undefined);
  const deep = ([, value]) => value !== null && typeof value === "object";
  return [
    h("article", { class: "card" }, h("h2", {}, "windlass"), list(shown.filter((it) => !deep(it)))),
    shown.filter((it) => deep(it) && Object.keys(it[1]).length).map(([name, value]) => h("article", { class: "card" }, h("h2", {}, name), Array.isArray(value) ? h("p", { class: "text" }, text(value)) : list(Object.entries(value)))),
  ];
}

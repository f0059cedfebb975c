// Groups: the list, and one group with its runs.

import { advice, bar, confirm, count, empty, h, label, number, put, status, table, titled, took, when, whenExactly } from "./dom.js";
import { get, post, query, save } from "./wire.js";

const STATUSES = ["RUNNING", "WAITING", "PENDING", "COMPLETED", "FAILED", "CANCELLED"];

/** How far a group is: what completed, failed, was cancelled, and runs. */
export function progress(group) {
  const all = group.runs || 1;
  const completed = group.ended_runs - group.failed - group.cancelled;
  const label = `${number(group.ended_runs)} of ${count(group.runs, "run")} ended, ${number(group.failed)} failed, ${number(group.cancelled)} cancelled`;
  return bar([["completed", completed / all], ["failed", group.failed / all], ["cancelled", group.cancelled / all]], label);
}

const runsOf = (it) => (it.ended_runs === it.runs ? number(it.runs) : `${number(it.ended_runs)} / ${number(it.runs)}`);

const flags = (it) =>
  [it.waits].filter(Boolean).map((text) => h("span", { class: "flag" }, it.waiting && / for /.test(text) ? h("a", { href: `#/waiting?group=${it.id}` }, text) : text));

/** Buttons that choose a status. */
export function filters(statuses, chosen, href, title = "Status") {
  return h(
    "div",
    { class: "filters", role: "group", "aria-label": title },
    [["", "all"], ...statuses.map((it) => [it, it.toLowerCase()])].map(([value, text]) =>
      h("a", { href: href(value), "aria-current": value === chosen ? "true" : null }, text),
    ),
  );
}

export function pager(first, next) {
  return [
    h("a", { class: "button", "data-key-of": "b", href: first || null, hidden: !first }, "First page"),
    h("a", { class: "button", "data-key-of": "n", href: next || null, hidden: !next }, "Next page"),
  ];
}

export function groupList({ parameters }) {
  const rows = table(
    [["Group", "id"], ["Status", ""], ["Name", "grow"], ["Progress", "wide"], ["Runs", "num"], ["Failed", "num wide"], ["Created", "num wide"], ["Took", "num mid"]],
    (it) => it.id,
    (it) => [
      `g${it.id}`,
      status(it.status),
      [label(it.name), flags(it), h("span", { class: "narrow" }, progress(it), it.failed ? h("span", { class: "bad" }, `${number(it.failed)} failed`) : null)],
      progress(it),
      runsOf(it),
      it.failed ? h("span", { class: "bad" }, number(it.failed)) : "",
      when(it.created),
      took(it.created, it.ended),
    ],
    (it) => `#/g${it.id}`,
  );
  const top = h("div", { class: "toolbar" });
  const problems = h("div", { class: "problems" });
  const none = h("div");
  const pages = h("div", { class: "pager" });
  const href = (values) => `#/groups${query(values)}`;
  const view = {
    element: h("section", {}, h("h1", { class: "hidden", tabindex: -1 }, "Groups"), problems, top, rows, none, pages),
    concerns: () => true,
    change(fresh) {
      parameters = fresh;
      return true;
    },
    async refresh(signal) {
      const { status: chosen, before } = parameters;
      put(top, filters(STATUSES, chosen || "", (it) => href({ status: it })), h("a", { class: "button", href: "#/start" }, "Start a workflow"));
      const [found, state] = await Promise.all([
        get(`/api/v1/groups${query({ status: chosen, before, limit: 50 })}`, signal),
        before ? null : get("/api/v1/status", signal),
      ]);
      put(problems, problemList(state));
      rows.show(found.groups);
      put(none, found.groups.length === 0 && nothing(chosen, before));
      put(pages, pager(before && href({ status: chosen }), found.next && href({ status: chosen, before: found.next })));
    },
  };
  return view;
}

const nothing = (chosen, before) =>
  chosen || before
    ? empty(`No ${before ? "older" : ""} group ${chosen ? `is ${chosen.toLowerCase()}` : "is there"}.`)
    : empty("No group yet. Make one:", "windlass ingest DIRECTORY", "windlass submit WORKFLOW.yaml --items A B");

/** Problems for a person to fix, each with its command. */
export function problemList(state) {
  if (!state?.problems?.length) return null;
  const failed = state.problems.some((it) => it.command?.startsWith("windlass why g"));
  return h("ul", {}, state.problems.map((it) => h("li", {}, advice(it))), failed ? h("li", {}, h("a", { href: "#/groups?status=FAILED" }, "All failed groups")) : null);
}

/** What holds steps up; what holds for several is one line with their count. */
function reasons(why, id, link) {
  const others = (it) => {
    const text = `and ${number(it.alike)} more`;
    return [" ", it.facts.step.status === "FAILED" ? link(text) : text];
  };
  return why.steps.map((it) =>
    h(
      "li",
      { "data-key": it.facts.step.id },
      h("a", { href: `#/s${it.facts.step.id}` }, `s${it.facts.step.id}`),
      h("span", { class: "dim" }, ` ${it.facts.step.name}`),
      it.alike > 0 ? others(it) : null,
      // A step can have the name `get`, and its reason begins with `it`.
      ": ",
      // One command for all of them.
      it.reasons.map((one) => advice(it.alike && one.command?.startsWith("windlass retry r") ? { ...one, command: `windlass retry g${id}` } : one)),
    ),
  );
}

const hooks = (failed) =>
  failed.map((it) => {
    const name = it.step ? `s${it.step}` : it.run && `r${it.run}`;
    return h("li", { "data-key": it.id }, h("a", { href: `#/s${it.id}` }, "hook"), " ", h("span", { class: "text" }, it.name), ` (${it.event})`, name && [" of ", h("a", { href: `#/${name}` }, name)], " failed ", when(it.ended), ": ", label(it.detail));
  });

/** The groups that steps started, each under the one that it belongs to. */
function tree(below) {
  const ended = (it) => (it.ended_runs === it.runs ? count(it.runs, "run") : `${number(it.ended_runs)} of ${count(it.runs, "run")}`);
  return h(
    "ul",
    { class: "tree" },
    below.map((it) =>
      h(
        "li",
        { "data-key": it.group, class: `level-${Math.min(it.depth, 8)}` },
        h("a", { href: `#/s${it.step}` }, `s${it.step}`),
        h("span", { class: "dim" }, ` ${it.step_name} `),
        h("a", { href: `#/g${it.group}` }, `g${it.group}`),
        " ",
        status(it.status),
        ` ${ended(it)}`,
        it.failed ? h("span", { class: "bad" }, `, ${number(it.failed)} failed`) : null,
        it.past ? h("span", { class: "dim" }, " (earlier list)") : null,
      ),
    ),
  );
}

/** How many are not shown. */
function more(why, group, link) {
  const left = group.failed - why.steps.reduce((sum, it) => sum + 1 + it.alike, 0);
  if (!why.more && left <= 0) return null;
  return h("li", {}, left > 0 ? link(`and ${number(left)} more`) : "and more");
}

export function groupView({ id, parameters, act, again }) {
  const head = h("div", { class: "head" });
  const actions = h("div", { class: "actions" });
  const big = h("div", { class: "big" });
  const facts = h("dl", { class: "facts" });
  const types = h("div", { class: "types" });
  const why = h("div", { class: "why" });
  const hooked = h("div", { class: "why" });
  const below = h("div", { class: "why" });
  const chosen = h("div", { class: "toolbar" });
  const none = h("div");
  const pages = h("div", { class: "pager" });
  const rows = table(
    [["Run", "id"], ["Status", ""], ["Item", "grow"], ["Ended", "num"], ["Why", "grow wide"]],
    (it) => it.id,
    (it) => [
      `r${it.id}`,
      status(it.status),
      [label(titled(it.item) || "(no item)"), it.steps_done ? h("span", { class: "dim" }, ` ${it.steps_done} of ${count(it.step_count, "step")} done`) : null, it.reason ? h("span", { class: "narrow bad" }, label(it.reason)) : null],
      when(it.ended),
      h("span", { class: "text" }, it.reason || ""),
    ],
    (it) => `#/r${it.id}`,
  );
  let details = null;
  let read = null;
  let explained = null;

  const href = (values) => `#/g${id}${query(values)}`;
  // Where the list of runs begins; a link leads there from above it.
  const title = h("h2", { tabindex: -1 }, "Runs");
  let sought = false;
  const jump = () => {
    sought = false;
    title.scrollIntoView();
    title.focus({ preventScroll: true });
  };
  const failedRuns = (text) => h("a", { href: href({ status: "FAILED" }), onclick: () => (parameters.status === "FAILED" ? jump() : (sought = true)) }, text);
  return {
    element: h("section", {}, head, big, actions, why, below, hooked, h("div", { class: "pair" }, facts, types), title, chosen, rows, none, pages),
    up: () => "#/groups",
    concerns: (digest) => !digest || !digest.groups || digest.groups.includes(id) || digest.kinds.includes("PAUSE"),
    // What was done may have changed what is read seldom.
    stale() {
      read = null;
    },
    change(fresh) {
      parameters = fresh;
      return true;
    },
    async refresh(signal) {
      const { status: wanted, after } = parameters;
      // The counts of steps take a walk over all of them: not more often than they cost.
      const far = await get(`/api/v1/groups/${id}/progress`, signal);
      const ended = far.ended_at !== null;
      const wait = read && ended === (details.ended !== null) ? read.next - Date.now() : 0;
      const due = wait <= 0;
      if (due) {
        const begun = Date.now();
        read = null;
        details = await get(`/api/v1/groups/${id}`, signal);
        read = { next: Date.now() + Math.max(2000, 20 * (Date.now() - begun)) };
      } else again(wait);
      const group = { ...details, runs: far.runs, ended_runs: far.ended, failed: far.failed, cancelled: far.cancelled, ended: far.ended_at };
      put(head, h("h1", { tabindex: -1 }, h("span", { class: "id" }, `g${id}`), " ", label(group.name)), status(group.status), flags(group));
      put(big, progress(group), h("span", {}, sentence(group, far)));
      put(actions, buttons(group, act));
      put(facts, factsOf(group));
      put(types, typeTable(group));
      put(below, group.below.length > 0 && [h("h2", {}, "Runs that its steps started"), tree(group.below)]);
      put(hooked, group.failed_hooks.length > 0 && [h("h2", {}, "Failed hooks"), h("ul", {}, hooks(group.failed_hooks))]);
      put(chosen, filters(["RUNNING", "WAITING", "PENDING", "ERROR", "COMPLETED", "FAILED", "CANCELLED"], wanted || "", (it) => href({ status: it })));
      const stuck = group.failed > 0 || (!ended && far.running === 0);
      const [found, fresh] = await Promise.all([
        get(`/api/v1/runs${query({ group: id, status: wanted, after, limit: 50 })}`, signal),
        stuck && due ? get(`/api/v1/groups/${id}/why`, signal) : null,
      ]);
      rows.show(found.runs);
      if (sought && wanted === "FAILED") jump();
      put(none, found.runs.length === 0 && empty(wanted ? `No run is ${wanted.toLowerCase()}.` : "This group has no runs."));
      put(pages, pager(after && href({ status: wanted }), found.next && href({ status: wanted, after: found.next })));
      explained = fresh || (stuck ? explained : null);
      // Drawn each time: how many more there are is counted as the heading counts them.
      put(why, explained?.steps.length > 0 && [h("h2", {}, !group.failed ? "What blocks it" : ended ? "Why it failed" : "Failures so far"), h("ul", {}, reasons(explained, id, failedRuns), more(explained, group, failedRuns))]);
    },
  };
}

function sentence(group, far) {
  const parts = [`${number(group.ended_runs)} of ${count(group.runs, "run")} ended`];
  if (group.failed) parts.push(`${number(group.failed)} failed`);
  if (group.cancelled) parts.push(`${number(group.cancelled)} cancelled`);
  if (far.running) parts.push(`${count(far.running, "step")} running`);
  return parts.join(", ");
}

function buttons(group, act) {
  const name = `g${group.id}`;
  const at = `/api/v1/groups/${group.id}`;
  const ended = group.ended !== null;
  const cancel = async () => {
    const left = group.runs - group.ended_runs;
    const details = [`${count(left, "run")} of ${number(group.runs)} will not finish.`, "Waiting steps are cancelled immediately. Running steps get a request to stop, then TERM."];
    if ((await confirm(`Cancel ${name}?`, details, `Cancel ${name}`, { danger: true })) === null) return;
    act(`Cancel ${name}`, () => post(`${at}/cancel`), (it) => (it.ended && !it.cancelled ? `${name} has already ended.` : it.ended ? `${name} is cancelled.` : `${name} is being cancelled; its running steps will stop.`));
  };
  const retry = async () => {
    const lost = group.failed + group.cancelled;
    const details = [`${count(lost, "failed or cancelled run")} will run again. Completed steps stay completed.`];
    if ((await confirm(`Retry ${name}?`, details, `Retry ${name}`)) === null) return;
    act(`Retry ${name}`, () => post(`${at}/retry`), (it) => (it.reopened ? `${name} is open again.` : `Nothing in ${name} failed or was cancelled.`));
  };
  const pause = async () => {
    const verb = group.paused ? "resume" : "pause";
    const details = [group.paused ? "Its steps start again." : "Running steps continue; no new ones start."];
    const what = `${group.paused ? "Resume" : "Pause"} ${name}`;
    if ((await confirm(`${what}?`, details, what)) === null) return;
    act(what, () => post(`${at}/${verb}`), group.paused ? `${name} resumed.` : `${name} is paused.`);
  };
  return [
    h("button", { type: "button", "data-key-of": "p", hidden: ended, onclick: pause }, group.paused ? "Resume" : "Pause"),
    h("button", { type: "button", "data-key-of": "c", class: "danger", hidden: ended || group.cancelling, onclick: cancel }, "Cancel"),
    h("button", { type: "button", "data-key-of": "t", hidden: !ended || group.failed + group.cancelled === 0, onclick: retry }, "Retry"),
    h("button", { type: "button", onclick: () => act(`Export ${name}`, () => save(`${at}/export`, `${name}.json`), `${name} is exported.`) }, "Export"),
  ];
}

function factsOf(group) {
  const rows = [
    ["Workflow", group.definition],
    ["Part of", group.parent_step && [h("a", { href: `#/s${group.parent_step}` }, `s${group.parent_step}`), " of ", h("a", { href: `#/g${group.parent_group}` }, `g${group.parent_group}`)]],
    ["Created", whenExactly(group.created)],
    [group.ended ? "Took" : group.status === "PENDING" ? "Open for" : "Runs for", took(group.created, group.ended)],
    ["Priority", group.priority || null],
    ["Directory", group.directory],
    ["Parameters", Object.keys(group.params || {}).length ? parameters(group.params) : null],
  ];
  return rows.filter((it) => it[1]).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
}

const parameters = (values) =>
  h("dl", { class: "parameters" }, Object.entries(values).map(([name, value]) => [h("dt", {}, name), h("dd", {}, h("code", { class: "text" }, typeof value === "string" ? value : JSON.stringify(value)))]));

/** Types of steps that are shown at once. */
const TYPES = 12;

/** A bar for each type of step. */
function typeTable(group) {
  const types = new Map();
  for (const it of group.steps) types.set(it.step_type, [...(types.get(it.step_type) || []), it]);
  const bars = [...types].map(([name, counts]) => {
    const all = counts.reduce((sum, it) => sum + it.count, 0);
    const label = counts.map((it) => `${number(it.count)} ${it.status.toLowerCase()}`).join(", ");
    const order = ["COMPLETED", "SKIPPED", "FAILED", "CANCELLED", "ERROR", "RUNNING", "WAITING"];
    const parts = order.map((it) => [it.toLowerCase(), (counts.find((one) => one.status === it)?.count || 0) / all]);
    return [h("div", { class: "type" }, h("span", { class: "text" }, name), bar(parts, `${name}: ${label}`), h("span", { class: "dim" }, label)), parts[0][1] === 1];
  });
  // What is done is of less interest.
  if (bars.length > TYPES) bars.sort((one, other) => one[1] - other[1]);
  const rest = bars.slice(TYPES).map((it) => it[0]);
  return [bars.slice(0, TYPES).map((it) => it[0]), rest.length > 0 && h("details", {}, h("summary", {}, `${count(rest.length, "more type")} of step`), rest)];
}

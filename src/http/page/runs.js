// A run as a graph of its steps, and a step with its attempts and what it printed.

import { advice, bytes, confirm, count, empty, h, label, number, put, status, table, titled, took, typed, value, whenExactly } from "./dom.js";
import { graph } from "./graph.js";
import { timeline } from "./timeline.js";
import { get, now, parsed, post, query } from "./wire.js";

const crumbs = (...parts) => h("nav", { class: "crumbs", "aria-label": "Where you are" }, parts.flatMap((it, at) => (at ? [" / ", it] : [it])));

export function runView({ id, act }) {
  const head = h("div", { class: "head" });
  const actions = h("div", { class: "actions" });
  const picture = h("div", { class: "graph" });
  const facts = h("dl", { class: "facts" });
  const times = h("div");
  const rows = table(
    [["Step", "id"], ["Name", "grow"], ["Status", ""], ["Tries", "num"], ["Took", "num"], ["Worker", "num wide"], ["Why", "grow wide"]],
    (it) => it.id,
    (it) => [
      `s${it.id}`,
      [h("span", { class: "text" }, it.name), it.name === it.step_type ? null : h("span", { class: "dim" }, ` ${it.step_type}`), it.error ? h("span", { class: "narrow bad" }, label(it.error)) : null],
      it.cached ? h("span", { class: "status completed" }, "cached") : status(it.status),
      number(it.attempts),
      took(it.started, it.ended),
      it.worker ? `w${it.worker}` : "",
      h("span", { class: "text" }, it.error || ""),
    ],
    (it) => `#/s${it.id}`,
  );
  const trail = h("div");
  let run = null;
  const draw = () => run && picture.clientWidth && put(picture, graph(run, picture.clientWidth));
  new ResizeObserver(draw).observe(picture);
  return {
    element: h("section", {}, trail, head, actions, picture, rows, times, facts),
    up: () => (run ? `#/g${run.group}` : "#/groups"),
    concerns: (digest) => !digest || !digest.runs || digest.runs.includes(id) || digest.kinds.includes("STEP_REAPED"),
    async refresh(signal) {
      run = await get(`/api/v1/runs/${id}`, signal);
      put(trail, crumbs(h("a", { href: `#/g${run.group}` }, `g${run.group}`), `r${id}`));
      put(head, h("h1", { tabindex: -1 }, h("span", { class: "id" }, `r${id}`), " ", label(titled(run.item) || run.definition)), status(run.status), run.allowed_failures ? h("span", { class: "flag" }, count(run.allowed_failures, "allowed failure")) : null);
      put(actions, buttons(run, act));
      draw();
      rows.show(run.steps);
      put(times, timeline(run.steps));
      put(facts, runFacts(run));
    },
  };
}

function runFacts(run) {
  const started = Math.min(...run.steps.map((it) => it.started).filter(Boolean));
  const known = Number.isFinite(started);
  const rows = [
    ["Workflow", run.definition],
    ["Started", known && whenExactly(started)],
    ["Ended", whenExactly(run.ended)],
    [run.ended ? "Took" : "Runs for", known && took(started, run.ended)],
    ["Item", titled(run.item) === run.item ? null : value(parsed(run.item))],
  ];
  return [...rows.filter((it) => it[1]).map(([name, it]) => [h("dt", {}, name), h("dd", {}, it)]), ...output(run.output)];
}

const output = (it) => (it === null || it === undefined ? [] : [h("dt", {}, "Output"), h("dd", {}, value(it))]);
/** A step that is done and left nothing: said, so that it does not look as if something were missing. */
const silence = (it) => (it.status === "COMPLETED" && (it.output === null || it.output === undefined) && !it.files.length ? [h("dt", {}, "Output"), h("dd", { class: "dim" }, "none (completed without output)")] : []);

function buttons(run, act) {
  const name = `r${run.id}`;
  const ended = run.ended !== null;
  const cancel = async () => {
    const left = run.steps.filter((it) => !it.ended).length;
    const details = [`${count(left, "step")} will not finish. Running steps get a request to stop.`];
    if ((await confirm(`Cancel ${name}?`, details, `Cancel ${name}`, { danger: true })) === null) return;
    act(`Cancel ${name}`, () => post(`/api/v1/runs/${run.id}/cancel`), (it) => `${name}: ${count(it.cancelled, "step")} cancelled, ${number(it.asked)} stopping.`);
  };
  const retry = async () => {
    if ((await confirm(`Retry ${name}?`, ["Completed steps stay completed."], `Retry ${name}`)) === null) return;
    act(`Retry ${name}`, () => post(`/api/v1/runs/${run.id}/retry`), (it) => (it.reopened ? `${name} is open again.` : `Nothing in ${name} failed or was cancelled.`));
  };
  const again = run.status === "FAILED" || run.status === "CANCELLED";
  return [
    h("button", { type: "button", "data-key-of": "c", class: "danger", hidden: ended, onclick: cancel }, "Cancel"),
    h("button", { type: "button", "data-key-of": "t", hidden: !again, onclick: retry }, "Retry"),
  ];
}

export function stepView({ id, act }) {
  const trail = h("div");
  const head = h("div", { class: "head" });
  const actions = h("div", { class: "actions" });
  const why = h("div", { class: "why" });
  const facts = h("dl", { class: "facts" });
  const attempts = h("div", { class: "attempts" });
  let step = null;
  // What attempts printed that had ended before it was asked for; and the first token that is not among them.
  let kept = [];
  let from = null;
  return {
    element: h("section", {}, trail, head, actions, why, facts, h("h2", {}, "Attempts"), attempts),
    up: () => (step ? `#/r${step.run}` : "#/groups"),
    // What a running step prints comes without an event.
    get polls() {
      return step?.status === "RUNNING";
    },
    concerns: (digest) => !digest || !digest.runs || !step || digest.runs.includes(step.run),
    async refresh(signal) {
      const at = `/api/v1/steps/${id}`;
      const last = step?.attempts_all.findLast((it) => it.ended)?.token;
      const [found, explained, printed] = await Promise.all([get(at, signal), get(`${at}/why`, signal), get(`${at}/logs${query({ from })}`, signal)]);
      step = found;
      const logs = [...kept, ...printed.logs];
      if (last) {
        kept = logs.filter((it) => it.token <= last);
        from = last + 1;
      }
      put(trail, crumbs(h("a", { href: `#/g${step.group}` }, `g${step.group}`), h("a", { href: `#/r${step.run}` }, `r${step.run}`), `s${id}`));
      put(head, h("h1", { tabindex: -1 }, h("span", { class: "id" }, `s${id}`), " ", h("span", { class: "text" }, step.name)), status(step.status), step.cached ? h("span", { class: "flag" }, "from the cache") : null);
      put(actions, stepButtons(step, act, explained.steps[0]?.facts.waits));
      put(why, reasonList(explained));
      put(facts, factsOf(step));
      // `n` counts from 1 again after every retry by hand.
      const tried = step.attempts_all.map((it, at) => [attempt(it, logs), it.n === 1 && at > 0 ? h("p", { class: "divider dim" }, "Retried. Before that:") : null]).reverse();
      // It did not run here: its log is that of another step.
      const elsewhere = step.cached ? h("p", {}, "What the step printed that made this result: ", typed(`windlass logs s${id}`)) : null;
      following(attempts, () => put(attempts, elsewhere, tried.length ? tried : elsewhere ? null : empty("No attempts yet.")));
    },
  };
}

/** Shows the end of every log, of a new one, too, unless its reader has scrolled away from it. */
function following(place, change) {
  const away = new Set([...place.querySelectorAll("pre.log")].filter((it) => it.scrollTop + it.clientHeight < it.scrollHeight - 4));
  change();
  for (const it of place.querySelectorAll("pre.log")) if (!away.has(it)) it.scrollTop = it.scrollHeight;
}

const reasonList = (why) =>
  h("ul", {}, why.steps.flatMap((it) => it.reasons).map((it) => h("li", {}, advice(it))));

/** Buttons for the answer to a step that waits for an approval. */
export function answers(step, waits, act, size = "") {
  const asks = waits?.kind === "approval";
  const answer = async (verb, done, options) => {
    const given = await confirm(`${verb} s${step.id}?`, [waits.ask], verb, { who: true, ...options });
    if (given === null) return;
    const body = options.reason ? given : { by: given.by };
    act(`${verb} s${step.id}`, () => post(`/api/v1/steps/${step.id}/${verb.toLowerCase()}`, body), () => `s${step.id} is ${done}.`);
  };
  return [
    h("button", { type: "button", class: `primary ${size}`, hidden: !asks, onclick: () => answer("Approve", "approved", {}) }, "Approve"),
    h("button", { type: "button", class: `danger ${size}`, hidden: !asks, onclick: () => answer("Reject", "rejected", { reason: true, danger: true }) }, "Reject"),
  ];
}

function stepButtons(step, act, waits) {
  const open = !["COMPLETED", "FAILED", "CANCELLED", "SKIPPED"].includes(step.status);
  const cancel = async () => {
    const details = ["Steps that need it are cancelled too. If it is running, it gets a request to stop, then TERM."];
    if ((await confirm(`Cancel s${step.id}?`, details, `Cancel s${step.id}`, { danger: true })) === null) return;
    act(`Cancel s${step.id}`, () => post(`/api/v1/steps/${step.id}/cancel`), (it) => `s${step.id}: ${count(it.cancelled, "step")} cancelled, ${number(it.asked)} stopping.`);
  };
  const retry = async () => {
    if ((await confirm(`Retry s${step.id}?`, ["Steps that were cancelled because of it run again, too."], `Retry s${step.id}`)) === null) return;
    act(`Retry s${step.id}`, () => post(`/api/v1/steps/${step.id}/retry`), (it) => (it.reopened ? `s${step.id} will run again.` : `s${step.id} neither failed nor was cancelled.`));
  };
  const again = step.status === "FAILED" || step.status === "CANCELLED";
  return [
    ...answers(step, waits, act),
    h("button", { type: "button", "data-key-of": "c", class: "danger", hidden: !open, onclick: cancel }, "Cancel"),
    h("button", { type: "button", "data-key-of": "t", hidden: !again, onclick: retry }, "Retry"),
  ];
}

/** Tries count from 1 again after a retry by hand. */
function tries(step) {
  if (!step.attempts) return null;
  const earlier = step.attempts_all.length - step.attempts;
  const since = earlier > 0 ? ` since the retry, ${number(earlier)} before it` : "";
  return `${number(step.attempts)}${since} (${number(step.failures)} failed, ${number(step.crashes)} crashed)`;
}

function factsOf(step) {
  const holder = step.lock && !(step.lock.holder.kind === "STEP" && step.lock.holder.id === step.id) && step.lock.holder;
  const waits = !["COMPLETED", "FAILED", "CANCELLED", "SKIPPED", "RUNNING"].includes(step.status) && step.due > now();
  const rows = [
    ["Type", step.step_type],
    [step.attempts_all.length ? "Ran" : "Runs", step.command && h("pre", { class: "json", tabindex: 0 }, step.command)],
    ["Variables", step.variables.length ? step.variables.map((it) => `${it}=${step.step_definition?.env?.[it] ?? "***"}`).join(" ") : null],
    ["Item", step.item && label(titled(step.item))],
    ["Started", whenExactly(step.started)],
    [step.ended ? "Took" : step.status === "WAITING" ? "Waits for" : "Runs for", took(step.started, step.ended)],
    ["Due", waits ? whenExactly(step.due) : null],
    ["Worker", step.worker ? `w${step.worker}` : null],
    ["Tries", tries(step)],
    ["Needs", step.needs.length ? step.needs.flatMap((it, at) => [at ? ", " : "", h("a", { href: `#/s${it.step}` }, `${it.name}`), ` ${it.status.toLowerCase()}`]) : null],
    ["Resource key", step.key],
    ["Held by", holder ? (holder.kind === "STEP" ? h("a", { href: `#/s${holder.id}` }, `s${holder.id}`) : `${holder.kind.toLowerCase()} ${holder.id}`) : null],
    ["Suspect", step.suspect ? "an engine crashed while it ran: next time it runs in its own process" : null],
    ["Children", step.children && [h("a", { href: `#/g${step.children.group}` }, `g${step.children.group}`), ` ${step.children.status.toLowerCase()}, ${number(step.children.ended_runs)} of ${count(step.children.runs, "run")}`, step.children.failed ? `, ${number(step.children.failed)} failed` : ""]],
    ["Files", step.files.length ? files(step) : null],
    ["Links", step.links.length ? h("ul", { class: "files" }, step.links.slice(0, NAMES).map(([name, target]) => h("li", {}, `${name} → ${target}`))) : null],
    ["Definition", step.step_definition && h("details", { "data-key": "definition" }, h("summary", {}, `${step.definition}, step ${step.name}`), h("pre", { class: "json", tabindex: 0 }, JSON.stringify(step.step_definition, null, 2)))],
  ];
  return [...rows.filter((it) => it[1]).map(([name, value]) => [h("dt", {}, name), h("dd", { class: "text" }, value)]), ...output(step.output), ...silence(step)];
}

/** Names that are shown of the files of a step. */
const NAMES = 20;

const files = (step) => [
  h("ul", { class: "files" }, step.files.slice(0, NAMES).map(([name]) => h("li", {}, name)), step.files.length > NAMES && h("li", {}, `and ${number(step.files.length - NAMES)} more`)),
  typed(`windlass show s${step.id} --file ${step.files.length === 1 && /^[\w./-]+$/.test(step.files[0][0]) ? step.files[0][0] : "NAME"}`),
];

const OUTCOMES = { succeeded: "completed", cached: "completed", cancelled: "cancelled", interrupted: "error", skipped: "skipped" };

function attempt(it, logs) {
  const outcome = it.outcome || "running";
  const kind = outcome === "running" ? "running" : OUTCOMES[outcome] || "failed";
  const said = it.detail?.outcome;
  const text = said && (said.message || said.reason);
  const printed = logs.filter((one) => one.token === it.token);
  return h(
    "article",
    { class: "attempt", "data-key": it.token },
    h("h3", {}, `Attempt ${it.no} `, h("span", { class: `status ${kind}` }, outcome), h("span", { class: "dim" }, ` on w${it.worker}, `, whenExactly(it.started), ", ", took(it.started, it.ended))),
    text ? h("p", { class: kind === "skipped" ? "text dim" : "text bad" }, text) : null,
    certificate(it.detail?.certificate, printed.length > 0),
    printed.map((one) => log(one, !it.ended)),
  );
}

const CERTIFICATE = { peak_rss: "peak memory", cpu: "CPU time" };

/** What a death leaves behind. */
function certificate(found, printed) {
  // The reason has the exit, and the output is shown in full if it was kept.
  const rows = Object.entries(found || {}).filter(([name, value]) => value !== null && name !== "last_lines" && name !== "exit");
  const lines = printed ? null : found?.last_lines;
  if (!rows.length && !lines) return null;
  const word = (name, value) => (name === "peak_rss" ? bytes(value) : Array.isArray(value) ? value.join("; ") : typeof value === "object" ? JSON.stringify(value) : String(value));
  return [
    rows.length ? h("dl", { class: "certificate" }, rows.map(([name, value]) => [h("dt", {}, CERTIFICATE[name] || name.replaceAll("_", " ")), h("dd", { class: "text" }, word(name, value))])) : null,
    lines ? h("pre", { class: "log", "data-key": "last", tabindex: 0, "aria-label": "Last lines" }, lines) : null,
  ];
}

function log(it, running) {
  const size = new TextEncoder().encode(it.text).length;
  const missing = it.total - size;
  return [
    h("h4", { "data-key": it.stream }, it.stream, missing > 0 ? h("span", { class: "dim" }, ` (${bytes(missing)} before this ${running ? "appear when it ends" : "were not kept"})`) : null),
    h("pre", { class: "log", "data-key": it.stream, tabindex: 0, "aria-label": it.stream }, it.text || " "),
  ];
}

// A form that starts a workflow of the workflows directory.

import { count, empty, h, put, typed } from "./dom.js";
import { get, post } from "./wire.js";

/** The items in the field, one for each line. */
const itemsOf = (text) => text.split("\n").map((it) => it.replace(/\r$/, "")).filter((it) => it.trim() !== "");

export function startView({ parameters, act, go }) {
  const title = h("h1", { tabindex: -1 }, "Start a workflow");
  const chosen = h("select", { id: "workflow" });
  const items = h("textarea", { id: "items", rows: 6, spellcheck: "false" });
  const counted = h("span", { class: "dim", role: "status" });
  const itemField = field("Items, one per line", items, counted);
  const given = h("div", { class: "fields" });
  const name = h("input", { id: "name", maxlength: 1024, autocomplete: "off" });
  const directory = h("input", { id: "directory", autocomplete: "off", placeholder: "/" });
  const priority = h("input", { id: "priority", type: "number", step: 1, value: "0" });
  const start = h("button", { class: "primary" }, "Start");
  const more = h("details", {}, h("summary", {}, "More"), h("div", { class: "fields" }, field("Name of the group", name), field("Directory in which commands start", directory), field("Priority", priority)));
  const form = h("form", { class: "start", hidden: true }, field("Workflow", chosen), given, itemField, more, h("div", { class: "actions" }, start));
  const none = h("div");
  const problems = h("div", { class: "problems" });
  let known = [];
  let fields = new Map();

  const current = () => known.find((it) => it.id === chosen.value);
  const told = () => {
    const found = itemsOf(items.value).length;
    const one = current() && !current().asks_for_item;
    put(counted, found ? count(found, "run") : one ? "Without items: 1 run" : "");
  };
  const shape = () => {
    const before = fields;
    const wanted = current()?.parameters || [];
    fields = new Map(wanted.map((it) => [it, before.get(it) || h("input", { id: `param-${it}`, autocomplete: "off" })]));
    put(given, [...fields].map(([it, input]) => field(it, input)));
    items.required = Boolean(current()?.asks_for_item);
    told();
  };
  chosen.addEventListener("change", shape);
  items.addEventListener("input", told);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const it = current();
    if (!it) return;
    const found = itemsOf(items.value);
    const params = Object.fromEntries([...fields].map(([key, input]) => [key, input.value]).filter(([, value]) => value !== ""));
    const body = { definition: it.definition, params, name: name.value || null, directory: directory.value || null, priority: Number(priority.value) || 0, items: found.length ? found : null };
    start.disabled = true;
    const done = (answer) => {
      go(`#/g${answer.group}`);
      return answer.skipped ? `g${answer.group} has not ended: nothing was started.` : `g${answer.group}: ${count(answer.runs, "run")} submitted.`;
    };
    act(`Start ${it.id}`, () => post("/api/v1/groups", body), done).finally(() => (start.disabled = false));
  });

  return {
    element: h("section", {}, title, problems, form, none),
    up: () => "#/groups",
    concerns: () => false,
    async refresh(signal) {
      const found = await get("/api/v1/workflows", signal);
      known = found.workflows;
      const before = chosen.value || parameters.workflow;
      put(chosen, known.map((it) => h("option", { value: it.id }, it.id)));
      if (known.some((it) => it.id === before)) chosen.value = before;
      form.hidden = known.length === 0;
      put(problems, found.refused.length > 0 && h("ul", {}, found.refused.map((it) => h("li", {}, h("span", { class: "text bad" }, it)))));
      put(none, known.length === 0 && [empty("No workflow can be started here. Put the YAML file of one into this directory:"), h("p", {}, h("code", { class: "text" }, found.directory)), h("p", { class: "dim" }, "Or submit one from the command line: ", typed("windlass submit WORKFLOW.yaml --items A B"))]);
      shape();
    },
  };
}

const field = (label, input, ...rest) => h("label", { for: input.id }, h("span", {}, label), input, rest);

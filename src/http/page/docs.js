// The description of the HTTP interface, as it is served, for people.

import { h, put } from "./dom.js";
import { get } from "./wire.js";

const main = document.getElementById("main");

const name = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf || schema.anyOf) return (schema.oneOf || schema.anyOf).map(name).join(" or ");
  const type = Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type || "any";
  return type === "array" && schema.items ? `array of ${name(schema.items)}` : type;
};

/** A text in which what stands between back-ticks is code. */
const prose = (text) => (text || "").split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));

const ORDER = ["groups", "runs", "steps", "events", "search", "machine", "locks", "daemon", "page"];
const rank = (tag) => (ORDER.includes(tag) ? ORDER.indexOf(tag) : ORDER.length);

const shape = (schema) => {
  const text = name(schema);
  const linked = schema?.$ref || schema?.items?.$ref;
  return linked ? h("a", { href: `#${linked.split("/").pop()}` }, text) : h("span", {}, text);
};

function operation(method, path, it) {
  const parameters = (it.parameters || []).map((one) =>
    h("tr", {}, h("td", {}, h("code", {}, one.name)), h("td", { class: "dim" }, one.in + (one.required ? ", needed" : "")), h("td", {}, prose(one.description))),
  );
  const body = Object.entries(it.requestBody?.content || {}).map(([kind, one]) => h("p", {}, "takes ", shape(one.schema), ` as ${kind}`));
  const answers = Object.entries(it.responses || {}).map(([code, one]) => {
    const shapes = Object.values(one.content || {}).flatMap((one, at) => [at ? ", " : "", shape(one.schema)]);
    return h("li", {}, h("b", {}, code), " ", shapes, one.description ? h("span", { class: "dim" }, " ", prose(one.description)) : null);
  });
  return h(
    "details",
    { class: "operation" },
    h("summary", {}, h("span", { class: `method ${method}` }, method.toUpperCase()), " ", h("code", {}, path), h("span", { class: "dim" }, " ", prose(it.summary))),
    it.description ? h("p", {}, prose(it.description)) : null,
    parameters.length ? h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, parameters))) : null,
    body,
    h("ul", {}, answers),
  );
}

function schema(title, it) {
  const all = [it, ...(it.allOf || [])];
  const rows = all.flatMap((one) => {
    if (one.$ref) return [h("tr", {}, h("td", {}, "…"), h("td", {}, shape(one)), h("td", { class: "dim" }, "its fields, too"))];
    return Object.entries(one.properties || {}).map(([field, of]) => h("tr", {}, h("td", {}, h("code", {}, field)), h("td", {}, shape(of)), h("td", { class: "dim" }, prose(of.description))));
  });
  const values = it.enum ? h("p", {}, it.enum.map((one) => h("code", {}, String(one))).flatMap((one, at) => (at ? [" ", one] : [one]))) : null;
  return h("section", { id: title, class: "schema" }, h("h3", {}, title), it.description ? h("p", { class: "dim" }, prose(it.description)) : null, values, rows.length ? h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, rows))) : values ? null : h("p", {}, name(it)));
}

async function show() {
  const document_ = await get("/openapi.json");
  const tags = new Map();
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, it] of Object.entries(methods)) {
      const tag = it.tags?.[0] || "others";
      tags.set(tag, [...(tags.get(tag) || []), operation(method, path, it)]);
    }
  }
  put(
    main,
    h("h1", {}, `${document_.info.title} ${document_.info.version}`),
    h("p", {}, prose(document_.info.description)),
    h("p", {}, h("a", { href: "/openapi.json" }, "openapi.json"), h("span", { class: "dim" }, " for programs")),
    [...tags].sort(([one], [other]) => rank(one) - rank(other)).map(([tag, all]) => [h("h2", {}, tag), all]),
    h("h2", {}, "Documents"),
    Object.entries(document_.components?.schemas || {}).map(([title, it]) => schema(title, it)),
  );
}

show().catch((error) => put(main, h("p", { class: "empty" }, error.message, error.hint ? `: ${error.hint}` : "")));

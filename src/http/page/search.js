// Search over a vector database.

import { count, empty, h, number, put } from "./dom.js";
import { get, query } from "./wire.js";

/** The text with its marked parts; marks are byte ranges. */
function marked(passage, marks) {
  const whole = new TextEncoder().encode(passage);
  const read = (from, to) => new TextDecoder().decode(whole.subarray(from, to));
  const parts = [];
  let at = 0;
  for (const [from, to] of marks) {
    parts.push(read(at, from), h("mark", {}, read(from, to)));
    at = to;
  }
  return [...parts, read(at)];
}

export function searchView({ parameters, go }) {
  const field = h("input", { type: "search", id: "q", name: "q", placeholder: "What do you want to know?", autocomplete: "off", "aria-label": "Search", maxlength: 1000 });
  const databases = h("select", { id: "db", "aria-label": "Vector database" });
  const mode = h("select", { id: "mode", "aria-label": "How" }, [["hybrid", "words and meaning"], ["text", "words"], ["vector", "meaning"]].map(([value, text]) => h("option", { value }, text)));
  const list = h("ol", { class: "hits" });
  const note = h("p", { class: "dim", role: "status" });
  const none = h("div");
  const form = h("form", { class: "search", role: "search" }, field, h("button", { class: "primary" }, "Search"), databases, mode);
  let known = null;
  let shown = null;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(`#/search${query({ q: field.value.trim(), db: databases.value, mode: mode.value === "hybrid" ? null : mode.value })}`);
  });
  for (const it of [databases, mode]) it.addEventListener("change", () => field.value.trim() && form.requestSubmit());
  queueMicrotask(() => matchMedia("(min-width: 700px)").matches && !parameters.q && field.focus());

  return {
    element: h("section", {}, h("h1", { class: "hidden", tabindex: -1 }, "Search"), form, note, list, none),
    concerns: () => false,
    change(fresh) {
      parameters = fresh;
      return true;
    },
    async refresh(signal) {
      if (!known) {
        known = (await get("/api/v1/databases", signal)).databases;
        put(databases, known.map((it) => h("option", { value: it.name }, `${it.name} (${number(it.documents)})`)));
        databases.hidden = known.length === 0;
        if (known.some((it) => it.name === "default")) databases.value = "default";
      }
      if (!known.length) {
        put(none, empty("No vector database yet. Make one from your documents:", "windlass ingest DIRECTORY"));
        return;
      }
      const { q, db, mode: how } = parameters;
      const asked = JSON.stringify([q, db, how]);
      if (asked === shown) return;
      if (db) databases.value = db;
      mode.value = how || "hybrid";
      field.value = q || "";
      if (!q) {
        put(list);
        put(note);
        put(none, empty(`${count(known.reduce((sum, it) => sum + it.documents, 0), "document")} can be searched. No character has a special meaning.`));
        shown = asked;
        return;
      }
      put(note, "searching…");
      const begun = performance.now();
      let found;
      try {
        found = await get(`/api/v1/search${query({ q, db: databases.value, mode: how, k: 20 })}`, signal);
      } catch (error) {
        put(note);
        throw error;
      }
      shown = asked;
      put(none);
      put(note, found.hits.length ? `${count(found.hits.length, "passage")} in ${Math.round(performance.now() - begun)} ms` : `Nothing found in ${count(found.documents, "document")} of ${found.database}.`);
      put(list, found.hits.map(hit));
    },
  };
}

function hit(it) {
  const uri = it.uri.replace(/^file:\/\//, "");
  const above = it.headings.filter((one) => one !== it.title);
  return h(
    "li",
    { class: "rowlink", tabindex: 0 },
    h("h2", { class: "text" }, it.title?.trim() || uri, above.length ? h("span", { class: "dim" }, ` › ${above.join(" › ")}`) : null),
    h("p", { class: "where" }, h("span", { class: "text" }, uri), it.page ? `, page ${it.page}` : "", h("span", { class: "dim" }, ` ${it.score.toFixed(3)}`)),
    h("p", { class: "text passage" }, it.cut?.[0] ? "… " : "", marked(it.passage, it.marks), it.cut?.[1] ? " …" : ""),
  );
}

// Search over a vector database.

import { copy, count, empty, h, meant, number, put } from "./dom.js";
import { get, query } from "./wire.js";

/** In ms: the first search may have to wait for a model. */
const PATIENCE = 60000;

/** The text with its marked parts, made as texts of the page; highlights are byte ranges. */
function marked(snippet, highlights) {
  const whole = new TextEncoder().encode(snippet);
  const read = (from, to) => new TextDecoder().decode(whole.subarray(from, to));
  const parts = [];
  let at = 0;
  for (const [from, to] of highlights) {
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
  let known = [];
  let shown = null;
  let hits = [];
  // The whole chunks of what was found, once one of them was opened; and which of them are open.
  let whole = null;
  const open = new Set();
  const draw = () => put(list, hits.map((it) => hit(it, open.has(it.key) && whole?.get(it.key), toggle)));

  async function toggle(it) {
    if (!open.delete(it.key)) open.add(it.key);
    draw();
    if (whole || !open.has(it.key)) return;
    const asked = shown;
    try {
      const found = await get(`/api/v1/search${asked}&whole=true`, null, PATIENCE);
      if (asked !== shown) return;
      whole = new Map(keyed(found.hits).map((one) => [one.key, one]));
      draw();
    } catch (error) {
      open.delete(it.key);
      put(note, error.message);
    }
  }
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
      known = (await get("/api/v1/databases", signal)).databases;
      put(databases, known.map((it) => h("option", { value: it.name }, `${it.name} (${number(it.documents)})`)));
      databases.hidden = known.length === 0;
      if (!known.length) {
        put(none, empty("No vector database yet. Make one from your documents:", "windlass ingest DIRECTORY"));
        return;
      }
      const { q, db, mode: how } = parameters;
      const there = (name) => known.some((it) => it.name === name);
      const asked = query({ q, db: db || (there("default") ? "default" : known[0].name), mode: how, k: 20 });
      // What was chosen or typed since, and is not asked for yet, stays.
      if (asked === shown) return;
      databases.value = db || (there("default") ? "default" : known[0].name);
      whole = null;
      open.clear();
      mode.value = how || "hybrid";
      field.value = q || "";
      if (db && !there(db)) {
        put(list);
        put(note);
        put(none, h("div", { class: "empty" }, h("p", {}, `No vector database ${db}. Available:`), known.map((it) => h("p", {}, h("a", { href: `#/search${query({ q, db: it.name })}` }, it.name)))));
        shown = null;
        return;
      }
      if (!q) {
        put(list);
        put(note);
        put(none, empty(`${count(known.reduce((sum, it) => sum + it.documents, 0), "document")} can be searched. Searched literally; no operators.`));
        shown = asked;
        hits = [];
        return;
      }
      put(note, "searching…");
      const begun = performance.now();
      let found;
      try {
        found = await get(`/api/v1/search${asked}`, signal, PATIENCE);
      } catch (error) {
        put(note);
        throw error;
      }
      shown = asked;
      put(none);
      put(note, found.hits.length ? `${count(found.hits.length, "passage")} in ${Math.round(performance.now() - begun)} ms` : nothing(found));
      hits = keyed(found.hits);
      draw();
    },
  };
}

/** What to do where nothing was found. */
function nothing(found) {
  const why = found.mode === "text" ? ": no passage has a word of the query; try other words, or search by words and meaning" : ": no passage is near the query; try other words";
  return `Nothing found in ${count(found.documents, "document")} of ${found.database}${found.documents ? why : ""}.`;
}

const keyed = (hits) => hits.map((it) => ({ ...it, key: `${it.source} ${it.uri} ${it.chunk}` }));

/** A document as people know it: the path of a file, else its address. */
function place(uri) {
  try {
    return uri.startsWith("file:///") ? decodeURIComponent(uri.slice(7)) : uri;
  } catch {
    // Its name is not UTF-8.
    return uri;
  }
}

/** One hit; `all` is its whole chunk where it is open. */
function hit(it, all, toggle) {
  const uri = place(it.uri);
  const above = it.headings.filter((one) => one !== it.title);
  const shown = all || it;
  return h(
    "li",
    { "data-key": it.key, class: all ? "open" : null, onclick: (event) => meant(event) && void toggle(it) },
    h(
      "h2",
      {},
      h("button", { type: "button", class: "rowlink text", "aria-expanded": all ? "true" : "false", onclick: () => toggle(it) }, it.title?.trim() || uri),
      above.length ? h("span", { class: "dim text" }, ` › ${above.join(" › ")}`) : null,
    ),
    h("p", { class: "where" }, h("span", { class: "text" }, uri), it.page ? `, page ${it.page}` : "", h("span", { class: "dim" }, ` ${it.score.toFixed(3)}${it.navigation ? ", contents or index" : ""}`)),
    h("p", { class: "text passage" }, shown.snippet_cut[0] ? "… " : "", marked(shown.snippet, shown.highlights), shown.snippet_cut[1] ? " …" : ""),
    all
      ? h("p", { class: "path" }, h("code", {}, uri), h("button", { type: "button", class: "small", onclick: (event) => copy(uri, event.currentTarget) }, "Copy"), h("span", { class: "dim" }, `part ${number(it.chunk + 1)} of the document, ${it.media_type}`))
      : null,
  );
}

// What goes over the wire: requests and their answers, and the session that they show.

/** A failed request. `status` 0: no response. */
export class Refused extends Error {
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

// ---- the session: for this tab alone, unless it gives it to another tab of the same origin

const KEY = "windlass-session";

export const session = () => sessionStorage.getItem(KEY);

/** Keeps another one; null: none. */
export const keep = (secret) => (secret ? sessionStorage.setItem(KEY, secret) : sessionStorage.removeItem(KEY));

const headers = (more) => ({ ...(session() && { "x-windlass-session": session() }), ...more });

// How far the clock of this browser is behind the server's, in ms. A header has whole seconds.
let behind = 0;

/** The time as the server has it. */
export const now = () => Date.now() + behind;

// Where texts of a JSON begin and end, and numbers, which can be inside of texts as well.
const PIECES = /\\.|"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const rounds = (number) => /^-?\d{16,}$/.test(number) && !Number.isSafeInteger(Number(number));

/** What a JSON says. A whole number that JavaScript would round becomes a text of the same digits. */
export function parsed(text) {
  let inside = false;
  const exact = (piece) => {
    if (piece === '"') inside = !inside;
    return !inside && rounds(piece) ? `"${piece}"` : piece;
  };
  return JSON.parse(/\d{16}/.test(text) ? text.replace(PIECES, exact) : text);
}

/** In ms: what takes longer is no answer. */
const LIMIT = 10000;

export async function ask(path, { signal, limit, ...options }) {
  let response;
  let body = null;
  const late = AbortSignal.timeout(limit || LIMIT);
  try {
    response = await fetch(path, { ...options, signal: signal ? AbortSignal.any([signal, late]) : late, headers: headers({ accept: "application/json", ...options.headers }) });
    const away = Date.parse(response.headers.get("date")) - Date.now();
    behind = Math.abs(away) > 2000 ? away : 0;
    // Read to the end, whatever it is, under the same limit.
    const text = await response.text();
    const type = response.headers.get("content-type") || "";
    if (type.includes("json")) body = parsed(text);
  } catch (error) {
    if (signal?.aborted) throw new DOMException("no longer needed", "AbortError");
    throw new Refused(0, late.aborted ? `no response from windlass within ${(limit || LIMIT) / 1000} s` : "can't reach windlass");
  }
  // `/health` answers 503 with reasons.
  if (!response.ok && !(path === "/health" && body)) {
    throw new Refused(response.status, body?.error || `the response was ${response.status}`, body?.hint);
  }
  return body;
}

export const get = (path, signal, limit) => ask(path, { signal, limit });

export const post = (path, body) =>
  ask(path, {
    method: "POST",
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });

/** `{a: 1, b: null}` as `?a=1`. */
export function query(values) {
  const given = Object.entries(values).filter(([, it]) => it !== null && it !== undefined && it !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** The messages of a stream of events, each `{id, event, data}`, until it ends. */
export async function* events(path, signal) {
  const response = await fetch(path, { signal, headers: headers({ accept: "text/event-stream" }) });
  if (!response.ok) throw new Refused(response.status, `the response was ${response.status}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const found = Object.fromEntries(block.split("\n").map((it) => it.split(/: (.*)/s)));
      if (found.data) yield found;
    }
  }
}

/** Saves what is at an address as a file. A link could not show the session. */
export async function save(path, name) {
  const response = await fetch(path, { headers: headers() });
  if (!response.ok) throw new Refused(response.status, `the response was ${response.status}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

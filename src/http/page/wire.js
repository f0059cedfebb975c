// What goes over the wire: requests and their answers.

/** A request that was refused. `status` 0: nobody answered. */
export class Refused extends Error {
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

// How far the clock of this browser is behind the server's, in ms. A header tells whole seconds.
let behind = 0;

/** The time as the server has it. */
export const now = () => Date.now() + behind;

/** In ms: what takes longer is no answer. */
const LIMIT = 10000;

async function ask(path, { signal, limit, ...options }) {
  let response;
  let body = null;
  const late = AbortSignal.timeout(limit || LIMIT);
  try {
    response = await fetch(path, { ...options, signal: signal ? AbortSignal.any([signal, late]) : late, headers: { accept: "application/json", ...options.headers } });
    const away = Date.parse(response.headers.get("date")) - Date.now();
    behind = Math.abs(away) > 2000 ? away : 0;
    // Read to the end, whatever it is, under the same limit.
    const text = await response.text();
    const type = response.headers.get("content-type") || "";
    if (type.includes("json")) body = JSON.parse(text);
  } catch (error) {
    if (signal?.aborted) throw new DOMException("not wanted any more", "AbortError");
    throw new Refused(0, late.aborted ? `windlass did not answer within ${(limit || LIMIT) / 1000} s` : "windlass does not answer");
  }
  // `/health` tells why it is not well with 503.
  if (!response.ok && !(path === "/health" && body)) {
    throw new Refused(response.status, body?.error || `the answer was ${response.status}`, body?.hint);
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

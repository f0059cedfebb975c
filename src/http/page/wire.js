// What goes over the wire: requests, and the stream of what changed.

/** A request that was refused. `status` 0: nobody answered. */
export class Refused extends Error {
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { accept: "application/json", ...options?.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "windlass does not answer");
  }
  const type = response.headers.get("content-type") || "";
  const body = type.includes("json") ? await response.json().catch(() => null) : null;
  // `/health` tells why it is not well with 503.
  if (!response.ok && !(path === "/health" && body)) {
    throw new Refused(response.status, body?.error || `the answer was ${response.status}`, body?.hint);
  }
  return body;
}

export const get = (path, signal) => ask(path, { signal });

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

/**
 * Follows what changes, as digests, and says when the stream is open or lost. Closed while the page is hidden: a browser
 * has few connections to one server, and a hidden page needs none.
 */
export function follow(changed, state) {
  let source = null;
  let last = null;
  let again = null;
  let wait = 1000;

  function open() {
    close();
    source = new EventSource(`/api/v1/events${query({ digest: 400, after: last })}`);
    source.addEventListener("hello", (it) => {
      last = it.lastEventId || last;
      wait = 1000;
      state(true);
    });
    source.addEventListener("gap", () => changed(null));
    source.addEventListener("digest", (it) => {
      last = it.lastEventId;
      changed(JSON.parse(it.data));
    });
    source.addEventListener("error", () => {
      close();
      if (document.hidden) return;
      state(false);
      again = setTimeout(open, wait);
      wait = Math.min(wait * 1.6, 10000);
    });
  }

  function close() {
    clearTimeout(again);
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  open();
}

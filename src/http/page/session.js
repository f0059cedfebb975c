// How this browser signs in: with the link that opened it, with what another tab has, or with the token.

import { h, put, typed } from "./dom.js";
import { ask, keep, post, session } from "./wire.js";

// Tabs of one origin: one that has no session asks the others.
const tabs = "BroadcastChannel" in self ? new BroadcastChannel("windlass") : null;

/** How long another tab may take to answer, in ms. */
const TAB = 200;

// Whether the form is shown; what it says.
let out = false;
let said = null;

async function open(how) {
  try {
    keep((await post("/api/v1/session/open", how)).session);
    said = null;
    tabs?.postMessage({ session: session() });
    return true;
  } catch (error) {
    said = error.message[0].toUpperCase() + error.message.slice(1) + (error.hint ? `; ${error.hint}.` : ".");
    return false;
  }
}

/** Before anything is read: with what the address brings, or what another tab has. */
export async function signIn() {
  const code = /^\/open\/(.+)$/.exec(location.pathname)?.[1];
  if (code) {
    // The address is a secret until it is opened. One that was opened leads a tab that is signed in to the page.
    history.replaceState(history.state, "", `/${location.hash}`);
    await open({ code });
  }
  if (session() || !tabs) return;
  await new Promise((done) => {
    const late = setTimeout(done, TAB);
    tabs.onmessage = ({ data }) => {
      if (!data.session) return;
      keep(data.session);
      clearTimeout(late);
      done();
    };
    tabs.postMessage({ wanted: true });
  });
}

/**
 * The form of who is not signed in, in `place`. `entered()`: that has changed, here or in another tab. Gives a function
 * that shows the form, or takes it away.
 */
export function door(place, entered) {
  const field = h("input", { type: "password", id: "token", autocomplete: "current-password", required: true, maxlength: 4000, spellcheck: "false" });
  const note = h("p", { class: "bad", role: "alert" });
  const form = h("form", { class: "search" }, field, h("button", { class: "primary" }, "Sign in"));
  const showNote = () => put(note, said);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    said = null;
    showNote();
    if (await open({ token: field.value.trim() })) {
      field.value = "";
      entered();
      return;
    }
    showNote();
    field.select();
  });
  if (tabs) {
    tabs.onmessage = ({ data }) => {
      if (data.wanted && session() && !out) tabs.postMessage({ session: session() });
      if (!data.session || !out) return;
      keep(data.session);
      entered();
    };
  }
  return (shown) => {
    if (shown === out) return;
    out = shown;
    place.hidden = !shown;
    if (!shown) return;
    // The commands are written for this home only once it is known.
    put(
      place,
      h("h1", {}, "Sign in"),
      note,
      h("p", {}, "Run ", typed("windlass ui"), " on the machine where windlass runs to open this page."),
      h("label", { for: "token" }, "Or enter the token. It is in the file ", h("code", {}, "serve.token"), " in the home directory, unless you set ", h("code", {}, "api_token"), "."),
      form,
    );
    if (session() && !said) said = "Your session has ended.";
    keep(null);
    showNote();
    said = null;
    field.focus();
  };
}

/** Ends the session, for the tabs that share it as well. */
export async function signOut() {
  try {
    await ask("/api/v1/session", { method: "DELETE" });
  } catch (error) {
    // It had ended already.
    if (error.status !== 401) throw error;
  }
  keep(null);
  said = "You are signed out.";
}

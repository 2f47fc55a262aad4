// What is said when there is nothing to show: what is the matter, and what to do.

import { ask, follow, hasToken, keepToken } from "./api.js";
import { h } from "./dom.js";

// How often the views that are missing are asked for, milliseconds.
const EVERY_MS = 5000;

const code = (text) => h("code", {}, text);

// The bridge's message as a sentence.
export const sentence = (text) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;

// A panel of its own: a heading, sentences, and what helps.
export const panel = (title, ...children) => h("section", { class: "panel" }, h("h1", {}, title), children);

// What is shown instead of a view that could not be had.
export function trouble(error, again) {
  const retry = h("button", { type: "button", onclick: again }, "Try again");
  switch (error.kind) {
    case "unreachable":
      return panel("The bridge does not answer",
        h("p", {}, "It may have been stopped, or the network between it and this page is gone. Nothing of the traffic depends on it."),
        h("p", {}, "On its host, look at what ", code("syntrace doctor"), " says, or start it with ", code("syntrace-bridge"), "."), retry);
    case "unauthorised":
      return tokenPanel(again);
    case "unknown":
      return panel("Not known here",
        h("p", {}, sentence(error.message)),
        h("p", {}, "Records are forgotten when there are too many or they are too old; the tracing backend may still have it. Ids of other hosts are known to the bridge of that host."),
        h("p", {}, h("a", { href: "/?view=connections" }, "All connections"), " · ", h("a", { href: "/?view=requests" }, "All requests")));
    case "invalid":
      return panel("The filter has no meaning",
        h("p", {}, sentence(error.message)), h("p", {}, h("a", { href: "/" }, "Start from the causes")));
    default:
      if (!error.kind) console.error(error);
      return panel("Something went wrong", h("p", {}, error.message), retry);
  }
}

function tokenPanel(again) {
  const input = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
  const form = h("form", { onsubmit: keep }, h("label", { for: "token" }, "Token"), input, h("button", { type: "submit" }, "Use it"));
  function keep(event) {
    event.preventDefault();
    keepToken(input.value.trim());
    again();
  }
  const wrong = hasToken() ? "The bridge does not accept this token." : "This bridge answers only to those who have its token.";
  return panel("A token is needed", h("p", {}, wrong, " It is in the bridge’s configuration; this page keeps it until the tab is closed."), form);
}

// What an empty store says, by what is there at all.
export function nothingYet(missing, kind) {
  const both = missing.includes("kernel") && missing.includes("proxy");
  return h("div", { class: "empty" },
    h("h2", {}, `No ${kind} yet`),
    h("p", {}, both
      ? "The bridge runs, but nothing has been sent to it."
      : "As soon as traffic passes the gateway, it is listed here."),
    both && h("ol", {},
      h("li", {}, "The probe, beside the gateway: ", code("syntrace-probe run --cgroup … --bridge unix:/run/syntrace/bridge.sock")),
      h("li", {}, "The filter, in Envoy: ", code("envoy/gateway.yaml"), " has all it needs"),
      h("li", {}, "Then ", code("syntrace doctor"), " names the link that is broken")));
}

// Keeps the line above every view that says which of the two is missing.
export function notice() {
  const place = document.getElementById("notices");
  let said = "";
  const look = async () => {
    let notes = [];
    try {
      const [ready, coverage] = await Promise.all([ask("/readyz").catch(passing), ask("/v1/coverage")]);
      notes = notesOf(ready, coverage);
    } catch (error) {
      if (error.kind === "unreachable") notes = [["bad", "The bridge does not answer: what is shown here is not updated."]];
    }
    const text = JSON.stringify(notes);
    if (text !== said) place.replaceChildren(...notes.map(([kind, ...words]) => h("p", { class: `note ${kind}` }, words)));
    said = text;
  };
  // A bridge that is not ready says so with a status of its own.
  const passing = (error) => { if (error.kind === "failed") return { missing: [] }; throw error; };
  follow(EVERY_MS, new AbortController().signal, look);
}

function notesOf(ready, { rung, lost }) {
  const notes = [];
  const [kernel, proxy] = ["kernel", "proxy"].map((view) => ready.missing.includes(view));
  if (kernel && proxy) notes.push(["warn", "Neither the probe nor the filter has reported. ", "Run “syntrace doctor” on the gateway’s host."]);
  else if (kernel) notes.push(["warn", rung ? `The kernel’s view is missing: ${rung.missing.join("; ") || "the probe may see nothing"}.` : "The kernel’s view is missing: no probe reports. Requests are listed without their connections; start syntrace-probe."]);
  else if (proxy) notes.push(["warn", "The proxy’s view is missing: no filter has reported. Connections are listed without their requests; look at Envoy’s log, or run “syntrace doctor”."]);
  if (!kernel && rung && (rung.name !== "full" || rung.missing.length > 0)) notes.push(["warn", `The probe runs on rung “${rung.name}”; missing: ${rung.missing.join("; ")}`]);
  if (lost > 0) notes.push(["warn", `${lost.toLocaleString("en")} facts were lost on their way here: see Coverage.`]);
  return notes;
}

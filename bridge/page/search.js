// Finds by whatever stands in a log: any id, an address, a pair of addresses, a status and a time.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { panel } from "./states.js";
import { lastTime, timeOf } from "./words.js";

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}/i;
const TRACE = /^[0-9a-f]{32}$/i;
const SPAN = /^[0-9a-f]{16}$/i;
const END = /^(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\]):\d{1,5}$/i;
const ADDRESS = /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f:.]+)(?:\/\d{1,3})?$/i;
const PAIR = /^(\S+?)\s*(?:->|→|=>|to|,|\s)\s*(\S+)$/i;
const STATUS_AT = /^(?:([1-5]\d\d|[1-5]xx)s?|(slow(?:est)?|p\d\d(?:\.\d+)?))?(?:\s+at)?\s*(?:(\d{4}-\d{2}-\d{2})[T ])?(?:(\d{1,2}):(\d{2})(?::(\d{2}))?)?$/i;

const list = (view, values) => `/?${new URLSearchParams({ view, ...values })}`;

export async function show({ main, parameters, signal, go }) {
  const text = (parameters.get("q") ?? "").trim();
  document.getElementById("q").value = text;
  const address = await addressOf(text, signal);
  if (signal.aborted) return;
  if (address) await go(address, { replace: true });
  else main.replaceChildren(nothing(text));
}

// Returns where the text leads; null where it leads nowhere.
async function addressOf(text, signal) {
  const parent = TRACEPARENT.exec(text);
  if (parent) return (await ofRequest(parent[2], signal)) ?? ofTrace(parent[1], signal);
  const at = STATUS_AT.exec(text);
  if (at && text) return requestsAt(at, signal);
  if (TRACE.test(text)) return ofTrace(text.toLowerCase(), signal);
  if (SPAN.test(text)) return (await ofRequest(text.toLowerCase(), signal)) ?? ofTrace(text, signal);
  if (END.test(text)) return ofEnd(text, signal);
  if (ADDRESS.test(text)) return list("connections", { network: text });
  const pair = PAIR.exec(text);
  if (pair && END.test(pair[1]) && END.test(pair[2])) return ofPair(pair[1], pair[2], signal);
  return (await ofConnection(text, signal)) ?? ofTrace(text, signal);
}

// Asks; null where nothing is known under it.
async function known(path, parameters, signal) {
  try {
    return await ask(path, parameters, signal);
  } catch (error) {
    if (error.kind === "unknown" || error.kind === "invalid") return null;
    throw error;
  }
}

async function ofRequest(id, signal) {
  return (await known(`/v1/requests/${id}`, {}, signal)) && `/?request=${id}`;
}

async function ofConnection(id, signal) {
  return (await known(`/v1/connections/${encodeURIComponent(id)}`, {}, signal)) && `/?connection=${encodeURIComponent(id)}`;
}

// One connection or one request is shown itself; more of them together.
async function ofTrace(id, signal) {
  const found = await known(`/v1/traces/${encodeURIComponent(id)}`, {}, signal);
  if (!found) return null;
  const connections = found.connections.filter((one) => one.trace_id === id || one.aliases.includes(id));
  const requests = found.requests.filter((one) => one.trace_id === id || one.request_id === id);
  if (connections.length === 1) return `/?connection=${encodeURIComponent(connections[0].id)}`;
  if (connections.length === 0 && requests.length === 1) return `/?request=${requests[0].id}`;
  return `/?trace=${encodeURIComponent(id)}`;
}

async function ofEnd(end, signal) {
  for (const side of ["peer", "local"]) {
    const found = await known("/v1/connections", { [side]: end, limit: 2 }, signal);
    if (found?.connections.length === 1) return `/?connection=${encodeURIComponent(found.connections[0].id)}`;
    if (found?.connections.length > 1) return list("connections", { [side]: end });
  }
  return null;
}

async function ofPair(one, other, signal) {
  for (const [local, peer] of [[one, other], [other, one]]) {
    const found = await known("/v1/connections", { local, peer, limit: 2 }, signal);
    if (found?.connections.length === 1) return `/?connection=${encodeURIComponent(found.connections[0].id)}`;
    if (found?.connections.length > 1) return list("connections", { local, peer });
  }
  return null;
}

// `503 10:04` is the requests of that minute with that status, where the reader is; `p99 10:04` its slowest hundredth.
async function requestsAt([, status, slowest, day, hours, minutes, seconds], signal) {
  const values = status ? { status: status.toLowerCase() } : {};
  if (hours !== undefined) {
    const begin = day ? new Date(`${day}T${hours.padStart(2, "0")}:${minutes}:${seconds ?? "00"}`).getTime() : lastTime(hours, minutes, seconds);
    if (Number.isNaN(begin)) return null;
    values.since = timeOf(begin);
    values.until = timeOf(begin + (seconds === undefined ? 60_000 : 1000));
  }
  if (slowest) Object.assign(values, await slowestOf(/^p/i.test(slowest) ? slowest.slice(1) : "99", values, signal));
  return list("requests", values);
}

// The milliseconds that only the slowest take of all that fit; and since when, where the bridge does not look at all.
async function slowestOf(percentile, values, signal) {
  const { among } = await ask("/v1/requests", { ...values, percentile, limit: 1 }, signal);
  const since = among.counted_since ? { since: among.counted_since } : {};
  return { min_duration_ms: (among.duration_ns ?? 0) / 1e6, ...since };
}

function nothing(text) {
  const example = (words, what) => h("li", {}, h("code", {}, words), ` ${what}`);
  return panel("Nothing found",
    h("p", {}, "Nothing is stored here under ", h("code", {}, text), ". It may have expired, or belong to another host’s bridge."),
    h("p", {}, "What can be found:"),
    h("ul", {}, example("4bf92f3577b34da6a3ce929d0e0e4736", "a trace id, or an alias of a connection"), example("00-4bf9…-00f0…-01", "a traceparent"),
      example("00f067aa0ba902b7", "a request’s span id"), example("5e0f…-…", "an x-request-id"), example("192.0.2.2:41230", "one end; with two, the pair"),
      example("192.0.2.0/24", "a network"), example("503 10:04", "a status and a minute, by this computer’s clock"), example("p99 10:04", "the slowest requests of a minute")));
}

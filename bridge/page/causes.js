// The first view: where the trouble is. Causes by party over time, each with an example.

import { ask, follow } from "./api.js";
import { bars } from "./chart.js";
import { h } from "./dom.js";
import { nothingYet } from "./states.js";
import { PARTIES, clock, count, counted, leftOut, lengthMs, minute, partyName, percent, plain, timeOf } from "./words.js";

const EVERY_MS = 5000;

// What is looked at while it goes on.
const WINDOWS = { "15m": "15 minutes", "1h": "hour", "6h": "6 hours", "24h": "24 hours" };

// Lengths of a bar in seconds, and how many there may be.
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];
const BARS = 72;

const OWNERS = { client: "the client’s", network: "the network’s", kernel: "the kernel queues’", proxy: "the proxy’s", service: "the service’s" };

export async function show({ main, parameters, signal, go }) {
  const span = spanOf(parameters);
  const cluster = parameters.get("cluster") ?? "";
  const at = (since, until, more = {}) => `/?${new URLSearchParams({ ...more, since, ...(until && { until }), ...(cluster && { cluster }) })}`;
  let before = "";
  const once = async () => {
    const [answer, ready] = await Promise.all([ask("/v1/causes", { ...span.query(), cluster }, signal), ask("/readyz", {}, signal).catch(() => ({ missing: [] }))]);
    const text = JSON.stringify([answer, ready]);
    if (text === before) return;
    before = text;
    draw(answer, ready);
  };
  await once();
  if (span.goesOn) follow(EVERY_MS, signal, () => once().catch(() => {}));

  function draw(answer, ready) {
    const focused = document.activeElement?.id;
    // What is counted here, whenever the link is followed.
    const within = (more) => at(...span.ends(answer), more);
    const parts = [
      h("div", { class: "head" }, h("h1", {}, headline(answer)), windows(), span.key && h("a", { class: "clear", id: "fixed", href: within() }, "Link to this time")),
      answer.incomplete && h("p", { class: "note warn" }, `${leftOut(answer.incomplete)}.`),
      answer.requests === 0 && answer.causes.length === 0 ? empty(ready) : picture(answer),
      answer.causes.length > 0 && table(answer, within),
      answer.unattributed && notInRequests(answer.unattributed, within),
    ];
    main.replaceChildren(...parts.filter(Boolean));
    if (focused) document.getElementById(focused)?.focus();
  }

  function windows() {
    return h("fieldset", { class: "segments" }, h("legend", { class: "sr" }, "Time"),
      Object.keys(WINDOWS).map((key) => h("label", {},
        h("input", { type: "radio", name: "since", id: `since-${key}`, value: key, checked: key === span.key, onchange: () => go(at(key), { replace: true }) }),
        h("span", {}, key))));
  }

  function headline({ requests, causes, unattributed }) {
    if (requests === 0 && causes.length === 0) return `No requests ${span.words}`;
    if (causes.length === 0) return `No request failed or was slow ${span.words}${unattributed ? `; trouble on ${counted(unattributed.connections, "connection")}` : ""}`;
    const [{ party, code }] = causes;
    if (party === "unknown") return `Most trouble is not attributed: ${plain(code)}`;
    return `Most trouble is ${OWNERS[party] ?? plain(party)}: ${plain(code)}`;
  }

  function empty(ready) {
    return h("div", { class: "card" }, nothingYet(ready.missing, "traffic"));
  }

  function picture({ buckets, causes, requests, failed }) {
    if (!buckets) return null;
    const parties = PARTIES.filter((party) => causes.some((cause) => cause.party === party));
    const layers = parties.map((party) => ({ party, values: sum(causes.filter((cause) => cause.party === party).map((cause) => cause.series)) }));
    const connects = causes.reduce((sum, cause) => sum + connectsOf(cause), 0);
    return h("section", { class: "card", "aria-label": "Trouble over time" },
      h("div", { class: "figures" },
        figure(count(failed), `of ${counted(requests, "request")} failed or were slow ${span.words}`), figure(percent(requests - failed, requests), "had no trouble"),
        connects > 0 && figure(count(connects), `${connects === 1 ? "connect" : "connects"} failed that no request waited for`),
        h("ul", { class: "legend" }, parties.map((party) => h("li", {}, swatch(party), partyName(party))))),
      bars(buckets, layers, (from, until) => go(at(timeOf(from), timeOf(until)))));
  }

  function table({ causes }, within) {
    const whole = causes.reduce((sum, cause) => sum + cause.count, 0);
    return h("section", { class: "card causes" }, h("table", {},
      h("caption", { class: "sr" }, "Causes, the most frequent first"),
      h("thead", {}, h("tr", {}, ["Who", "What", "Count", "Share", "The latest"].map((word, n) => h("th", { scope: "col", class: n === 2 || n === 3 ? "number" : null }, word)))),
      h("tbody", {}, causes.map((cause) => h("tr", {},
        h("td", { class: "who" }, swatch(cause.party), partyName(cause.party)),
        h("td", {}, h("a", { href: within(listOf(cause)) }, plain(cause.code)), cause.requests > 0 && connectsOf(cause) > 0 && h("span", { class: "faint" }, ` and ${counted(connectsOf(cause), "connect")}`)),
        h("td", { class: "number" }, count(cause.count)),
        h("td", { class: "number" }, percent(cause.count, whole)),
        h("td", { class: "sentence" }, h("a", { href: `/?${cause.example.kind}=${encodeURIComponent(cause.example.id)}` }, cause.example.sentence)))))));
  }
}

// Which time the address means, and how it is asked for: a window that goes on, or one that stays.
function spanOf(parameters) {
  const [since, until] = [parameters.get("since") || "1h", parameters.get("until")];
  const length = until ? null : lengthMs(since);
  const from = length === null ? Date.parse(since) : Date.now() - length;
  const step = stepOf((until ? Date.parse(until) : Date.now()) - from);
  // Bars begin at round times, and stay where they are from one look to the next.
  const begin = () => (length === null ? since : timeOf(Math.ceil((Date.now() - length) / (step * 1000)) * step * 1000));
  const shown = (time) => (Number.isNaN(Date.parse(time)) ? time : step < 60 ? clock(time) : minute(new Date(time)));
  return {
    key: length === null ? null : since,
    goesOn: !until,
    words: length !== null ? `in the last ${WINDOWS[since] ?? since}` : until ? `from ${shown(since)} until ${shown(until)}` : `since ${shown(since)}`,
    query: () => ({ since: begin(), until, step: step && `${step}s` }),
    // As the answer tells them: its clock is not the reader's.
    ends: ({ buckets }) => {
      if (!buckets || until) return [since, until];
      const start = Date.parse(buckets.started_at);
      return [timeOf(start), timeOf(start + (buckets.requests.length * buckets.step_ns) / 1e6)];
    },
  };
}

// A length of bars that so much time has few enough of, in seconds; null where there is no such time.
function stepOf(ms) {
  if (!(ms > 0)) return null;
  return STEPS.find((step) => ms <= step * 1000 * BARS) ?? Math.ceil(ms / 86_400_000 / BARS) * 86_400;
}

// What connections had to send again, or waited for, that is in no request's time.
function notInRequests({ connections, retransmitted, waited, looked_at: lookedAt, example }, within) {
  const lists = { view: "connections" };
  return h("section", { class: "card" }, h("h2", {}, "Not in any request’s time"),
    h("p", {}, `Trouble on ${count(connections)} of ${counted(lookedAt, "connection")}: `,
      h("a", { href: within({ ...lists, min_retransmits: 1 }) }, `${count(retransmitted)} retransmitted`), ", ",
      h("a", { href: within({ ...lists, min_wait_ms: 100 }) }, `${count(waited)} waited 100 ms or more in this host’s queues`), ". ",
      example && h("a", { href: `/?connection=${encodeURIComponent(example)}` }, "The latest")));
}

// The requests with a cause; its connections, where none of them failed one.
const listOf = (cause) => ({ view: cause.requests > 0 ? "requests" : "connections", cause: cause.code, party: cause.party });

// Connects that failed, and no request with them.
const connectsOf = (cause) => cause.count - cause.requests;

const figure = (value, what) => h("p", { class: "figure" }, h("strong", {}, value), ` ${what}`);

export const swatch = (party) => h("i", { class: `swatch ${party}`, "aria-hidden": "true" });

const sum = (series) => series[0].map((_, n) => series.reduce((total, values) => total + values[n], 0));

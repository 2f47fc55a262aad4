// The first view: where the trouble is. Causes by party over time, each with an example.

import { ask, follow } from "./api.js";
import { bars } from "./chart.js";
import { h } from "./dom.js";
import { nothingYet } from "./states.js";
import { PARTIES, count, counted, moment, partyName, percent, plain } from "./words.js";

const EVERY_MS = 5000;

// What is looked at, and the width of a bar in seconds.
const WINDOWS = { "15m": ["15 minutes", 15], "1h": ["hour", 60], "6h": ["6 hours", 360], "24h": ["24 hours", 1440] };

const OWNERS = { client: "the client’s", network: "the network’s", kernel: "the kernel queues’", proxy: "the proxy’s", service: "the service’s" };

export async function show({ main, parameters, signal, go }) {
  const since = parameters.get("since") in WINDOWS ? parameters.get("since") : "1h";
  const cluster = parameters.get("cluster") ?? "";
  const step = WINDOWS[since][1];
  // Bars begin at round times, and stay where they are from one look to the next.
  const begin = () => new Date(Math.ceil(Date.parse(moment(since)) / (step * 1000)) * step * 1000).toISOString();
  const query = () => ({ since: begin(), cluster, step: `${step}s` });
  let before = "";
  const once = async () => {
    const [answer, ready] = await Promise.all([ask("/v1/causes", query(), signal), ask("/readyz", {}, signal).catch(() => ({ missing: [] }))]);
    const text = JSON.stringify([answer, ready]);
    if (text === before) return;
    before = text;
    draw(answer, ready);
  };
  await once();
  follow(EVERY_MS, signal, () => once().catch(() => {}));

  function draw(answer, ready) {
    const focused = document.activeElement?.id;
    const parts = [
      h("div", { class: "head" }, h("h1", {}, headline(answer)), windows()),
      answer.requests === 0 && answer.causes.length === 0 ? empty(ready) : picture(answer),
      answer.causes.length > 0 && table(answer),
    ];
    main.replaceChildren(...parts.filter(Boolean));
    if (focused) document.getElementById(focused)?.focus();
  }

  function windows() {
    return h("fieldset", { class: "segments" }, h("legend", { class: "sr" }, "Time"),
      Object.keys(WINDOWS).map((key) => h("label", {},
        h("input", { type: "radio", name: "since", id: `since-${key}`, value: key, checked: key === since, onchange: () => go(`/?${new URLSearchParams({ since: key, ...(cluster && { cluster }) })}`, { replace: true }) }),
        h("span", {}, key))));
  }

  function headline({ requests, failed, causes }) {
    const span = `in the last ${WINDOWS[since][0]}`;
    if (requests === 0 && causes.length === 0) return `No requests ${span}`;
    if (causes.length === 0) return `Nothing failed, and nothing was slow ${span}`;
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
    return h("section", { class: "card", "aria-label": "Trouble over time" },
      h("div", { class: "figures" },
        figure(count(failed), `of ${counted(requests, "request")} failed or were slow in the last ${WINDOWS[since][0]}`), figure(percent(requests - failed, requests), "had no trouble"),
        h("ul", { class: "legend" }, parties.map((party) => h("li", {}, swatch(party), partyName(party))))),
      bars(buckets, layers));
  }

  function table({ causes }) {
    const whole = causes.reduce((sum, cause) => sum + cause.count, 0);
    return h("section", { class: "card causes" }, h("table", {},
      h("caption", { class: "sr" }, "Causes, the most frequent first"),
      h("thead", {}, h("tr", {}, ["Who", "What", "Count", "Share", "The latest"].map((word, n) => h("th", { scope: "col", class: n === 2 || n === 3 ? "number" : null }, word)))),
      h("tbody", {}, causes.map((cause) => h("tr", {},
        h("td", { class: "who" }, swatch(cause.party), partyName(cause.party)),
        h("td", {}, h("a", { href: listOf(cause, since, cluster) }, plain(cause.code))),
        h("td", { class: "number" }, count(cause.count)),
        h("td", { class: "number" }, percent(cause.count, whole)),
        h("td", { class: "sentence" }, h("a", { href: `/?${cause.example.kind}=${encodeURIComponent(cause.example.id)}` }, cause.example.sentence)))))));
  }
}

// The requests with a cause; its connections, where none of them failed one.
function listOf(cause, since, cluster) {
  const view = cause.requests > 0 ? "requests" : "connections";
  return `/?${new URLSearchParams({ view, cause: cause.code, party: cause.party, since, ...(cluster && { cluster }) })}`;
}

const figure = (value, what) => h("p", { class: "figure" }, h("strong", {}, value), ` ${what}`);

export const swatch = (party) => h("i", { class: `swatch ${party}`, "aria-hidden": "true" });

const sum = (series) => series[0].map((_, n) => series.reduce((total, values) => total + values[n], 0));

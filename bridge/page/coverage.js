// What is seen and what is not: the share that was joined, by method, and every loss.

import { ask, follow } from "./api.js";
import { h } from "./dom.js";
import { count, percent, plain } from "./words.js";

const EVERY_MS = 5000;

export async function show({ main, signal }) {
  const once = async () => draw(await ask("/v1/coverage", {}, signal));
  await once();
  follow(EVERY_MS, signal, () => once().catch(() => {}));

  function draw(coverage) {
    const joined = coverage.requests.joined.reduce((sum, join) => sum + join.count, 0);
    const all = joined + coverage.requests.unjoined.reduce((sum, join) => sum + join.count, 0);
    const sentence = all === 0 ? "No request has settled yet" : `${percent(joined, all)} of ${count(all)} settled requests were joined to their connection`;
    main.replaceChildren(
      h("div", { class: "head" }, h("h1", {}, coverage.lost > 0 ? `${sentence}; ${count(coverage.lost)} facts were lost` : `${sentence}; nothing was lost`)),
      h("div", { class: "columns-2" }, joins(coverage, all), ledger(coverage)),
      senders(coverage));
  }
}

function joins({ requests }, all) {
  const rows = [
    ...requests.joined.map((join) => [plain(join.method), join.confidence, join.count]),
    ...requests.unjoined.map((join) => ["not joined", plain(join.missing), join.count]),
  ];
  return h("section", { class: "card" }, h("h2", {}, "Requests, by join"), rows.length === 0 ? h("p", { class: "faint" }, "None yet.") : table(["How", "How sure", "Count", "Share"], rows.map(([how, sure, n]) => [how, sure, count(n), percent(n, all)]), 2));
}

function ledger(coverage) {
  const { connections, requests } = coverage;
  const contradictions = Object.values(coverage.contradictions).reduce((sum, n) => sum + n, 0);
  return h("section", { class: "card" }, h("h2", {}, "The ledger"), table(["What", "Count"], [
    ["The probe’s rung", coverage.rung ? coverage.rung.name : "no probe"],
    ...(coverage.rung?.missing ?? []).map((reason) => [`Missing: ${reason}`, "–"]),
    ...Object.entries(coverage.rung?.counted ?? {}).map(([what, n]) => [`Counted by the probe: ${plain(what)}`, count(n)]),
    ["Connections live · settled", `${count(connections.live)} · ${count(connections.settled)}`],
    ["Requests live · settled", `${count(requests.live)} · ${count(requests.settled)}`],
    ["Records settled early, because there were too many", count(connections.evicted + requests.evicted)],
    ["Facts lost", count(coverage.lost)], ["Facts too late", count(coverage.late)], ["Facts delivered again", count(coverage.duplicates)],
    ["Facts that contradict others", count(contradictions)], ["Batches that could not be read", count(coverage.undecodable)],
  ], 1));
}

function senders(coverage) {
  if (coverage.senders.length === 0) return h("section", { class: "card" }, h("h2", {}, "Senders"), h("p", { class: "faint" }, "Nobody has sent anything. `syntrace doctor` names the link that is broken."));
  return h("section", { class: "card" }, h("h2", {}, "Senders"), table(["Sender", "Run", "Shut down cleanly", "Received", "Missing", "Lost, by its own count"],
    coverage.senders.map((sender) => [sender.name, h("span", { class: "mono" }, sender.epoch), sender.goodbye ? "yes" : "–", count(sender.received), count(sender.missing),
      Object.entries(sender.lost).map(([cause, n]) => `${plain(cause)} ${count(n)}`).join(", ") || "0"]), 3));
}

// `numbers`: the column from which on they are right-aligned.
function table(heads, rows, numbers) {
  const cell = (n) => (n >= numbers ? "number" : null);
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": heads.join(", ") }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((word, n) => h("th", { scope: "col", class: cell(n) }, word)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((value, n) => h("td", { class: cell(n) }, value)))))));
}

// The live lists of requests and of connections, with their filters. The filters are the address.

import { ask, follow, listen } from "./api.js";
import { swatch } from "./causes.js";
import { h, say } from "./dom.js";
import { longList } from "./list.js";
import { nothingYet, sentence } from "./states.js";
import { between, clock, counted, duration, isFailure, leftOut, moment, partyName, plain, PARTIES } from "./words.js";

// What settles is told; what is still open is looked for so often.
const EVERY_MS = 5000;
const PAGE = 200;

const OUTCOMES = ["established", "closed", "refused", "unanswered", "unreachable", "aborted", "reset_by_peer", "reset_locally", "timed_out", "connecting"];
const parties = { label: "Who", choices: PARTIES, words: partyName };
const cause = { label: "What", hint: "connect_refused" };
const since = { label: "Since", hint: "15m or 10:04" };
const until = { label: "Until", hint: "5m or 10:05" };
const network = { label: "Network", hint: "192.0.2.0/24" };
const dye = { label: "Dye", hint: "gray=v2" };
const cluster = { label: "Cluster", hint: "service" };
const retransmits = { label: "Retransmits ≥", hint: "1", narrow: true };

const KINDS = {
  requests: {
    title: "Requests",
    filters: {
      status: { label: "Status", hint: "503 or 5xx", narrow: true }, party: parties, cause, since, until,
      min_duration_ms: { label: "Took ≥ ms", hint: "100", narrow: true }, min_wait_ms: { label: "Waited ≥ ms", hint: "10", narrow: true },
      min_retransmits: retransmits, peer: { label: "Client", hint: "192.0.2.2:41230" }, network, cluster, dye, grpc_status: { label: "gRPC", hint: "14", narrow: true },
    },
    columns: [
      { name: "Time", class: "time", of: (request) => clock(request.started_at) },
      { name: "Status", class: "status", of: status },
      { name: "Request", class: "what", of: (request) => [h("b", {}, request.method || (request.tcp_session ? "TCP" : "")), " ", request.path || request.server_name || ""] },
      { name: "Took", class: "number", of: (request) => duration(request.duration_ns) },
      { name: "Why", class: "why", of: (request) => why(request.cause) },
    ],
  },
  connections: {
    title: "Connections",
    filters: {
      outcome: { label: "Outcome", choices: OUTCOMES, words: plain }, role: { label: "Role", choices: ["downstream", "upstream"], words: plain },
      party: parties, cause, since, until, local: { label: "Local", hint: "192.0.2.1:80" }, peer: { label: "Peer", hint: "192.0.2.2:41230" }, network,
      min_wait_ms: { label: "Waited ≥ ms", hint: "10", narrow: true }, min_retransmits: retransmits, at: { label: "Alive at", hint: "10:04:05" }, dye, cluster,
    },
    columns: [
      { name: "Time", class: "time", of: (connection) => { const at = beganAt(connection); return at ? clock(at) : "not seen"; } },
      { name: "Outcome", class: "status", of: (connection) => h("span", { class: isFailure(connection.outcome) ? "bad" : null }, connection.outcome ? plain(connection.outcome) : "proxy only") },
      { name: "From → to", class: "ends", of: ends },
      { name: "Handshake", class: "number", of: (connection) => duration(phase(connection, "handshake")) },
      { name: "Accept wait", class: "number", of: (connection) => duration(phase(connection, "accept_wait")) },
      { name: "Requests", class: "number few", of: (connection) => String(connection.requests.length + connection.requests_evicted) },
      { name: "Why", class: "why", of: (connection) => connection.cause ? why(connection.cause) : "" },
    ],
  },
};

export async function show({ main, parameters, signal, go }) {
  const fixed = absolute(parameters);
  if (fixed) return go(`/?${fixed}`, { replace: true });
  const name = parameters.get("view");
  const kind = KINDS[name];
  const given = [...parameters].filter(([key, value]) => key in kind.filters && value);
  const query = (cursor) => {
    return { ...Object.fromEntries(given), limit: PAGE, cursor };
  };
  const get = async (cursor) => {
    const page = await ask(`/v1/${name}`, query(cursor), signal);
    incomplete = page.incomplete ?? null;
    return { records: page[name], next: page.next };
  };
  const counted_ = h("p", { class: "quiet", id: "counted" });
  let [unseen, incomplete] = [0, null];
  const list = longList({ label: kind.title, columns: kind.columns, address: (record) => `/?${name.slice(0, -1)}=${encodeURIComponent(record.id)}`, more: get, began: (record) => record.started_at ?? beganAt(record) ?? "", failed: () => { counted_.textContent = "The next page could not be loaded."; } });
  list.place.classList.add(name);
  const live = h("input", { type: "checkbox", id: "live", checked: true });
  const bottom = h("div", { class: "under" });

  const once = async () => {
    if (!live.checked && list.size() > 0) return;
    if (list.isFull()) list.clear();
    list.newest(await get(null));
    await tell();
  };
  async function tell() {
    const size = list.size();
    counted_.textContent = `${counted(size, name.slice(0, -1))}${list.hasMore() ? " loaded, more below" : ""}${unseen > 0 ? `; ${counted(unseen, "record")} settled too fast to be listed` : ""}${incomplete ? `; ${leftOut(incomplete)}` : ""}`;
    list.place.hidden = size === 0;
    const why = size > 0 ? "" : incomplete ? "anew" : "none";
    if (bottom.dataset.why === why) return;
    const words = async () => given.length > 0 ? noneFit() : nothingYet((await ask("/readyz", {}, signal)).missing, name);
    const below = why === "" ? [] : [why === "anew" ? beingMade() : await words()];
    bottom.dataset.why = why;
    bottom.replaceChildren(...below);
  }
  const beingMade = () => h("div", { class: "empty" }, h("h2", {}, `Not all ${name} can be read`), h("p", {}, "They are being rebuilt from the log, and appear as soon as they are done."));
  const noneFit = () => h("div", { class: "empty" }, h("h2", {}, `No ${name} match`), h("p", {}, "No stored record has all of these: ", given.map(([key, value]) => [h("code", {}, `${key}=${value}`), " "])), h("p", {}, h("a", { href: `/?view=${name}` }, `All ${name}`)));

  const filters = form(name, kind, given, go);
  try {
    await once();
    say(counted_.textContent);
    const { limit, cursor, ...filter } = query(null);
    listen(`/v1/${name}`, filter, signal, {
      begun: () => once().catch(() => {}),
      record: (record) => { if (live.checked) { list.put(record); tell(); } },
      missed: (count) => { unseen += count; tell(); },
    });
    follow(EVERY_MS, signal, () => once().catch(() => {}));
  } catch (error) {
    if (error.kind !== "invalid") throw error;
    bottom.replaceChildren(h("div", { class: "empty", role: "alert" }, h("h2", {}, "The filter has no meaning"), h("p", {}, sentence(error.message))));
    list.place.hidden = true;
  }
  main.replaceChildren(
    h("div", { class: "head" }, h("h1", {}, kind.title), counted_, h("label", { class: "toggle" }, live, "Follow")),
    filters, h("section", { class: "card" }, list.place, bottom));
}

// The same parameters with points in time in place of `15m` and `10:04`: the address shows the same tomorrow. Null where
// it has none of them.
function absolute(parameters) {
  const fixed = new URLSearchParams(parameters);
  for (const name of ["since", "until", "at"]) {
    const [text, time] = [fixed.get(name), moment(fixed.get(name))];
    if (text && time !== text) fixed.set(name, time);
  }
  return String(fixed) === String(parameters) ? null : fixed;
}

// The filters that are set are shown, and the few that are used most; the others unfold.
function form(name, kind, given, go) {
  const set = new Map(given);
  const first = matchMedia("(max-width: 900px)").matches ? [] : Object.keys(kind.filters).slice(0, 5);
  const field = (key) => {
    const filter = kind.filters[key];
    const value = set.get(key) ?? "";
    const common = { id: `filter-${key}`, name: key, class: filter.narrow ? "narrow" : null };
    const control = filter.choices
      ? h("select", { ...common, onchange: apply }, h("option", { value: "" }, "any"), filter.choices.map((choice) => h("option", { value: choice, selected: choice === value }, filter.words(choice))))
      : h("input", { ...common, value, placeholder: filter.hint, spellcheck: "false", autocomplete: "off", onchange: apply });
    return h("div", { class: "field" }, h("label", { for: `filter-${key}` }, filter.label), control);
  };
  const [shown, folded] = [[], []];
  for (const key of Object.keys(kind.filters)) (first.includes(key) || set.has(key) ? shown : folded).push(field(key));
  const element = h("form", { class: "filters", "aria-label": "Filters", onsubmit: apply },
    shown, h("details", { class: "more" }, h("summary", {}, shown.length > 0 ? "More filters" : "Filters"), h("div", { class: "fields" }, folded)),
    given.length > 0 && h("a", { class: "clear", href: `/?view=${name}` }, "Clear"),
    h("button", { class: "sr", type: "submit" }, "Apply"));
  function apply(event) {
    event.preventDefault();
    const values = [...new FormData(element)].filter(([, value]) => value.trim());
    const changed = event.target.id;
    go(`/?${new URLSearchParams([["view", name], ...values.map(([key, value]) => [key, value.trim()])])}`, { replace: true }).then(() => document.getElementById(changed)?.focus());
  }
  return element;
}

function status(request) {
  const bad = request.status === null || request.status >= 500 || request.grpc_status > 0;
  const grpc = request.grpc_status === null ? "" : ` · ${request.grpc_status}`;
  return h("span", { class: bad ? "bad" : null, title: request.grpc_status === null ? null : "HTTP status · gRPC status" }, request.tcp_session ? "–" : `${request.status ?? "none"}${grpc}`);
}

export const why = ({ party, sentence, confidence }) => [swatch(party), h("span", { class: "sr" }, `${partyName(party)}: `), sentence, confidence !== "certain" && h("em", { class: "tag" }, confidence)];

export const phase = (connection, name) => connection.phases.find((phase) => phase.name === name)?.duration_ns ?? null;

export const beganAt = (connection) => connection.syn_at ?? connection.established_at ?? connection.phases[0]?.started_at ?? connection.requests[0]?.started_at ?? null;

// Who opened it goes first.
export function ends({ opening, local, peer }) {
  if (!local) return "addresses not known";
  const [from, to] = opening === "passive" ? [peer, local] : [local, peer];
  return h("span", { class: "mono" }, from, h("span", { class: "arrow" }, " → "), to);
}

export const lifeNs = (connection) => (beganAt(connection) && connection.closed_at ? between(beganAt(connection), connection.closed_at) : null);

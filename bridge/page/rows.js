// Turns records into the timeline's rows: what happened when, and whose it was.

import { beganAt, lifeNs } from "./lists.js";
import { between, counted, isFailure, joinWords, plain } from "./words.js";

// Moves a time on by nanoseconds.
export function later(time, ns) {
  const [whole, fraction] = time.replace("Z", "").split(".");
  const all = Number((fraction ?? "").padEnd(9, "0").slice(0, 9)) + ns;
  const seconds = Date.parse(`${whole}Z`) / 1000 + Math.floor(all / 1e9);
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(Math.round(all % 1e9)).padStart(9, "0")}Z`;
}

export const endOf = (request) => later(request.started_at, request.duration_ns);

// What a phase is called on the picture; its colour is its party's, where it has one.
const PHASES = {
  handshake: ["network", "handshake"], accept_wait: ["kernel", "waits to be accepted"], tls: ["tls", "TLS handshake"], open: ["open", "open"],
  request_wait: ["client", "waits for the client’s request"], head: ["client", "waits for the rest of its head"], failed_attempts: ["failed", "failed attempts"], backoff: ["proxy", "waits before the next attempt"], pool_wait: ["proxy", "waits for an upstream connection"],
  upstream_handshake: ["network", "upstream handshake"], request_lost: ["network", "request retransmitted"], round_trip: ["network", "round trip"],
  service: ["service", "waits for the service"], response: ["rest", "response"], proxy: ["proxy", "in the proxy"], session: ["rest", "session"], unreported: ["rest", "not reported"],
};

// A phase as a bar; one that says when it began, or how long after `from`.
function bar(phase, from) {
  const [known, words] = PHASES[phase.name] ?? ["rest", plain(phase.name)];
  // Whose a stretch was may differ from case to case: the bridge knows.
  const name = ["tls", "open", "failed"].includes(known) || !phase.party ? known : phase.party;
  const begin = phase.started_at ?? later(from, phase.after_ns);
  return { from: begin, until: later(begin, phase.duration_ns), class: name, words };
}

export function connectionRow(connection, depth, note) {
  const failed = isFailure(connection.outcome) && !connection.established_at;
  const bars = connection.phases.map((phase) => bar(phase, beganAt(connection)));
  for (const one of bars) if (failed && one.words === "handshake") Object.assign(one, { class: "failed", words: `connect, ${plain(connection.outcome)}` });
  // Not closed yet: open to the end of what is shown.
  if (connection.established_at && !connection.closed_at) bars.push({ from: connection.accepted_at ?? connection.established_at, until: null, class: "open", words: "open" });
  bars.sort((a, b) => (b.class === "open") - (a.class === "open"));
  const syn = connection.opening === "active" ? ["SYN sent", "SYN-ACK received"] : ["SYN received", "SYN-ACK sent"];
  const marks = [["syn_at", syn[0]], ["syn_ack_at", syn[1]], ["established_at", "established"], ["accepted_at", "accepted"]]
    .filter(([key]) => connection[key]).map(([key, words]) => ({ at: connection[key], class: "step", words }));
  if (connection.closed_at) marks.push({ at: connection.closed_at, class: isFailure(connection.outcome) ? "end-bad" : "step", words: plain(connection.outcome) });
  for (const incident of connection.incidents ?? []) {
    if (incident.at) marks.push({ at: incident.at, class: "incident", words: incidentWords(incident) });
  }
  const role = connection.role === "upstream" ? "to" : connection.role === "downstream" ? "from" : "with";
  return { label: `TCP ${role} ${connection.peer ?? "an unknown end"}`, tag: note ?? connection.outcome?.replaceAll("_", " "), depth, href: `/?connection=${encodeURIComponent(connection.id)}`, bad: isFailure(connection.outcome), bars, marks, connection };
}

const INCIDENTS = {
  retransmit: "data was retransmitted", zero_window: "the peer’s receive window was closed", accept_overflow: "the accept queue was full", syn_overflow: "the SYN queue was full", syn_cookies: "answered with SYN cookies",
};

// What happened, how often, and how full the accept queue was.
export function incidentWords({ kind, count, queue }) {
  const often = count > 1 ? `, ${count} times` : "";
  return `${INCIDENTS[kind] ?? plain(kind)}${often}${queue ? `, ${queue.length} of ${queue.max} waited` : ""}`;
}

export function requestRow(request, depth, join) {
  const bars = request.phases ? request.phases.filter((phase) => phase.duration_ns > 0).map((phase) => bar(phase, request.started_at)) : reportedBars(request);
  const sure = join?.connection && join.confidence !== "certain" ? (join.candidates > 1 ? `${join.confidence}, ${join.candidates} fit` : join.confidence) : null;
  const status = request.tcp_session ? "TCP session" : `${request.status ?? "no status"}${request.grpc_status === null ? "" : `, gRPC ${request.grpc_status}`}`;
  const bad = !request.tcp_session && (request.status === null || request.status >= 500 || request.grpc_status > 0);
  return { label: `${request.method || (request.tcp_session ? "session" : "")} ${request.path || request.server_name || ""}`.trim(), tag: [status, sure && `joined: ${sure}`].filter(Boolean).join(" · "), depth, href: `/?request=${request.id}`, bad, bars, marks: [], request, title: joinWords(join) };
}

// What Envoy alone says of the parts of a request.
function reportedBars(request) {
  const bars = [];
  const end = endOf(request);
  let from = request.started_at;
  const parts = [["pool_wait", request.upstream?.pool_wait_ns], ["service", request.upstream?.first_byte_ns], ["response", Infinity]];
  for (const [name, ns] of parts.filter(([, ns]) => ns)) {
    const left = between(from, end);
    if (left > 0 || bars.length === 0) bars.push(bar({ name, started_at: from, duration_ns: Math.max(1, Math.min(ns, left)) }));
    from = bars.at(-1).until;
  }
  return bars;
}

// From the first to the last that a row shows.
export function extent(rows) {
  const times = rows.flatMap((row) => [...row.bars.flatMap((bar) => [bar.from, bar.until ?? bar.from]), ...row.marks.map((mark) => mark.at)]);
  if (times.length === 0) return null;
  return times.reduce(([low, high], time) => [between(time, low) > 0 ? time : low, between(high, time) > 0 ? time : high], [times[0], times[0]]);
}

// From the SYN to a moment after the socket was taken: what a long life hides.
export function opening(connection) {
  const from = beganAt(connection);
  const until = connection.accepted_at ?? connection.established_at ?? connection.closed_at;
  if (!from || !until || !connection.syn_at) return null;
  const ns = between(from, until);
  return lifeNs(connection) !== null && lifeNs(connection) < 4 * ns ? null : { name: "Opening", from, until: later(until, Math.max(ns * 0.3, 1000)) };
}

export const requestCount = (connection) => counted(connection.requests.length + (connection.requests_evicted ?? 0), "request");

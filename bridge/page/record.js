// One connection, one request, or all under one trace id: the sentence first, then the picture, then how it is known.

import { ask, hasToken } from "./api.js";
import { swatch } from "./causes.js";
import { copyButton, h } from "./dom.js";
import { beganAt, ends, phase } from "./lists.js";
import { connectionRow, endOf, extent, incidentWords, opening, requestCount, requestRow } from "./rows.js";
import { timeline } from "./timeline.js";
import { PARTIES, between, bytes, clock, count, counted, duration, isFailure, joinWords, partyName, percent, plain } from "./words.js";

// Upstream connections that are drawn under their requests; the others are a click away.
const UPSTREAM_DRAWN = 40;

const ENDS = { connecting: "Connecting", established: "Open", closed: "Closed normally", reset_by_peer: "Reset by the peer", reset_locally: "Reset by this host", timed_out: "Timed out", unknown: "Ended; the kernel does not say how" };

let traceUrl;

async function settings(signal) {
  traceUrl ??= (await ask("/page/settings.json", {}, signal).catch(() => ({}))).trace_url ?? null;
}

export async function showConnection({ main, parameters, signal }) {
  const id = parameters.get("connection");
  const [connection] = await Promise.all([ask(`/v1/connections/${encodeURIComponent(id)}`, {}, signal), settings(signal)]);
  const trace = connection.requests.length > 0 ? await ask(`/v1/traces/${connection.trace_id}`, {}, signal) : { requests: [], connections: [] };
  const wanted = new Set(connection.requests.map((link) => link.id));
  const requests = trace.requests.filter((request) => wanted.has(request.id)).sort(byStart);
  const others = await upstreams(requests, new Map([[connection.id, connection], ...trace.connections.map((one) => [one.id, one])]), signal);
  const rows = [connectionRow(connection, 0), ...requests.flatMap((request) => withUpstreams(request, connection, others))];
  main.replaceChildren(
    head(connectionSentence(connection, requests), ends(connection), connection.trace_id, `/v1/connections/${encodeURIComponent(id)}`, connection.cause),
    picture(rows, opening(connection)),
    h("div", { class: "columns-2" }, connectionFacts(connection), seen(connection, requests)));
}

export async function showRequest({ main, parameters, signal }) {
  const id = parameters.get("request");
  const [request] = await Promise.all([ask(`/v1/requests/${encodeURIComponent(id)}`, {}, signal), settings(signal)]);
  const others = await upstreams([request], new Map(), signal, true);
  const downstream = others.get(request.received_on.connection);
  const rows = [downstream && connectionRow(downstream, 0), ...withUpstreams(request, downstream, others, downstream ? 1 : 0)].filter(Boolean);
  const span = { name: "The request", from: request.started_at, until: endOf(request) };
  main.replaceChildren(
    head(request.cause.sentence, h("span", { class: "mono" }, `${request.method} ${request.path}`), request.trace_id, `/v1/requests/${id}`, request.cause),
    shares(request), picture(rows, span, request.started_at),
    h("div", { class: "columns-2" }, requestFacts(request), joins(request, others)));
}

export async function showTrace({ main, parameters, signal }) {
  const id = parameters.get("trace");
  const [trace] = await Promise.all([ask(`/v1/traces/${encodeURIComponent(id)}`, {}, signal), settings(signal)]);
  const known = new Map(trace.connections.map((one) => [one.id, one]));
  const received = new Set(trace.requests.map((request) => request.received_on.connection));
  const roots = trace.connections.filter((one) => received.has(one.id) || one.requests.length === 0);
  const rows = roots.flatMap((connection) => [connectionRow(connection, 0), ...trace.requests.filter((request) => request.received_on.connection === connection.id).sort(byStart).flatMap((request) => withUpstreams(request, connection, known))]);
  const drawn = new Set(rows.map((row) => (row.connection ?? row.request).id));
  rows.push(...trace.requests.filter((request) => !drawn.has(request.id)).sort(byStart).flatMap((request) => withUpstreams(request, null, known, 0)));
  rows.push(...trace.connections.filter((one) => !rows.some((row) => row.connection?.id === one.id)).map((one) => connectionRow(one, 0)));
  main.replaceChildren(
    head(`${counted(trace.requests.length, "request")} and ${counted(trace.connections.length, "connection")} under one trace id`, "", trace.id, `/v1/traces/${trace.id}`), picture(rows));
}

const byStart = (a, b) => (a.started_at < b.started_at ? -1 : 1);

// Gets the connections that requests were joined to, as many as are drawn.
async function upstreams(requests, known, signal, all = false) {
  const ids = new Set(requests.flatMap((request) => [all && request.received_on, request.opened, request.served_by, ...(request.earlier ?? [])]).filter((join) => join?.connection).map((join) => join.connection));
  const missing = [...ids].filter((id) => !known.has(id)).slice(0, UPSTREAM_DRAWN);
  const got = await Promise.all(missing.map((id) => ask(`/v1/connections/${encodeURIComponent(id)}`, {}, signal).catch((error) => { if (error.name === "AbortError") throw error; return null; })));
  return new Map([...known, ...got.filter(Boolean).map((one) => [one.id, one])]);
}

// A request, and under it the connections to the service that it waited for; one that others opened is only named.
function withUpstreams(request, connection, others, depth = 1) {
  const here = [request.received_on, request.opened, request.served_by].find((join) => join?.connection && join.connection === connection?.id);
  const row = requestRow(request, depth, here ?? request.received_on);
  const earlier = (request.earlier ?? []).map((join) => others.get(join.connection)).filter(Boolean).map((one) => connectionRow(one, depth + 1, `an attempt before · ${plain(one.outcome)}`));
  const opened = others.get(request.opened?.connection);
  const carrier = others.get(request.served_by?.connection);
  if (carrier && carrier.id !== opened?.id && carrier.id !== connection?.id) row.tag += ` · via ${carrier.peer}`;
  if (!opened || opened.id === connection?.id) return [row, ...earlier];
  const failed = isFailure(opened.outcome) && !opened.established_at;
  return [row, ...earlier, connectionRow(opened, depth + 1, failed ? `failed it · ${plain(opened.outcome)}` : "opened for it")];
}

function picture(rows, span, focusAt) {
  const all = extent(rows);
  if (!all) return h("section", { class: "card" }, h("p", { class: "empty" }, "No time of it was observed."));
  const whole = { name: "All", from: all[0], until: all[1] };
  // A pooled connection may be hours older than what is looked at.
  const near = focusAt && between(all[0], all[1]) > 50 * Math.max(1e6, between(span.from, span.until));
  return h("section", { class: "card", "aria-label": "Timeline" }, timeline(rows, span ? (near ? [span, whole] : [whole, span]) : [whole]));
}

function head(sentence, about, traceId, json, cause) {
  const link = traceUrl ? traceUrl.replaceAll("{trace_id}", encodeURIComponent(traceId)) : null;
  return h("div", { class: "record-head" },
    cause && h("p", { class: "party" }, swatch(cause.party), partyName(cause.party), h("span", { class: "faint" }, plain(cause.code)), h("em", { class: "tag" }, cause.candidates > 1 ? `${cause.confidence}: ${cause.candidates} fit` : cause.confidence)),
    h("h1", {}, sentence), h("p", { class: "about" }, about),
    h("div", { class: "ids" }, h("span", { class: "faint" }, "trace"), h("a", { class: "mono", href: `/?trace=${traceId}` }, traceId), copyButton(traceId, "trace id"),
      jsonLink(json), link && h("a", { href: link, target: "_blank", rel: "noreferrer" }, "Open in the tracing backend")));
}

// A link cannot carry a token: then it opens what the page has fetched.
function jsonLink(path) {
  return h("a", { href: path, target: "_blank", rel: "noreferrer", onclick: open }, "Open as JSON");
  async function open(event) {
    if (!hasToken()) return;
    event.preventDefault();
    const text = JSON.stringify(await ask(path), null, 2);
    window.open(URL.createObjectURL(new Blob([text], { type: "application/json" })), "_blank", "noreferrer");
  }
}

function connectionSentence(connection, requests) {
  const failed = requests.filter((request) => request.opened?.connection === connection.id && request.cause.code === connection.cause?.code);
  if (connection.cause) {
    const { sentence } = connection.cause;
    // The bridge's sentence may say so already.
    return failed.length > 0 && !/request/.test(sentence) ? `${sentence}; ${counted(failed.length, "request")} failed because of it` : sentence;
  }
  const state = connection.outcome === null ? "Seen by the proxy only" : ENDS[connection.outcome] ?? plain(connection.outcome);
  const life = beganAt(connection) && connection.closed_at ? ` after ${duration(between(beganAt(connection), connection.closed_at))}` : "";
  return `${state}${life}, with ${requestCount(connection)}`;
}

// Where the time of a request went, by party, to scale and in numbers.
function shares({ time, duration_ns: whole }) {
  const parts = PARTIES.map((party) => [party, time[`${party}_ns`]]).filter(([, ns]) => ns > 0);
  const total = parts.reduce((sum, [, ns]) => sum + ns, 0);
  const bar = h("div", { class: "share", "aria-hidden": "true" }, parts.map(([party, ns]) => {
    const piece = h("span", { class: `fill-css ${party}` });
    piece.style.flexGrow = String(ns / total);
    return piece;
  }));
  return h("section", { class: "card", "aria-label": "Where the time went" }, bar,
    h("dl", { class: "shares" }, parts.map(([party, ns]) => h("div", {}, h("dt", {}, swatch(party), partyName(party)), h("dd", {}, duration(ns), h("span", { class: "faint" }, ` ${percent(ns, whole)}`))))));
}

const facts = (title, pairs) => h("section", { class: "card facts" }, h("h2", {}, title), h("dl", {}, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));

function connectionFacts(connection) {
  const c = connection.counters;
  return facts("The connection", [
    ["Outcome", connection.outcome && h("span", { class: isFailure(connection.outcome) ? "bad" : null }, plain(connection.outcome), connection.errno ? ` (errno ${connection.errno})` : "")],
    ["Began", beganAt(connection) && clock(beganAt(connection))],
    ["Handshake", phase(connection, "handshake") !== null && !connection.cause ? duration(phase(connection, "handshake")) : null],
    ["Accept wait", phase(connection, "accept_wait") !== null ? `${duration(phase(connection, "accept_wait"))}${connection.accepted_exactly ? "" : " at most"}` : null],
    ["Round trip", c && c.srtt_us ? `${duration(c.srtt_us * 1000)}, ${duration(c.min_rtt_us * 1000)} at best` : null],
    ["Bytes out · in", c && `${bytes(c.bytes_acked)} · ${bytes(c.bytes_received)}`],
    ["Segments out · in", c && c.segments_out + c.segments_in > 0 ? `${count(c.segments_out)} · ${count(c.segments_in)}` : null],
    ["Retransmitted", c && `SYN ${c.syn_retransmits}, SYN-ACK ${c.syn_ack_retransmits}, data ${c.retransmits}`],
    ["Reset", connection.reset_reason && plain(connection.reset_reason)],
    ["Process", connection.owner && `${connection.owner.pid}, thread ${connection.owner.tid}`],
    ["Tag in the SYN", connection.tag && h("span", {}, plain(connection.tag.state), " ", h("span", { class: "mono" }, connection.tag.id))],
    ["Also known as", connection.aliases.length > 0 ? connection.aliases.map((alias) => h("span", { class: "mono line" }, alias)) : null],
    ["Record", h("span", { class: "with-copy" }, h("span", { class: "mono" }, connection.id), copyButton(connection.id, "id of the record"))],
  ]);
}

// What is known of it, and how well.
function seen(connection, requests) {
  const { coverage } = connection;
  const how = { backfilled: "it is older than the probe", polled: "it was polled, without hooks" }[coverage.origin];
  const sure = new Map();
  for (const request of requests) {
    for (const join of [request.received_on, request.opened, request.served_by]) {
      if (join?.connection === connection.id) sure.set(joinWords(join), (sure.get(joinWords(join)) ?? 0) + 1);
    }
  }
  return facts("How it is known", [
    ["Kernel’s view", yes(coverage.kernel && coverage.handshake, coverage.handshake ? "from its SYN on" : coverage.kernel ? `the handshake was not observed${how ? `: ${how}` : ""}` : "missing: no probe saw it")],
    ["Proxy’s view", yes(coverage.proxy, coverage.proxy ? requestCount(connection) : "no request was joined to it")],
    ["Trace id", { filter: "minted by the filter with its first request", tag: "carried by its SYN", kernel: "minted by the probe", request: "of its first request: the kernel’s view is missing" }[connection.trace_id_source] ?? plain(connection.trace_id_source)],
    ...[...sure].map(([words, n]) => [counted(n, "join"), words]),
    ["Sampled", coverage.one_in > 1 ? `one of ${coverage.one_in} such connections is reported` : null],
    ["Left out", connection.requests_evicted > 0 ? `${counted(connection.requests_evicted, "older request")}: the record keeps the newest` : null],
    ...doubts(coverage),
    ["Evidence", connection.cause && connection.cause.evidence.map((one) => h("code", { class: "line" }, one))],
    ["State", connection.settled ? "settled: nothing more is expected" : "live: more is expected"],
  ]);
}

const yes = (is, words) => h("span", { class: is ? "yes" : "no" }, words);

// What makes a record less than whole; nothing, where it is whole.
function doubts(coverage) {
  const words = [
    [coverage.facts_lost, "facts of this time were lost on their way"], [coverage.close_missing, "its close was not reported"],
    [coverage.no_goodbye, "its reporter ended without goodbye"], [coverage.late, "facts came after it was settled"],
    [coverage.incidents_evicted, `${coverage.incidents_evicted} older incidents are left out`], [coverage.evicted, "it was settled early, because there were too many"],
    [coverage.contradictions?.length, `sources contradict each other: ${(coverage.contradictions ?? []).map(plain).join(", ")}`],
  ];
  const said = words.filter(([is]) => is).map(([, text]) => h("span", { class: "no line" }, text));
  return said.length > 0 ? [["In doubt", said]] : [];
}

function requestFacts(request) {
  const up = request.upstream;
  return facts("The request", [
    ["Status", `${request.status ?? "none"}${request.grpc_status === null ? "" : `, gRPC ${request.grpc_status}`}`],
    ["Began", clock(request.started_at)], ["Took", duration(request.duration_ns)],
    ["Host", request.authority], ["Protocol", request.protocol], ["Route", request.route],
    ["Began at the proxy", request.request_started_at !== request.started_at && request.request_started_at ? `${clock(request.request_started_at)}, took ${duration(request.request_duration_ns)}` : null],
    ["SNI", request.server_name], ["Stopped by", request.mark && `${plain(request.mark.reason)}, ${clock(request.mark.at)}`],
    ["Cluster", up?.cluster], ["Service", up && h("span", { class: "mono" }, up.peer)], ["Attempts", up && up.attempts > 1 ? String(up.attempts) : null],
    ["Waited for a connection", up?.pool_wait_ns ? duration(up.pool_wait_ns) : null],
    ["Envoy says", [up?.failure, request.response_details, request.response_flags.join(" ")].filter(Boolean).map((words) => h("code", { class: "line" }, words))],
    ["Body out · in", `${bytes(request.response_bytes)} · ${bytes(request.request_bytes)}`], ["Dye", request.dye], ["Baggage", request.baggage],
    ["Headers", request.headers?.length > 0 ? request.headers.map((header) => h("code", { class: "line" }, `${header.response ? "← " : ""}${header.name}: ${header.value}`)) : null],
    ["Follows", request.links?.length > 0 ? request.links.map((link) => h("a", { class: "mono line", href: `/?trace=${link.trace_id}` }, link.trace_id)) : null],
    ["x-request-id", request.request_id && h("span", { class: "with-copy" }, h("span", { class: "mono" }, request.request_id), copyButton(request.request_id, "x-request-id"))],
    ["Span", h("span", { class: "with-copy" }, h("span", { class: "mono" }, request.id), copyButton(request.id, "span id"))],
    ["Parent span", request.parent_span_id && h("span", { class: "mono" }, request.parent_span_id)],
  ]);
}

function joins(request, others) {
  const pair = (name, join) => [name, join && h("div", {}, join.connection ? h("a", { href: `/?connection=${encodeURIComponent(join.connection)}` }, others.get(join.connection) ? ends(others.get(join.connection)) : "the connection") : null, h("p", { class: join.connection ? "faint" : "no" }, joinWords(join)))];
  return facts("How it is known", [
    pair("Received on", request.received_on), ...(request.earlier ?? []).map((join) => pair("Earlier attempt", join)), pair("Waited for", request.opened), pair("Carried by", request.served_by),
    ["Incidents", request.incidents?.length > 0 ? request.incidents.map((one) => h("span", { class: "line" }, incidentWords(one), h("span", { class: "faint" }, one.sharing === "shared" ? `, shared with ${one.streams} streams` : ""))) : null],
    ...doubts(request.coverage ?? {}),
    ["Evidence", request.cause.evidence.map((one) => h("code", { class: "line" }, one))],
    ["State", request.settled ? "settled: nothing more is expected" : "live: more is expected"],
  ]);
}

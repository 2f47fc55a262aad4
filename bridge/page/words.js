// The page's words and numbers: lengths of time, points in time, parties.

// In the order in which the bridge lists them. Each has one hue, and always its name beside it.
export const PARTIES = ["client", "network", "kernel", "proxy", "service", "unknown"];

const PARTY_NAMES = { client: "Client", network: "Network", kernel: "Kernel queues", proxy: "Proxy", service: "Service", unknown: "Not known" };

export const partyName = (party) => PARTY_NAMES[party] ?? plain(party);

// `connect_refused` as it is read.
export const plain = (name) => String(name).replaceAll("_", " ");

export const count = (n) => n.toLocaleString("en");

export const counted = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

export function percent(part, whole) {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  return share > 0 && share < 0.1 ? "< 0.1 %" : `${share >= 10 || share === 0 ? Math.round(share) : share.toFixed(1)} %`;
}

export function bytes(n) {
  if (n < 1000) return `${n} B`;
  const [size, unit] = n < 1e6 ? [n / 1e3, "kB"] : n < 1e9 ? [n / 1e6, "MB"] : [n / 1e9, "GB"];
  return `${size.toFixed(1)} ${unit}`;
}

// A length of time in nanoseconds, as the bridge's sentences have it; from a minute on in minutes, then in hours.
export function duration(ns) {
  if (ns === null || ns === undefined) return "–";
  const ms = ns / 1e6;
  if (ms < 999.95) return `${ms.toFixed(ms < 10 ? 3 : 1)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 3 : 1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.round((ms % 60_000) / 1000)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// Nanoseconds from one RFC 3339 time to another: whole seconds and their fractions apart, so that none are lost.
export function between(from, until) {
  const [a, b] = [parts(from), parts(until)];
  return (b.seconds - a.seconds) * 1e9 + (b.ns - a.ns);
}

function parts(text) {
  const [whole, fraction = ""] = text.replace("Z", "").split(".");
  return { seconds: Date.parse(`${whole}Z`) / 1000, ns: Number(fraction.padEnd(9, "0").slice(0, 9)) };
}

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });
const MINUTE = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

const isToday = (date) => date.toDateString() === new Date().toDateString();

// The time of day where the reader is; before today with the day.
export function clock(text) {
  const date = new Date(text);
  return isToday(date) ? TIME.format(date) : `${DAY.format(date)}, ${TIME.format(date)}`;
}

export function minute(date) {
  return isToday(date) ? MINUTE.format(date) : `${DAY.format(date)}, ${MINUTE.format(date)}`;
}

// The length of time that `15m` is, in milliseconds; null for what is none.
export function lengthMs(text) {
  const length = /^(\d+)([smhd])$/.exec(text ?? "");
  return length && Number(length[1]) * { s: 1e3, m: 60e3, h: 3600e3, d: 86400e3 }[length[2]];
}

// `15m` before now to the second, and `10:04` as it last was where the reader is; a time stays what it is.
export function moment(text, now = Date.now()) {
  const ago = lengthMs(text);
  if (ago !== null) return timeOf(Math.floor((now - ago) / 1000) * 1000);
  const day = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(text ?? "");
  return day ? timeOf(lastTime(day[1], day[2], day[3], now)) : text || null;
}

// When clocks here last showed this.
export function lastTime(hours, minutes, seconds = 0, now = Date.now()) {
  const at = new Date(now);
  at.setHours(Number(hours), Number(minutes), Number(seconds), 0);
  if (at.getTime() > now) at.setDate(at.getDate() - 1);
  return at.getTime();
}

// A time as the address has it: a link shows tomorrow what it shows today.
export const timeOf = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");

// What an answer leaves out.
export function leftOut({ records, from, to }) {
  const when = from ? `, of ${clock(from)} to ${clock(to)},` : "";
  return `${counted(records, "settled record")}${when} cannot be read until rebuilt from the log`;
}

const FAILED = new Set(["refused", "unanswered", "unreachable", "aborted", "reset_by_peer", "reset_locally", "timed_out"]);

export const isFailure = (outcome) => FAILED.has(outcome);

const METHODS = { exact: "both addresses and the time agree", peer: "one address and the time agree, the other was rewritten", failure: "destination, time and error of the failed connect agree", proxy: "as the proxy itself numbers it" };
const MISSING = { no_kernel_view: "no probe has reported", no_address: "the proxy named no address", address_hidden: "no connection of the proxy's has the address that it names for the client", time_differs: "the connection with these addresses did not live as long as the request ran", number_differs: "the connection with these addresses is another one by the proxy's number", no_connection: "no connection that the probe reported fits", not_sought: "the proxy says that no connect failed it" };

// How a request was assigned to a connection, or why it was not.
export function joinWords(join) {
  if (!join) return "";
  if (!join.connection) return `not joined: ${MISSING[join.missing] ?? plain(join.missing)}`;
  const sure = join.candidates > 1 ? `${join.confidence}: ${join.candidates} connections fit` : join.confidence;
  return `${sure}; ${METHODS[join.method] ?? plain(join.method)}`;
}

// Asks the bridge, and names what may go wrong.

const TOKEN = "syntrace-token";

const ATTEMPTS = 5;
const AFTER_MAX_S = 5;

// The bridge did not give what was asked for.
export class AskError extends Error {
  // `kind`: `unreachable`, `unauthorised`, `unknown`, `invalid` or `failed`.
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;

// Kept until the tab is closed, and sent nowhere but here.
export function keepToken(token) {
  if (token) sessionStorage.setItem(TOKEN, token);
  else sessionStorage.removeItem(TOKEN);
}

// Returns the answer to a question; parameters that are empty are left out.
export async function ask(path, parameters = {}, signal = undefined) {
  const url = urlOf(path, parameters);
  const headers = hasToken() ? { authorization: `Bearer ${sessionStorage.getItem(TOKEN)}` } : {};
  const response = await patiently(url, { headers, signal, cache: "no-store" });
  if (response.ok) return response.json();
  const body = await response.json().catch(() => null);
  throw new AskError(kindOf(response.status), body?.error?.message ?? `The bridge answered ${response.status}.`);
}

// Asks again where the bridge says when: it has a bound on questions a second.
async function patiently(url, options) {
  for (let attempt = 1; ; attempt += 1) {
    let response;
    try {
      response = await fetch(url, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new AskError("unreachable", "The bridge does not answer.");
    }
    const after = Number(response.headers.get("retry-after"));
    if (response.ok || !after || attempt === ATTEMPTS) return response;
    await new Promise((resolve) => { setTimeout(resolve, Math.min(after, AFTER_MAX_S) * 1000); });
  }
}

export function urlOf(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given).toString();
  return query ? `${path}?${query}` : path;
}

function kindOf(status) {
  if (status === 401 || status === 403) return "unauthorised";
  if (status === 404) return "unknown";
  return status === 400 ? "invalid" : "failed";
}

// Asks again and again until the signal; not while nobody looks.
export async function follow(everyMs, signal, once) {
  while (!signal.aborted) {
    if (!document.hidden) await once();
    await pause(everyMs, signal);
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

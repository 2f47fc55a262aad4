// Asks the bridge, follows what it tells, and names what may go wrong.

const TOKEN = "syntrace-token";

const ATTEMPTS = 5;
const AFTER_MAX_S = 5;

// How long after a stream broke it is asked for again.
const AGAIN_MS = 2000;

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
  const response = await patiently(url, { headers: authorization(), signal, cache: "no-store" });
  if (response.ok) return response.json();
  const body = await response.json().catch(() => null);
  throw new AskError(kindOf(response.status), body?.error?.message ?? `The bridge answered ${response.status}.`);
}

const authorization = () => (hasToken() ? { authorization: `Bearer ${sessionStorage.getItem(TOKEN)}` } : {});

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

// Hears of each record as it settles, until the signal; not while nobody looks. What breaks goes on where it was.
// `begun` is called whenever the stream begins anew, and while there is none; `record` and `missed` with what came.
export async function listen(path, parameters, signal, { begun, record, missed }) {
  let last = null;
  while (!signal.aborted) {
    const turn = new AbortController();
    const stop = () => { if (signal.aborted || document.hidden) turn.abort(); };
    document.addEventListener("visibilitychange", stop, { signal });
    signal.addEventListener("abort", stop, { once: true, signal: turn.signal });
    try {
      if (!document.hidden) {
        const headers = { ...authorization(), accept: "text/event-stream", ...(last !== null && { "last-event-id": last }) };
        const response = await fetch(urlOf(path, parameters), { headers, signal: turn.signal, cache: "no-store" });
        await begun();
        if (response.ok) {
          for await (const told of eventsOf(response.body)) {
            last = told.id ?? last;
            if (told.event === "missed") missed(JSON.parse(told.data).count);
            else record(JSON.parse(told.data));
          }
        } else await response.body?.cancel();
      }
    } catch {
      // It is asked for again; that the bridge is gone is said above every view.
    }
    turn.abort();
    document.removeEventListener("visibilitychange", stop);
    await pause(AGAIN_MS, signal);
  }
}

// Cuts a body into events, as the HTML standard's chapter on server-sent events says.
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const told = { data: [] };
      for (const line of block.split("\n")) {
        const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
        if (field === "data") told.data.push(value);
        else if (field === "event" || field === "id") told[field] = value;
      }
      if (told.data.length > 0) yield { ...told, data: told.data.join("\n") };
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

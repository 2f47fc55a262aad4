// Decides by the address what is shown. The whole state is in the query: every view can be sent to someone.

import * as causes from "./causes.js";
import * as coverage from "./coverage.js";
import * as lists from "./lists.js";
import * as record from "./record.js";
import * as search from "./search.js";
import { notice, trouble } from "./states.js";

const main = document.getElementById("main");
let shown = new AbortController();

function viewOf(parameters) {
  if (parameters.has("q")) return ["search", search.show];
  if (parameters.has("connection")) return ["connections", record.showConnection];
  if (parameters.has("request")) return ["requests", record.showRequest];
  if (parameters.has("trace")) return ["connections", record.showTrace];
  switch (parameters.get("view")) {
    case "requests": return ["requests", lists.show];
    case "connections": return ["connections", lists.show];
    case "coverage": return ["coverage", coverage.show];
    default: return ["causes", causes.show];
  }
}

// Goes to an address of this page; `replace` where it only refines the view.
export function go(address, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  return show(!replace);
}

async function show(moveFocus) {
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  const parameters = new URLSearchParams(location.search);
  const [name, view] = viewOf(parameters);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  try {
    await view({ main, parameters, signal, go });
  } catch (error) {
    if (error.name === "AbortError") return;
    main.replaceChildren(trouble(error, () => show(true)));
  }
  if (signal.aborted) return;
  const heading = main.querySelector("h1");
  document.title = heading ? `${heading.textContent} · Syntrace` : "Syntrace";
  if (moveFocus && heading) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

// Links within the page do not load it again.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  const plain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (!link || !plain || event.defaultPrevented || link.hasAttribute("target")) return;
  const url = new URL(link.getAttribute("href"), location.href);
  if (url.origin !== location.origin || url.pathname !== "/" || url.hash) return;
  event.preventDefault();
  go(url.pathname + url.search);
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    const search = document.getElementById("q");
    search.focus();
    search.select();
  }
  if (event.key === "Escape" && event.target.id === "q") main.focus();
});

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = document.getElementById("q").value.trim();
  if (text) go(`/?${new URLSearchParams({ q: text })}`);
});

addEventListener("popstate", () => show(true));
notice();
show(false);

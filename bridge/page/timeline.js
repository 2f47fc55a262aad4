// Rows of bars over one axis of time, drawn to the width that there is; of many rows only those that are seen.

import { h, s } from "./dom.js";
import { PARTIES, between, duration, partyName } from "./words.js";

const AXIS = 26;
const MOST_HEIGHT = 620;
const EDGE = 10;
const LENGTH = 76;

// Rows of the table for those who do not see the picture.
const TABLE_ROWS = 2000;

// `rows`: {label, tag, depth, href, bad, bars: [{from, until, class, words}], marks: [{at, class, words}]}, in RFC 3339.
// `spans`: named stretches of time to look at, the first at first: {name, from, until}.
export function timeline(rows, spans) {
  const base = spans[0].from;
  const at = (time) => between(base, time);
  let [from, until] = stretch(spans[0]);
  let chosen = spans[0].name;

  const holder = h("div", { class: "plot" });
  const axis = h("div", { class: "axis" });
  const place = h("div", { class: "scroll", tabindex: rows.length > 12 ? "0" : null, role: rows.length > 12 ? "region" : null, "aria-label": rows.length > 12 ? "Timeline, scrolls" : null, onscroll: schedule }, holder);
  const buttons = h("div", { class: "segments", role: "group", "aria-label": "What the timeline shows" });
  const element = h("div", { class: "timeline" }, h("div", { class: "bar" }, buttons, key(rows)), axis, place, asTable(rows, at));
  new ResizeObserver(schedule).observe(place);
  const controls = [
    ...spans.map((span) => [span.name, () => { chosen = span.name; [from, until] = stretch(span); }]),
    ["Earlier", () => pan(-0.5), "‹"], ["Later", () => pan(0.5), "›"], ["Zoom out", () => zoom(2), "−"], ["Zoom in", () => zoom(0.5), "+"],
  ].map(([name, act, sign]) => {
    const button = h("button", { type: "button", "aria-label": sign ? name : null, title: sign ? name : null, onclick: () => { act(); press(); draw(); } }, sign ?? name);
    return [name, button];
  });
  buttons.append(...controls.map(([, button]) => button));
  press();

  function press() {
    for (const [name, button] of controls.slice(0, spans.length)) button.setAttribute("aria-pressed", String(name === chosen));
  }
  function stretch(span) {
    const [begin, end] = [at(span.from), Math.max(at(span.until), at(span.from) + 1000)];
    const room = (end - begin) * 0.02;
    return [begin - room, end + room];
  }
  function zoom(by) {
    const [middle, half] = [(from + until) / 2, Math.max(500, ((until - from) / 2) * by)];
    [from, until, chosen] = [middle - half, middle + half, ""];
  }
  function pan(by) {
    const way = (until - from) * by;
    [from, until, chosen] = [from + way, until + way, ""];
  }

  let scheduled = false;
  function schedule() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => { scheduled = false; draw(); });
  }

  function draw() {
    const width = place.clientWidth;
    if (width === 0) return;
    const wide = width > 720;
    const rowHeight = wide ? 30 : 50;
    const labels = wide ? Math.min(380, Math.round(width * 0.36)) : 0;
    const [left, right] = [labels + EDGE, width - (wide ? LENGTH : EDGE)];
    const x = (ns) => left + ((ns - from) / (until - from)) * (right - left);
    holder.style.height = `${rows.length * rowHeight + 6}px`;
    place.style.maxHeight = `${MOST_HEIGHT}px`;
    const first = Math.max(0, Math.floor(place.scrollTop / rowHeight) - 2);
    const last = Math.min(rows.length, Math.ceil((place.scrollTop + Math.min(place.clientHeight || MOST_HEIGHT, MOST_HEIGHT)) / rowHeight) + 2);
    const top = first * rowHeight;
    const height = (last - first) * rowHeight + 6;
    const ticks = ticksOf(from, until, Math.max(2, Math.floor((right - left) / 90)));
    axis.replaceChildren(s("svg", { width, height: AXIS, "aria-hidden": "true" }, ticks.map(({ ns, words }) => s("text", { class: "tick", x: x(ns), y: 17, "text-anchor": "middle" }, words))));
    const picture = s("svg", { width, height, role: "group", "aria-label": "Timeline" },
      s("defs", {}, s("clipPath", { id: "labels" }, s("rect", { x: 0, y: 0, width: wide ? labels : width - LENGTH - 8, height })), s("clipPath", { id: "bars" }, s("rect", { x: left - 4, y: 0, width: right - left + 8, height }))),
      ticks.map(({ ns }) => s("line", { class: "grid", x1: x(ns), x2: x(ns), y1: 0, y2: height })),
      rows.slice(first, last).map((row, n) => rowOf(row, n * rowHeight, { x, at, wide, rowHeight, width, left, right })));
    picture.style.transform = `translateY(${top}px)`;
    const focused = document.activeElement?.getAttribute?.("href");
    holder.replaceChildren(picture);
    if (focused) [...holder.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus({ preventScroll: true });
  }
  return element;
}

function rowOf(row, y, { x, at, wide, rowHeight, width, left, right }) {
  const middle = y + (wide ? rowHeight / 2 : rowHeight - 14);
  const indent = 4 + row.depth * 18;
  const text = s("text", { class: `label${row.bad ? " bad" : ""}`, x: indent, y: wide ? middle + 4 : y + 18 }, row.label, row.tag && s("tspan", { class: "faint", dx: 8 }, row.tag));
  const isOpen = row.bars.some((bar) => bar.until === null);
  const total = isOpen ? "open" : row.bars.length > 0 ? duration(lengthOf(row, at)) : "";
  const shapes = row.bars.map((bar) => {
    const end = bar.until === null ? Math.max(right, x(at(bar.from))) : x(at(bar.until));
    const [a, b] = [clamp(x(at(bar.from)), left, right), clamp(end, left, right)];
    const thin = bar.class === "open";
    const whole = Math.max(b - a, 2.5);
    if (end < left - 1 || x(at(bar.from)) > right + 1) return null;
    return s("rect", { class: `fill ${bar.class}`, x: a, width: whole, y: middle - (thin ? 2 : 7), height: thin ? 4 : 14, rx: thin ? 2 : Math.min(3, whole / 2) }, s("title", {}, `${bar.words}: ${lengthWords(bar)}`));
  });
  const marks = row.marks.map((mark) => {
    const px = x(at(mark.at));
    if (px < left - 4 || px > right + 4) return null;
    const shape = mark.class === "incident" ? s("path", { d: `M${px} ${middle - 11}l5 8h-10z` }) : mark.class === "end-bad" ? s("path", { d: `M${px - 4} ${middle - 4}l8 8m0 -8l-8 8` }) : s("line", { x1: px, x2: px, y1: middle - 9, y2: middle + 9 });
    return s("g", { class: `mark ${mark.class}` }, s("title", {}, `${mark.words}, ${offset(at(mark.at))}`), shape);
  });
  return [
    s("rect", { class: "stripe", x: 0, y, width, height: rowHeight }),
    s("g", { "clip-path": "url(#labels)" }, row.href ? s("a", { href: row.href, "aria-label": `${row.label}${row.tag ? `, ${row.tag}` : ""}, ${total}` }, text) : text),
    s("g", { "clip-path": "url(#bars)" }, shapes, marks),
    total && s("text", { class: "length", x: width - 4, y: wide ? middle + 4 : y + 18, "text-anchor": "end" }, total),
  ];
}

const lengthWords = (bar) => (bar.until === null ? "not ended" : duration(between(bar.from, bar.until)));

const clamp = (value, low, high) => Math.min(high + 3, Math.max(low - 3, value));

const lengthOf = (row, at) => Math.max(...row.bars.map((bar) => at(bar.until))) - Math.min(...row.bars.map((bar) => at(bar.from)));

const offset = (ns) => `${ns < 0 ? "−" : "+"}${duration(Math.abs(ns))}`;

// Round steps, as many as there is room for.
function ticksOf(from, until, most) {
  const raw = (until - from) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const ticks = [];
  for (let ns = Math.ceil(from / step) * step; ns <= until; ns += step) ticks.push({ ns, words: ns === 0 ? "0" : stepWords(ns, step) });
  return ticks;
}

function stepWords(ns, step) {
  const [size, unit] = step >= 1e9 ? [1e9, "s"] : [1e6, "ms"];
  const digits = Math.max(0, -Math.floor(Math.log10(step / size)));
  return `${(ns / size).toFixed(digits).replace("-", "−")} ${unit}`;
}

// What the colours of these rows mean.
function key(rows) {
  const seen = new Map();
  for (const row of rows) for (const bar of row.bars) if (!seen.has(bar.class)) seen.set(bar.class, PARTIES.includes(bar.class) ? partyName(bar.class) : bar.words);
  return h("ul", { class: "legend" }, [...seen].map(([name, words]) => h("li", {}, h("i", { class: `swatch ${name}`, "aria-hidden": "true" }), words)));
}

// The same for those who do not see it, made when it is asked for.
function asTable(rows, at) {
  const body = h("tbody");
  const details = h("details", { class: "as-table", ontoggle: fill }, h("summary", {}, "The timeline as a table"),
    h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "The timeline as a table" }, h("table", {}, h("caption", { class: "sr" }, "Everything on the timeline, from the first SYN or request"),
      h("thead", {}, h("tr", {}, ["At", "Row", "What", "Length"].map((word, n) => h("th", { scope: "col", class: n % 3 === 0 ? "number" : null }, word)))), body)));
  function fill() {
    if (!details.open || body.hasChildNodes()) return;
    const line = (row, time, words, length) => h("tr", {}, h("td", { class: "number" }, offset(at(time))), h("td", {}, row.label), h("td", {}, words), h("td", { class: "number" }, length));
    for (const row of rows.slice(0, TABLE_ROWS)) {
      const events = [...row.bars.map((bar) => [bar.from, bar.words, lengthWords(bar)]), ...row.marks.map((mark) => [mark.at, mark.words, ""])];
      events.sort((a, b) => at(a[0]) - at(b[0]));
      body.append(...events.map((event) => line(row, ...event)));
    }
    if (rows.length > TABLE_ROWS) body.append(h("tr", {}, h("td", { colspan: 4 }, `${rows.length - TABLE_ROWS} more rows are in the JSON`)));
  }
  return details;
}

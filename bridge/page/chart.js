// Bars over time, stacked by party; drawn to the width that there is.

import { h, s } from "./dom.js";
import { count, minute, partyName } from "./words.js";

const HEIGHT = 150;
const FOOT = 20;
const TOP = 14;

const ROUND_MINUTES = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720];

// `buckets` says when they begin and how long they are; a layer has a party and a value for each. `pick(from, until)`
// is called with the time of a bar, in milliseconds, that was clicked.
export function bars({ started_at: startedAt, step_ns: stepNs }, layers, pick) {
  const place = h("div", { class: "chart" });
  const n = layers[0]?.values.length ?? 0;
  const begin = Date.parse(startedAt);
  const time = (at) => new Date(begin + at * (stepNs / 1e6));
  const most = Math.max(1, ...Array.from({ length: n }, (_, at) => layers.reduce((sum, layer) => sum + layer.values[at], 0)));
  const total = (layer) => layer.values.reduce((sum, value) => sum + value, 0);
  const summary = layers.map((layer) => `${partyName(layer.party)} ${count(total(layer))}`).join(", ") || "none";

  const draw = () => {
    const width = place.clientWidth;
    if (width === 0) return;
    const step = (width - 34) / Math.max(1, n);
    const y = (value) => TOP + (HEIGHT - TOP) * (1 - value / most);
    const stacks = Array.from({ length: n }, (_, at) => {
      let below = 0;
      const pieces = layers.filter((layer) => layer.values[at] > 0).map((layer) => {
        const from = below;
        below += layer.values[at];
        return s("rect", { class: `fill ${layer.party}`, x: 34 + at * step + 0.5, width: Math.max(1, step - 1), y: y(below), height: Math.max(1, y(from) - y(below) - 0.5), rx: Math.min(2, step / 4) });
      });
      if (below === 0) return null;
      const words = layers.filter((layer) => layer.values[at] > 0).map((layer) => `${partyName(layer.party)} ${count(layer.values[at])}`);
      const choose = () => pick(time(at).getTime(), time(at + 1).getTime());
      const column = s("rect", { class: "stripe", x: 34 + at * step, width: step, y: TOP, height: HEIGHT - TOP });
      return s("g", { class: "pick", onclick: choose }, column, s("title", {}, `${minute(time(at))}: ${words.join(", ")}`), pieces);
    });
    const lines = [...new Set([0, Math.ceil(most / 2), most])].map((value) => [
      s("line", { class: "grid", x1: 34, x2: width, y1: y(value), y2: y(value) }),
      s("text", { class: "tick", x: 28, y: y(value) + 4, "text-anchor": "end" }, count(value)),
    ]);
    const ticks = ticksOf(begin, stepNs / 1e6, n, width / 100).map((at) =>
      s("text", { class: "tick", x: 34 + at * step, y: HEIGHT + FOOT - 4 }, minute(time(at))));
    place.replaceChildren(s("svg", { width, height: HEIGHT + FOOT, role: "img", "aria-label": `Trouble over time: ${summary}` }, lines, ticks, stacks));
  };
  new ResizeObserver(draw).observe(place);
  return place;
}

// The round times of the reader's day, in bars from the first; no more than there is room for.
function ticksOf(begin, stepMs, n, most) {
  const every = ROUND_MINUTES.map((minutes) => minutes * 60_000).find((ms) => (n * stepMs) / ms <= most) ?? 86_400_000;
  const offset = new Date(begin).getTimezoneOffset() * 60_000;
  const ticks = [];
  for (let ms = Math.ceil((begin - offset) / every) * every + offset; ms < begin + n * 0.96 * stepMs; ms += every) ticks.push((ms - begin) / stepMs);
  return ticks;
}

// A long list of which only what is seen is in the document: rows of one height, loaded page by page.

import { h } from "./dom.js";

// Rows drawn beyond either edge.
const MARGIN = 8;

// Rows from the end at which the next page is asked for.
const NEAR_END = 60;

// Rows beyond which a list that is followed begins anew, once nobody reads further down.
const MOST = 20_000;

// `columns`: name, class, and `of(record)`; `address(record)` is where a row leads; `more(cursor)` returns a page;
// `began(record)` is by what they are sorted, the newest first.
export function longList({ label, columns, address, more, failed, began }) {
  let records = [];
  let next = null;
  let loading = false;
  let active = 0;
  const drawn = new Map();

  const body = h("div", { class: "rows", role: "rowgroup" });
  const table = h("div", { class: "long", role: "table", "aria-label": label },
    h("div", { role: "rowgroup", class: "columns" }, h("div", { role: "row" },
      columns.map((column) => h("span", { role: "columnheader", class: column.class }, column.name)))),
    body);
  const place = h("div", { class: "scroll", onscroll: schedule, onkeydown: move }, table);
  new ResizeObserver(schedule).observe(place);

  const rowHeight = () => parseFloat(getComputedStyle(place).getPropertyValue("--row")) || 34;
  let scheduled = false;

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => { scheduled = false; draw(); });
  }

  function draw() {
    const height = rowHeight();
    body.style.height = `${records.length * height}px`;
    table.setAttribute("aria-rowcount", String(next ? -1 : records.length + 1));
    const first = Math.max(0, Math.floor(place.scrollTop / height) - MARGIN);
    const last = Math.min(records.length, Math.ceil((place.scrollTop + place.clientHeight) / height) + MARGIN);
    const wanted = new Set(records.slice(first, last).map((record) => record.id));
    for (const [id, row] of drawn) {
      if (!wanted.has(id)) { row.element.remove(); drawn.delete(id); }
    }
    for (let at = first; at < last; at += 1) place_(records[at], at, height);
    if (last > records.length - NEAR_END) load();
  }

  function place_(record, at, height) {
    let row = drawn.get(record.id);
    if (!row || row.record !== record) {
      const element = rowOf(record);
      if (row) row.element.replaceWith(element); else body.append(element);
      row = { element, record };
      drawn.set(record.id, row);
    }
    row.element.style.transform = `translateY(${at * height}px)`;
    row.element.setAttribute("aria-rowindex", String(at + 2));
    row.element.firstElementChild.firstElementChild.tabIndex = at === active ? 0 : -1;
  }

  function rowOf(record) {
    const cells = columns.map((column, n) => h("span", { role: "cell", class: column.class },
      n === 0 ? h("a", { href: address(record), tabindex: "-1" }, column.of(record)) : column.of(record)));
    return h("div", { role: "row", class: "row" }, cells);
  }

  async function load() {
    if (loading || !next) return;
    loading = true;
    try {
      const page = await more(next);
      next = page.next;
      const known = new Set(records.map((record) => record.id));
      records.push(...page.records.filter((record) => !known.has(record.id)));
      schedule();
    } catch (error) {
      if (error.name !== "AbortError") failed(error);
    } finally {
      loading = false;
    }
  }

  function move(event) {
    const page = Math.max(1, Math.floor(place.clientHeight / rowHeight()) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -records.length, End: records.length };
    if (!(event.key in steps) || records.length === 0) return;
    event.preventDefault();
    active = Math.min(records.length - 1, Math.max(0, active + steps[event.key]));
    const height = rowHeight();
    const top = active * height;
    const head = table.firstElementChild.offsetHeight;
    if (top < place.scrollTop) place.scrollTop = top;
    else if (top + height > place.scrollTop + place.clientHeight - head) place.scrollTop = top + height - place.clientHeight + head;
    draw();
    drawn.get(records[active].id)?.element.querySelector("a").focus({ preventScroll: true });
  }

  place.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row && !event.target.closest("a") && !String(getSelection())) row.querySelector("a").click();
  });
  place.addEventListener("focusin", (event) => {
    const row = event.target.closest(".row");
    if (row) active = Number(row.getAttribute("aria-rowindex")) - 2;
  });

  return {
    place,
    size: () => records.length,
    hasMore: () => next !== null,
    isFull: () => records.length > MOST && place.scrollTop === 0,
    // Forgets all, for the newest page to come.
    clear() {
      [records, next, active] = [[], null, 0];
    },
    // Puts in one record, in its place or where its older self was; what is read does not move. One that is older
    // than all that is loaded comes with its page.
    put(record) {
      const known = records.findIndex((one) => one.id === record.id);
      if (known >= 0) records[known] = record;
      else {
        const found = records.findIndex((one) => began(one) <= began(record));
        const at = found < 0 ? records.length : found;
        if (found < 0 && next !== null) return;
        records.splice(at, 0, record);
        if (place.scrollTop > 0 && at * rowHeight() <= place.scrollTop) place.scrollTop += rowHeight();
        if (active > 0 && at <= active) active += 1;
      }
      schedule();
    },
    // Puts in the newest page: what is new goes above without moving what is read.
    newest(page) {
      const known = new Map(records.map((record, at) => [record.id, at]));
      const added = page.records.filter((record) => !known.has(record.id));
      if (added.length === page.records.length && page.records.length > 0) {
        [records, next] = [page.records, page.next];
        if (known.size > 0) place.scrollTop = 0;
      } else {
        for (const record of page.records) {
          const at = known.get(record.id);
          if (at !== undefined && JSON.stringify(records[at]) !== JSON.stringify(record)) records[at] = record;
        }
        records = [...added, ...records];
        if (place.scrollTop > 0) place.scrollTop += added.length * rowHeight();
        if (active > 0) active += added.length;
      }
      schedule();
    },
  };
}

// Makes elements. What comes from the bridge becomes text, never markup: there is no other way in.

const SVG = "http://www.w3.org/2000/svg";

// Longest text that is shown whole: a header may have 64 KiB.
const SHOWN = 2000;

// Control characters, and those that turn or hide what follows them.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

// Returns the text with what cannot be seen written as escapes, cut where it is endless.
export function visible(text) {
  const shown = text.length > SHOWN ? `${text.slice(0, SHOWN)}… (${text.length - SHOWN} more characters)` : text;
  return shown.replace(INVISIBLE, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

// Makes an element. Attributes that are null or false are left out; functions listen.
export const h = (tag, attributes, ...children) => make(document.createElement(tag), attributes, children);

// Makes an element of SVG.
export const s = (tag, attributes, ...children) => make(document.createElementNS(SVG, tag), attributes, children);

function make(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : typeof value === "string" ? visible(value) : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : visible(String(child)));
  }
  return element;
}

// Says something to those who do not see the screen.
export function say(text) {
  document.getElementById("said").textContent = text;
}

// A button that copies, and says so.
export function copyButton(text, what) {
  const button = h("button", { type: "button", class: "quiet", title: `Copy ${what}`, "aria-label": `Copy ${what}`, onclick: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      done("Copied");
    } catch {
      done("Not allowed");
    }
  }
  function done(word) {
    button.textContent = word;
    say(`${what}: ${word}`);
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }
  return button;
}

// Small helpers over the DOM. Text always goes in as text, never as markup.

/** An element: h("a.chip", { href, onclick }, "words", child…). `null` children are left out. */
export function h(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const el = document.createElement(tag || "div");
  if (classes.length) el.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key in el && !["list", "form"].includes(key)) el[key] = value;
    else el.setAttribute(key, value === true ? "" : value);
  }
  el.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

const SVG = "http://www.w3.org/2000/svg";

/** An icon of the sprite. */
export function icon(name, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/assets/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

const GRADES = new Set(["C", "S", "O"]);

/** A grade with its letter. */
export function grade(letter) {
  const safe = GRADES.has(letter) ? letter : "C";
  return h(`span.grade.grade-${safe}`, {}, h("b", {}, safe));
}

/** The JSON of a `<script type="application/json" id>`; `null` where there is none. */
export function island(id) {
  const el = document.getElementById(id);
  return el ? JSON.parse(el.textContent) : null;
}

let toastTimer;
/** A short word at the bottom that goes by itself; read out by screen readers. */
export function toast(words) {
  document.querySelector(".toast")?.remove();
  document.body.append(h("div.toast", { role: "status" }, words));
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => document.querySelector(".toast")?.remove(), 4000);
}

/** True while a Korean syllable is still being composed: Enter then belongs to the input method. */
export const composing = (event) => event.isComposing || event.keyCode === 229;

/** Calls `f` once the calls have stopped for `ms`. */
export function later(f, ms) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => f(...args), ms);
  };
}

// The numbered sentences of a design sheet: edit in place, add, remove, confirm a guess, move by drag or keyboard.
import { composing, h, icon, toast } from "./dom.js";
import { t } from "./i18n.js";

const MAX = 30;

/** A text area as tall as its text, also where `field-sizing` is not known. */
export function grow(area) {
  if (CSS.supports("field-sizing", "content")) return;
  area.rows = 1;
  const line = parseFloat(getComputedStyle(area).lineHeight) || 27;
  area.rows = Math.max(1, Math.round(area.scrollHeight / line));
}

/** `sheet()` gives the sheet as it stands; `changed()` is called after each edit. */
export function sentences(list, { sheet, changed }) {
  let dragged = null;

  const items = () => sheet().sentences;
  const focus = (i, what = "textarea") => list.children[i]?.querySelector(what)?.focus();

  function move(from, to) {
    if (to < 0 || to >= items().length || from === to) return;
    items().splice(to, 0, ...items().splice(from, 1));
    changed();
    draw();
    focus(to, ".grip");
    toast(t("{}번째로 옮겼습니다.", to + 1));
  }

  function remove(i) {
    if (items().length === 1) return toast(t("문장은 하나 이상 있어야 합니다."));
    items().splice(i, 1);
    changed();
    draw();
    focus(Math.max(0, i - 1));
  }

  function add(i = items().length) {
    if (items().length >= MAX) return toast(t("문장은 {}개까지 쓸 수 있습니다.", MAX));
    items().splice(i, 0, { text: "", guessed: false });
    draw();
    focus(i);
  }

  function keys(event, i) {
    if (event.key === "Enter" && !event.shiftKey && !composing(event)) {
      event.preventDefault();
      if (items()[i].text.trim()) add(i + 1);
    } else if (event.key === "Backspace" && event.target.value === "" && items().length > 1) {
      event.preventDefault();
      remove(i);
    } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      event.preventDefault();
      move(i, i + (event.key === "ArrowUp" ? -1 : 1));
    }
  }

  function row(s, i) {
    const area = h("textarea.in-place", { value: s.text, maxLength: 400, rows: 1, "aria-label": t("{}번 문장", i + 1), placeholder: t("무엇을 하는지 한 문장으로") });
    const li = h(`li.sentence${s.guessed ? ".guessed" : ""}`, {},
      h("button.grip", { type: "button", draggable: true, title: t("끌어서 옮기기 · 위아래 화살표로도 옮김"), "aria-label": t("{}번 문장 옮기기", i + 1) }, icon("grip")),
      h("span.no", { "aria-hidden": "true" }, String(i + 1)), area,
      h("span.sentence-side", {},
        s.guessed ? h("button.guess", { type: "button", title: t("맞으면 눌러 확인하세요"), onclick: () => settle(i) }, t("추정"), icon("check", t("확인"))) : null,
        h("button.icon-btn", { type: "button", onclick: () => remove(i) }, icon("x", t("{}번 문장 지우기", i + 1)))));
    const grip = li.querySelector(".grip");
    area.addEventListener("input", () => {
      s.text = area.value.replace(/\n/g, " ");
      if (s.guessed) {
        s.guessed = false;
        li.classList.remove("guessed");
        li.querySelector(".guess")?.remove();
      }
      grow(area);
      changed();
    });
    area.addEventListener("keydown", (event) => keys(event, i));
    grip.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (step) {
        event.preventDefault();
        move(i, i + step);
      }
    });
    grip.addEventListener("dragstart", (event) => {
      dragged = i;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", s.text);
      event.dataTransfer.setDragImage(li, 0, 0);
      li.classList.add("dragging");
    });
    grip.addEventListener("dragend", () => {
      dragged = null;
      list.querySelectorAll(".dragging,.over").forEach((e) => e.classList.remove("dragging", "over"));
    });
    li.addEventListener("dragover", (event) => {
      if (dragged === null) return;
      event.preventDefault();
      list.querySelector(".over")?.classList.remove("over");
      li.classList.add("over");
    });
    li.addEventListener("drop", (event) => {
      if (dragged === null) return;
      event.preventDefault();
      move(dragged, i);
    });
    return li;
  }

  function settle(i) {
    items()[i].guessed = false;
    changed();
    draw();
    focus(i);
  }

  function draw() {
    list.replaceChildren(...items().map(row));
    list.querySelectorAll("textarea").forEach(grow);
  }

  return { draw, add };
}

// Form fields: the chips and their editor in the builder, and the form that they make for the trial.
import { h, icon, toast } from "./dom.js";
import { t } from "./i18n.js";

const KINDS = { text: "한 줄 글", long_text: "긴 글", date: "날짜", number: "숫자", choice: "고르기" };
const MAX = 12;

/** A key that is not taken: the label may be Korean, the key may not. */
function newKey(inputs) {
  let n = inputs.length + 1;
  while (inputs.some((i) => i.key === `field_${n}`)) n++;
  return `field_${n}`;
}

/** Draws the chips into `list` and the open one's form into `editor`. */
export function inputFields(list, editor, { sheet, changed }) {
  let open = -1;
  const inputs = () => sheet().inputs;

  function chip(input, i) {
    return h(`button.chip.strong${open === i ? ".on" : ""}`, { type: "button", "aria-expanded": String(open === i), onclick: () => toggle(i) },
      input.label || t("이름 없는 칸"), input.required ? null : h("span.quiet", {}, t("안 적어도 됨")), input.guessed ? h("span.guess", {}, t("추정")) : null);
  }

  function toggle(i) {
    open = open === i ? -1 : i;
    draw();
    editor.querySelector("input")?.focus();
  }

  function edit(input, i) {
    const touch = () => {
      input.guessed = false;
      changed();
    };
    const options = h("textarea.krds-input", { rows: 4, value: (input.kind.options ?? []).join("\n"), oninput: (e) => {
      input.kind.options = e.target.value.split("\n").map((s) => s.trim()).filter(Boolean);
      touch();
    } });
    const field = (label, control) => h("label.field", {}, h("span.label", {}, label), control);
    const optionField = field(t("고를 것, 한 줄에 하나"), options);
    optionField.hidden = input.kind.type !== "choice";
    return h("div.input-editor", { role: "group", "aria-label": input.label },
      h("div.columns", {},
        field(t("칸 이름"), h("input.krds-input.medium", { value: input.label, maxLength: 60, oninput: (e) => {
          input.label = e.target.value;
          list.children[i].firstChild.textContent = input.label || t("이름 없는 칸");
          touch();
        } })),
        field(t("종류"), h("select.krds-form-select.medium", { onchange: (e) => {
          input.kind = e.target.value === "choice" ? { type: "choice", options: input.kind.options ?? [] } : { type: e.target.value };
          optionField.hidden = e.target.value !== "choice";
          touch();
        } }, ...Object.entries(KINDS).map(([value, label]) => h("option", { value, selected: input.kind.type === value }, t(label)))))),
      field(t("도움말"), h("input.krds-input.medium", { value: input.placeholder, maxLength: 120, oninput: (e) => { input.placeholder = e.target.value; touch(); } })),
      optionField,
      h("div.row", {},
        h("label.choice.grow", {}, h("input", { type: "checkbox", checked: input.required, onchange: (e) => { input.required = e.target.checked; touch(); draw(); } }), h("span", {}, t("꼭 적어야 함"))),
        h("button.krds-btn.xsmall.tertiary", { type: "button", onclick: () => remove(i) }, icon("trash"), t("칸 지우기")),
        h("button.krds-btn.xsmall.secondary", { type: "button", onclick: () => { input.guessed = false; changed(); toggle(i); } }, t("다 됨"))));
  }

  function remove(i) {
    inputs().splice(i, 1);
    open = -1;
    changed();
    draw();
  }

  function add() {
    if (inputs().length >= MAX) return toast(t("입력 칸은 {}개까지 둘 수 있습니다.", MAX));
    inputs().push({ key: newKey(inputs()), label: "", kind: { type: "text" }, required: true, placeholder: "", guessed: false });
    open = inputs().length - 1;
    draw();
    editor.querySelector("input")?.focus();
  }

  function draw() {
    list.replaceChildren(...inputs().map(chip), h("button.add", { type: "button", onclick: add }, icon("plus"), t("칸 더하기")));
    editor.replaceChildren(...(open >= 0 && inputs()[open] ? [edit(inputs()[open], open)] : []));
  }

  return { draw };
}

/** The form as its users will see it; what was typed stays when the fields change. */
export function trialForm(root, inputs, example) {
  const typed = Object.fromEntries([...root.querySelectorAll("[name]")].map((e) => [e.name, e.value]));
  root.replaceChildren(...inputs.map((f) => {
    const id = `try-${f.key}`;
    const common = { id, name: f.key, required: f.required, placeholder: f.placeholder };
    const now = typed[f.key] ?? example[f.key] ?? "";
    let control;
    if (f.kind.type === "long_text") control = h("textarea.krds-input", { ...common, rows: 4, value: now });
    else if (f.kind.type === "choice") control = h("select.krds-form-select.medium", { id, name: f.key, required: f.required }, h("option", { value: "" }, t("골라 주세요")), ...f.kind.options.map((o) => h("option", { value: o, selected: o === now }, o)));
    else control = h("input.krds-input.medium", { ...common, type: f.kind.type === "text" ? "text" : f.kind.type, value: now });
    return h("div.field", {}, h("label", { htmlFor: id }, f.label || t("이름 없는 칸"), f.required ? null : h("span.optional", {}, t("안 적어도 됨"))), control);
  }));
}

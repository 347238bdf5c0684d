// The body's own dictionary: rules as cards, tried on a text and checked before they are saved.
import { api } from "./api.js";
import { h, icon, island, toast } from "./dom.js";
import { confirm, showProblem } from "./form.js";
import { number, t } from "./i18n.js";
import { drawn } from "./looked.js";

const form = document.querySelector("[data-dictionary]");
const list = form.querySelector("[data-rules]");
const trial = document.querySelector("[data-trial]");
const text = document.getElementById("d-text");
const { revision, rules } = island("dictionary-data");
let changed = false;

const ACTIONS = [
  ["block", t("막음 — 이 말이 있으면 보낼 수 없음")],
  ["mask", t("가림 — 표시로 바꾸어 보냄")],
  ["grade_s", t("S 등급으로 올림 — 보낼 수 없음")],
  ["grade_c", t("C 등급으로 올림 — 보낼 수 없음")],
  ["flag", t("알림 — 찾았다고 알리고 그대로 보냄")],
];
let count = 0;

function field(label, control, hint) {
  return h("div.field", {}, h("label", { htmlFor: control.id }, label), control, hint ? h("p.hint", {}, hint) : null);
}

function card(rule) {
  const n = ++count;
  const name = h("input.krds-input.medium", { id: `r${n}-name`, value: rule.name, maxLength: 40, required: true, autocomplete: "off" });
  const action = h("select.krds-form-select.medium", { id: `r${n}-action` }, ...ACTIONS.map(([value, words]) => h("option", { value, selected: value === rule.action }, words)));
  const lines = (key, items, rows) => h("textarea.krds-input", { id: `r${n}-${key}`, rows, spellcheck: false, value: items.join("\n") });
  const terms = lines("terms", rule.terms ?? [], 4);
  const patterns = lines("patterns", rule.patterns ?? [], 2);
  patterns.classList.add("mono");
  const remove = h("button.krds-btn.small.tertiary", { type: "button", onclick: () => { li.remove(); edited(); } }, icon("trash"), t("규칙 지우기"));
  const li = h("li.card", {},
    field(t("이름"), name, null),
    field(t("찾으면"), action, null),
    field(t("낱말"), terms, t("한 줄에 하나. 띄어쓰기나 점, 하이픈을 달리 써도 찾습니다.")),
    h("details.more", { open: (rule.patterns ?? []).length > 0 }, h("summary", {}, t("번호처럼 형식이 있는 말"), icon("down")),
      field(t("형식(정규표현식)"), patterns, t("한 줄에 하나. 예: GR-[0-9]{4}"))),
    h("div.row.end", {}, remove));
  li.rule = { name, action, terms, patterns };
  return li;
}

function edited() {
  changed = true;
  form.querySelector("[data-none]").hidden = list.children.length > 0;
}

/** The lines that say something, each with its place in the field. */
const written = (area) => area.value.split("\n").map((line, i) => [line.trim(), i + 1]).filter(([line]) => line);

const given = () => [...list.children].map(({ rule }) => ({
  name: rule.name.value.trim(),
  action: rule.action.value,
  terms: written(rule.terms).map(([line]) => line),
  patterns: written(rule.patterns).map(([line]) => line),
}));

/** The field of a place in the dictionary, and the line in it as the eye counts. */
function spot(rule, part, line) {
  const fields = list.children[rule - 1]?.rule;
  const input = fields?.[part] ?? fields?.terms ?? null;
  return [input, line && fields ? written(input)[line - 1]?.[1] : 0];
}

function clear() {
  form.querySelector(".form-summary").replaceChildren();
  form.querySelectorAll(".field-error").forEach((e) => e.remove());
  form.querySelectorAll("[aria-invalid]").forEach((e) => e.removeAttribute("aria-invalid"));
}

function showFaults(faults) {
  let first = null;
  for (const fault of faults) {
    const [input, line] = spot(fault.rule, fault.field, fault.line);
    if (!input) continue;
    const id = `${input.id}-error-${fault.line}`;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-errormessage", id);
    if (fault.field === "patterns") input.closest("details").open = true;
    input.closest(".field").append(h("p.field-error", { id }, line ? `${t("{}째 줄:", line)} ${fault.message}` : fault.message));
    first ??= input;
  }
  const whole = faults.filter((f) => f.rule === 0).map((f) => f.message);
  form.querySelector(".form-summary").textContent = whole.join(" ") || t("표시된 칸을 고쳐 주세요.");
  first?.focus();
}

function commonWords(checked) {
  const rows = checked.common.map((c) => {
    const [input, line] = spot(c.rule, c.is_pattern ? "patterns" : "terms", c.line);
    const words = line ? input.value.split("\n")[line - 1].trim() : "";
    return t("‘{}’: 구절 {}개", words, number(c.passages));
  });
  return { rows, words: t("가장 최근 구절 {}개(전체 {}개)에서 세었습니다.", number(checked.sampled), number(checked.passages)) };
}

function common(checked) {
  const { rows, words } = commonWords(checked);
  if (!rows.length) return h("p.quiet", {}, t("자료에 흔한 말은 없습니다."), " ", words);
  return h("div.note", {}, icon("alert"), h("div", {},
    h("p", {}, h("b", {}, t("자료에 흔한 말이 있습니다. 멀쩡한 글까지 막거나 가리게 됩니다.")), " ", words),
    h("ul", {}, ...rows.map((row) => h("li", {}, row)))));
}

/** Asks the server; `null` where there is something to put right. */
async function check() {
  clear();
  const checked = await api("POST", "/api/v1/pii/dictionary/check", { rules: given(), text: text.value });
  if (!checked.faults.length) return checked;
  trial.replaceChildren();
  showFaults(checked.faults);
  return null;
}

async function attempt(button, work) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    showProblem(form, error);
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

const tryButton = document.querySelector("[data-try]");
tryButton.addEventListener("click", () => attempt(tryButton, async () => {
  const checked = await check();
  if (checked) trial.replaceChildren(common(checked), text.value.trim() ? drawn(checked.found, true) : h("p.quiet", {}, t("시험할 글을 적으면 무엇을 찾는지 보여 줍니다.")));
}));

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(event.submitter, async () => {
    const checked = await check();
    if (!checked) return;
    const { rows } = commonWords(checked);
    if (rows.length && !(await confirm(t("자료에 흔한 말이 있습니다: {}. 멀쩡한 글까지 막거나 가리게 됩니다. 그래도 저장할까요?", rows.slice(0, 5).join(", ")), t("그래도 저장")))) return;
    await api("PUT", "/api/v1/pii/dictionary", { revision, rules: given(), reason: form.elements.reason.value });
    changed = false;
    toast(t("저장했습니다."));
    location.reload();
  });
});

form.addEventListener("input", () => (changed = true));
window.addEventListener("beforeunload", (event) => {
  if (changed) event.preventDefault();
});
form.querySelector("[data-add]").addEventListener("click", () => {
  const li = card({ name: "", action: "block" });
  list.append(li);
  edited();
  li.rule.name.focus();
});

list.append(...rules.map(card));
form.querySelector("[data-none]").hidden = rules.length > 0;

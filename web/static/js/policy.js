// Editing the policy for outside calls: line numbers, faults at their lines, what the text would mean, what changes,
// what it would have said to past calls. What was typed stays in this window until it is in force or thrown away.
import { api } from "./api.js";
import { h, later, toast } from "./dom.js";
import { showProblem } from "./form.js";
import { number, t } from "./i18n.js";

const DRAFT = "madang-policy-draft";
const form = document.querySelector(".policy-editor");
const text = form.elements.namedItem("text");
const reason = form.elements.namedItem("reason");
const gutter = form.querySelector(".gutter");
const faultList = document.getElementById("policy-faults");
const result = form.querySelector(".policy-result");
const putButton = form.querySelector("[data-policy-put]");
const restart = document.querySelector("[data-policy-restart]");
const stale = document.querySelector("[data-policy-stale]");
const inForce = Number(form.dataset.revision);
const original = text.value;
/** Revision that the text was made from. */
let base = inForce;

function keep() {
  const changed = text.value !== original || reason.value !== "";
  restart.hidden = !changed;
  try {
    if (changed) sessionStorage.setItem(DRAFT, JSON.stringify({ base, text: text.value, reason: reason.value }));
    else sessionStorage.removeItem(DRAFT);
  } catch {
    // Storage may be full or forbidden: the text is still on the screen.
  }
}

function restore() {
  let draft = null;
  try {
    draft = JSON.parse(sessionStorage.getItem(DRAFT));
  } catch {
    // A draft that does not read is none.
  }
  if (typeof draft?.text !== "string") return;
  text.value = draft.text;
  reason.value = draft.reason ?? "";
  base = Number(draft.base) || inForce;
  restart.hidden = false;
  stale.hidden = false;
  stale.querySelector("span").textContent =
    base === inForce ? t("고치던 글을 다시 열었습니다.") : t("고치던 글은 {}판에서 시작한 것인데 지금은 {}판이 시행 중입니다. 바뀐 것을 보고 다시 시작하세요.", base, inForce);
}

function forget() {
  sessionStorage.removeItem(DRAFT);
}

/** Line numbers, those with faults marked. */
function numberLines(bad = new Set()) {
  const lines = text.value.split("\n").length;
  if (gutter.childElementCount !== lines) gutter.replaceChildren(...Array.from({ length: lines }, (_, i) => h("span", {}, String(i + 1))));
  [...gutter.children].forEach((el, i) => el.classList.toggle("bad", bad.has(i + 1)));
  gutter.scrollTop = text.scrollTop;
}

function goTo(line) {
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0);
  text.focus();
  text.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
  const height = text.scrollHeight / lines.length;
  text.scrollTop = Math.max(0, (line - 4) * height);
}

function showFaults(faults) {
  numberLines(new Set(faults.map((f) => f.line).filter(Boolean)));
  if (faults.length) text.setAttribute("aria-invalid", "true");
  else text.removeAttribute("aria-invalid");
  faultList.replaceChildren(
    ...(faults.length
      ? [h("p.field-error", {}, t("고칠 곳이 {}군데 있습니다.", faults.length)), h("ul", {}, ...faults.map((f) => h("li", {}, f.line ? h("button.bare.link", { type: "button", onclick: () => goTo(f.line) }, t("{}번째 줄", f.line)) : null, " ", f.message)))]
      : []),
  );
}

let latest = 0;
/** What the server says of the text; faults are shown. `null` where there are any, or another question was asked since. */
async function check() {
  const turn = ++latest;
  const said = await api("POST", "/api/v1/policy/check", { text: text.value });
  if (turn !== latest) return null;
  showFaults(said.faults);
  if (said.meaning) putButton.textContent = said.meaning.needs_second ? t("제안") : t("시행");
  return said.meaning;
}

const HEADINGS = { floor: "바닥 원칙", rule: "규칙", rest: "나머지", preapproval: "사전승인", budget: "예산", price: "단가", window: "시간대", holidays: "공휴일" };
const DIRECTIONS = { looser: "느슨해짐", stricter: "엄격해짐", other: "느슨해질 수 있음" };
const WEIGHTS = { error: "고쳐야 함", warning: "주의", note: "참고" };
/** As the server decides it: titles, notes and the revision decide nothing. */
const decides = (change) => change.part !== "heading" && change.field !== "title";

function show(title, ...parts) {
  result.hidden = false;
  result.replaceChildren(h("h3", {}, title), ...parts.flat().filter(Boolean));
  result.scrollIntoView({ block: "nearest" });
  result.focus({ preventScroll: true });
}

function findings(list) {
  if (!list.length) return null;
  return h("div.policy-findings", {}, h("h4", {}, t("살펴볼 것")), h("ul", {}, ...list.map((f) => h(`li.weight-${f.weight}`, {}, h("span.chip", {}, t(WEIGHTS[f.weight])), " ", f.sentence))));
}

function preview(meaning) {
  const lines = meaning.preview.map((line) => h("li", {}, h("span.chip", {}, t(HEADINGS[line.kind])), line.id ? h("code", {}, line.id) : null, " ", line.sentence));
  show(t("이 글이 시행되면"), h("ul.policy-lines", {}, ...lines), findings(meaning.findings));
}

function changes(meaning) {
  if (!meaning.changes.length) {
    show(t("바뀌는 것"), h("p.quiet", {}, t("지금 정책과 같습니다.")), findings(meaning.findings));
    return;
  }
  const row = (c) => {
    const kind = decides(c) ? c.direction : "none";
    return h(`li.${kind}`, {}, h("span.chip", {}, kind === "none" ? t("결정과 무관") : t(DIRECTIONS[kind])), " ", c.sentence);
  };
  const words = meaning.needs_second ? t("느슨해질 수 있는 것이 있어, 다른 담당자가 확인해야 시행됩니다.") : t("느슨해지는 것이 없어, 바로 시행할 수 있습니다.");
  show(t("바뀌는 것"), h("p.note.info", {}, words), h("ul.policy-changes", {}, ...meaning.changes.map(row)), findings(meaning.findings));
}

function rehearsed(run) {
  const [first, ...rest] = run.summary;
  const turned = run.turned.map((c) => h("li", {}, h("a", { href: `/review/outside/${c.id}` }, c.sentence), c.explained.length ? h("details.more", {}, h("summary", {}, t("규칙마다 보기")), h("ul", {}, ...c.explained.map((s) => h("li", {}, s)))) : null));
  const over = run.over_budget.map((c) => h("li", {}, h("a", { href: `/review/outside/${c.id}` }, c.reason)));
  const more = (shown, all) => (all > shown ? h("p.quiet", {}, t("앞의 {}건만 보입니다.", number(shown))) : null);
  show(
    t("지난 외부호출에 적용해 보면"),
    h("p", {}, h("b", {}, first ?? "")),
    rest.length ? h("ul.policy-lines", {}, ...rest.map((s) => h("li", {}, s))) : null,
    turned.length ? h("h4", {}, t("달라지는 외부호출")) : null,
    turned.length ? h("ul.policy-lines", {}, ...turned) : null,
    more(run.turned.length, run.turned_in_all),
    over.length ? h("h4", {}, t("새 예산을 넘는 외부호출")) : null,
    over.length ? h("ul.policy-lines", {}, ...over) : null,
    more(run.over_budget.length, run.over_budget_in_all),
  );
}

const actions = {
  preview: async () => {
    const meaning = await check();
    if (meaning) preview(meaning);
  },
  changes: async () => {
    const meaning = await check();
    if (meaning) changes(meaning);
  },
  rehearse: async () => {
    const meaning = await check();
    if (!meaning) return;
    const month = form.elements.namedItem("month").value;
    rehearsed(await api("POST", "/api/v1/policy/rehearse", { text: text.value, month: month || null }));
  },
};

/** Takes away what an earlier answer said of the fields. */
function clear() {
  form.querySelector(".form-summary").replaceChildren();
  form.querySelectorAll('.field-error[id^="error-"]').forEach((el) => el.remove());
  reason.removeAttribute("aria-invalid");
}

/** Runs something that asks the server, the buttons held meanwhile; errors keep what was typed. */
async function asking(button, work) {
  const buttons = [...form.querySelectorAll("button")];
  buttons.forEach((b) => (b.disabled = true));
  button.setAttribute("aria-busy", "true");
  clear();
  try {
    await work();
  } catch (error) {
    showProblem(form, error);
  } finally {
    buttons.forEach((b) => (b.disabled = false));
    button.removeAttribute("aria-busy");
  }
}

form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-policy]");
  if (button) asking(button, actions[button.dataset.policy]);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  asking(putButton, async () => {
    if (!(await check())) {
      text.focus();
      return;
    }
    const put = await api("PUT", "/api/v1/policy", { text: text.value, reason: reason.value, expected_revision: base });
    forget();
    toast(put.state === "in_force" ? t("{}판을 시행했습니다.", put.revision) : t("{}판을 제안했습니다.", put.revision));
    location.assign(put.proposal ? `/review/policy?proposed=${put.revision}#proposal-${put.proposal}` : "/review/policy");
  });
});

restart.addEventListener("click", () => {
  text.value = original;
  reason.value = "";
  base = inForce;
  forget();
  restart.hidden = true;
  stale.hidden = true;
  result.hidden = true;
  showFaults([]);
  text.focus();
});

const look = later(() => check().catch((error) => toast(error.message)), 700);
text.addEventListener("input", () => {
  keep();
  numberLines();
  look();
});
reason.addEventListener("input", keep);
text.addEventListener("scroll", () => (gutter.scrollTop = text.scrollTop));

restore();
numberLines();

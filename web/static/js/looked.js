// What the detector found in a text, drawn: kinds by label and line, never by colour alone.
import { grade, h, icon } from "./dom.js";
import { number, t } from "./i18n.js";
import { copy } from "./page.js";

const OUTCOMES = { block: "차단", mask: "가림", pass: "통과" };
// Words of OUTCOMES for the dictionary: t("차단") t("가림") t("통과")

/** The words for what happens to something found. */
export const outcome = (action) => t(OUTCOMES[action] ?? "통과");

const chip = (action) => h(`span.outcome.outcome-${action}`, {}, outcome(action));

function piece(p) {
  if (!p.kind) return p.text;
  const label = [p.kind, p.action ? ` · ${outcome(p.action)}` : null];
  return h(`mark.found.found-${p.action ?? "grade"}`, {}, p.text, h("span.found-label", {}, ...label, p.grade ? grade(p.grade) : null));
}

function sum(looked) {
  const of = (action) => looked.counts.filter((c) => c.action === action).reduce((n, c) => n + c.count, 0);
  if (!looked.counts.length) return h("p.note.info", {}, icon("check"), h("span", {}, t("개인정보나 등록된 말을 찾지 못했습니다.")));
  const [blocked, masked, passed] = ["block", "mask", "pass"].map(of);
  const words = blocked
    ? t("이대로는 밖으로 보낼 수 없습니다. 차단 {}곳을 지워야 합니다.", number(blocked))
    : masked
      ? t("{}곳을 가리고 나갑니다.", number(masked))
      : t("그대로 나갈 수 있는 것만 {}곳 있습니다.", number(passed));
  return h(`p.note${blocked ? ".bad" : ""}`, {}, icon(blocked ? "alert" : "info"), h("span", {}, words));
}

function table(looked) {
  if (!looked.counts.length) return null;
  const row = (c) => h("tr", {}, h("td", {}, c.kind), h("td", {}, chip(c.action)), h("td.right.num", {}, number(c.count)));
  return h("div.table.look-counts", {}, h("table", {}, h("caption", {}, t("종류마다 찾은 수")),
    h("thead", {}, h("tr", {}, h("th", {}, t("종류")), h("th", {}, t("밖으로 보낸다면")), h("th.right", {}, t("곳")))),
    h("tbody", {}, ...looked.counts.map(row))));
}

function markings(looked) {
  if (!looked.markings.length) return null;
  const one = (m) => h("li", {}, h("b", {}, `‘${m.word}’`), m.page ? ` ${t("{}쪽", m.page)}` : null, ` ${m.reason}`);
  return h("div.note", {}, icon("flag"), h("div", {},
    h("p", {}, t("등급 표시가 있어 이 글은 적어도 이 등급입니다:"), " ", grade(looked.grade), " ", t("공개(O) 등급이 아니면 밖으로 보낼 수 없습니다.")),
    h("ul", {}, ...looked.markings.slice(0, 20).map(one))));
}

function pages(looked) {
  const shown = looked.pages.map((p) => h("section.look-page", {},
    p.number ? h("h4", {}, t("{}쪽", p.number)) : null,
    h("div.look-text", {}, ...p.pieces.map(piece))));
  const left = looked.page_count - looked.pages.length;
  const rest = left > 0 ? h("p.quiet", {}, t("아무것도 찾지 못한 {}쪽은 뺐습니다.", number(left))) : null;
  return h("div", {}, h("h3", {}, t("찾은 자리")), ...shown, rest);
}

function masked(looked) {
  const text = h("div.look-text.look-masked", { tabIndex: 0, role: "region", "aria-label": t("가린 글") }, looked.masked);
  const button = h("button.krds-btn.small.secondary", { type: "button", onclick: () => copy(looked.masked) }, icon("copy"), t("복사"));
  return h("div", {}, h("div.section-head", {}, h("h3", {}, t("가린 글")), button),
    h("p.quiet", {}, t("차단되는 것도 표시로 바꾼 글입니다. 등급 표시는 그대로 둡니다.")), text);
}

/** Everything of an answer; `short`: without the masked text. */
export function drawn(looked, short = false) {
  return h("div.looked", {}, sum(looked), markings(looked), table(looked), pages(looked), short ? null : masked(looked));
}

// The source panel: a passage in its surroundings, beside the answer.
import { api } from "./api.js";
import { grade, h, icon } from "./dom.js";
import { t } from "./i18n.js";

const panel = document.querySelector("[data-source-panel]");
let opener = null;
let asked = 0;

function place(c) {
  const page = c.page ? h("span", {}, c.page_estimated ? t("약 {}쪽", c.page) : t("{}쪽", c.page)) : null;
  return h("p.source-where", {}, grade(c.grade), ...(c.heading_path ?? []).map((s) => h("span", {}, s)), page);
}

/**
 * `passage` as the server gives it: its own `text` and `span`, with `before` and `after` from the document.
 * The citation's span says which words of the text were quoted.
 */
function surroundings(passage, citation) {
  const chars = [...passage.text];
  let from = 0;
  let to = 0;
  if (citation?.span && passage.span) {
    from = citation.span.start - passage.span.start;
    to = citation.span.end - passage.span.start;
  }
  if (!(from >= 0 && to > from && to <= chars.length)) {
    const at = citation?.quote ? passage.text.indexOf(citation.quote) : -1;
    from = at < 0 ? 0 : [...passage.text.slice(0, at)].length;
    to = at < 0 ? 0 : from + [...citation.quote].length;
  }
  // The stored text is Markdown: a heading reads better without its marks.
  const plain = (text) => text.replace(/^#{1,6} +/gm, "");
  const part = (a, b) => plain(chars.slice(a, b).join(""));
  const here = h("div.here", {}, part(0, from), to > from ? h("mark", {}, part(from, to)) : null, part(to));
  return [
    passage.before ? h("p.around", {}, plain(passage.before)) : null,
    here,
    passage.after ? h("p.around", {}, plain(passage.after)) : null,
  ].filter(Boolean);
}

export function close() {
  if (!panel || panel.hidden) return;
  panel.hidden = true;
  document.body.classList.remove("panel-open");
  opener?.setAttribute("aria-expanded", "false");
  opener?.focus();
  opener = null;
}

/** Opens the source of a citation; `from` is the button, which gets the focus back. */
export async function open(citation, from) {
  if (!panel) return;
  const mine = ++asked;
  opener?.setAttribute("aria-expanded", "false");
  opener = from;
  from?.setAttribute("aria-expanded", "true");
  const body = panel.querySelector("[data-source-body]");
  const foot = panel.querySelector("[data-source-foot]");
  panel.querySelector("h2").textContent = `${citation.number}. ${citation.document_title}`;
  body.replaceChildren(place(citation), h("p.muted", {}, t("여는 중…")));
  foot.replaceChildren();
  panel.hidden = false;
  document.body.classList.add("panel-open");
  panel.focus({ preventScroll: true });
  try {
    const passage = await api("GET", `/api/v1/passages/${citation.passage}`);
    if (mine !== asked) return;
    body.replaceChildren(place({ ...citation, ...passage, grade: passage.grade ?? citation.grade }), ...surroundings(passage, citation));
    foot.replaceChildren(
      h("a.krds-btn.small.tertiary", { href: `/documents/${citation.document}?passage=${citation.passage}#target` }, icon("file"), t("문서에서 보기")),
    );
    body.querySelector("mark")?.scrollIntoView({ block: "center" });
  } catch (error) {
    if (mine !== asked) return;
    const words = error.status === 404 ? t("이 근거는 지워졌거나 이제 볼 수 없는 자료에 있습니다.") : error.message;
    body.replaceChildren(place(citation), h("p.note", {}, words), h("div.here", {}, citation.quote ?? ""));
  }
}

panel?.querySelector("[data-source-close]").addEventListener("click", close);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && panel && !panel.hidden && !document.querySelector("dialog[open]")) close();
});

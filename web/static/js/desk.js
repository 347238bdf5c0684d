// The list of outside calls: says when there are new ones, and shows what a search in sealed texts found.
import { api } from "./api.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";

/** Pause between two looks. */
const EVERY = 15_000;

const news = document.querySelector("[data-news]");
let told = 0;

async function look() {
  if (document.hidden) return;
  let count = 0;
  try {
    ({ count } = await api("GET", news.dataset.news));
  } catch {
    // The next look may reach the server again; the list itself stays right.
    return;
  }
  if (count === told) return;
  told = count;
  news.replaceChildren(h("a", { href: news.dataset.fresh }, t("새 기록 {}건", count)));
}

if (news) {
  setInterval(look, EVERY);
  document.addEventListener("visibilitychange", look);
}

const day = (ms) => new Intl.DateTimeFormat("ko-KR", { timeZone: "Asia/Seoul", dateStyle: "medium", timeStyle: "short" }).format(ms);

function hit(found) {
  const side = found.side === "reply" ? t("돌아온 답") : t("나간 글");
  return h("li", {}, h("a", { href: `/review/outside/${found.call}` }, `${found.app_title} · ${found.person_name}`), h("p", {}, found.snippet), h("p.quiet", {}, `${side} · ${day(found.created_at)}`));
}

/** How far the search looked: what it did not open it cannot have found. */
function reach(answer) {
  if (!answer.looked) return t("열어 볼 글이 없습니다.");
  const words = answer.whole ? t("글이 남아 있는 외부호출 {}건을 모두 열어 보았습니다.", answer.looked) : t("새것부터 {}건까지만 열어 보았습니다. 그보다 오래된 것은 보지 않았습니다.", answer.looked);
  return answer.unreadable ? `${words} ${t("{}건은 열 수 없었습니다.", answer.unreadable)}` : words;
}

document.querySelector("[data-bodies]")?.addEventListener("api:done", (event) => {
  const answer = event.detail;
  const list = answer.hits.length ? h("ul", {}, ...answer.hits.map(hit)) : h("p", {}, t("찾는 말이 든 글이 없습니다."));
  document.querySelector("[data-hits]").replaceChildren(h("p", {}, reach(answer)), list);
});

// The rest of a design sheet: sources, form of the answer, schedule, outside calls.
import { grade, h, icon } from "./dom.js";
import { t } from "./i18n.js";

const FORMS = {
  answer: ["문장과 근거"],
  bullets: ["항목"],
  table: ["표", "columns", "열 이름, 한 줄에 하나"],
  draft: ["문서 초안", "sections", "절 제목, 한 줄에 하나"],
  label: ["분류", "classes", "고를 분류, 한 줄에 하나"],
  checklist: ["점검표"],
};
const WEEKDAYS = ["월요일", "화요일", "수요일", "목요일", "금요일", "토요일", "일요일"];
const TIMES = { none: "하지 않음", daily: "매일", weekdays: "평일마다", weekly: "매주", monthly: "매월", yearly: "매년", before_date: "기한 며칠 전" };

const select = (label, value, options, onchange) =>
  h("select.krds-form-select.small", { "aria-label": label, onchange: (e) => onchange(e.target.value) }, ...options.map(([v, words]) => h("option", { value: v, selected: String(v) === String(value) }, words)));

/** Collections that the app looks in. */
export function sources(list, adder, { sheet, collections, changed }) {
  const known = new Map(collections.map((c) => [c.id, c]));

  function line(s, i) {
    const c = s.type === "collection" ? known.get(s.id) : null;
    const name = s.type === "readable" ? t("쓰는 사람이 볼 수 있는 모든 자료") : (c?.name ?? s.name);
    return h("li", {}, icon("folder"), h("span.name", {}, name, " ", c ? h("span.quiet.num", {}, t("문서 {}개", c.documents)) : null),
      s.guessed ? h("button.guess", { type: "button", onclick: () => { s.guessed = false; changed(); draw(); } }, t("추정"), icon("check", t("확인"))) : null,
      c ? grade(c.grade) : null,
      h("button.icon-btn", { type: "button", onclick: () => { sheet().sources.splice(i, 1); changed(); draw(); } }, icon("x", t("{} 빼기", name))));
  }

  adder.addEventListener("change", () => {
    const id = adder.value;
    if (id === "readable") sheet().sources.push({ type: "readable" });
    else if (known.has(id)) sheet().sources.push({ type: "collection", id, name: known.get(id).name, guessed: false });
    else return;
    changed();
    draw();
  });

  function draw() {
    const used = sheet().sources;
    list.replaceChildren(...used.map(line));
    if (!used.length) list.append(h("li.muted", {}, t("자료를 찾지 않고 적은 내용만 봅니다.")));
    const left = collections.filter((c) => !used.some((s) => s.id === c.id));
    adder.replaceChildren(h("option", { value: "" }, t("자료 모음 더하기")), ...left.map((c) => h("option", { value: c.id }, `${c.grade} · ${c.name} (${c.documents})`)),
      ...(used.some((s) => s.type === "readable") ? [] : [h("option", { value: "readable" }, t("쓰는 사람이 볼 수 있는 모든 자료"))]));
  }
  return { draw };
}

/** What the answer looks like. */
export function output(root, { sheet, changed }) {
  function choose(type) {
    const key = FORMS[type][1];
    sheet().output = key ? { type, [key]: sheet().output[key] ?? [] } : { type };
    changed();
    draw();
    root.querySelector("textarea")?.focus();
  }
  function draw() {
    const now = sheet().output;
    const [, key, hint] = FORMS[now.type];
    root.replaceChildren(
      h("div.chips", { role: "group", "aria-label": t("답의 모양") }, ...Object.entries(FORMS).map(([type, [label]]) =>
        h(`button.chip.strong${type === now.type ? ".on" : ""}`, { type: "button", "aria-pressed": String(type === now.type), onclick: () => choose(type) }, t(label)))),
      ...(key ? [h("label.field.input-editor", {}, h("span.label", {}, t(hint)), h("textarea.krds-input", { rows: 4, value: now[key].join("\n"), oninput: (e) => {
        now[key] = e.target.value.split("\n").map((s) => s.trim()).filter(Boolean);
        changed();
      } }))] : []));
  }
  return { draw };
}

/** When the app runs by itself. */
export function schedule(root, { sheet, changed }) {
  const kind = (s) => (!s ? "none" : s.type === "daily" && s.weekdays_only ? "weekdays" : s.type);

  function choose(name) {
    const time = { hour: sheet().schedule?.hour ?? 9, minute: sheet().schedule?.minute ?? 0 };
    const date = sheet().inputs.find((i) => i.kind.type === "date");
    sheet().schedule = {
      none: null,
      daily: { type: "daily", ...time, weekdays_only: false },
      weekdays: { type: "daily", ...time, weekdays_only: true },
      weekly: { type: "weekly", weekday: 1, ...time },
      monthly: { type: "monthly", day: 1, ...time },
      yearly: { type: "yearly", month: 1, day: 1, ...time },
      before_date: { type: "before_date", days: 1, field: date?.key ?? "", ...time },
    }[name];
    changed();
    draw();
  }

  const set = (key, cast = Number) => (value) => {
    sheet().schedule[key] = cast(value);
    changed();
  };
  const range = (from, to, words) => Array.from({ length: to - from + 1 }, (_, i) => [from + i, t(words, from + i)]);

  function draw() {
    const s = sheet().schedule;
    const dates = sheet().inputs.filter((i) => i.kind.type === "date");
    const names = Object.entries(TIMES).filter(([n]) => n !== "before_date" || dates.length || s?.type === "before_date");
    const more = [];
    if (s?.type === "yearly") more.push(select(t("월"), s.month, range(1, 12, "{}월"), set("month")));
    if (s?.type === "monthly" || s?.type === "yearly") more.push(select(t("일"), s.day, range(1, 31, "{}일"), set("day")));
    if (s?.type === "weekly") more.push(select(t("요일"), s.weekday, WEEKDAYS.map((w, i) => [i + 1, t(w)]), set("weekday")));
    if (s?.type === "before_date") {
      more.push(select(t("기한 칸"), s.field, dates.map((d) => [d.key, d.label]), set("field", String)), select(t("며칠 전"), s.days, range(1, 30, "{}일 전"), set("days")));
    }
    if (s) {
      more.push(h("input.krds-input.small", { type: "time", "aria-label": t("시각"), value: `${String(s.hour).padStart(2, "0")}:${String(s.minute).padStart(2, "0")}`, onchange: (e) => {
        const [hour, minute] = e.target.value.split(":").map(Number);
        if (Number.isInteger(hour)) Object.assign(s, { hour, minute });
        changed();
      } }));
    }
    root.replaceChildren(select(t("때맞춰 하기"), kind(s), names.map(([n, w]) => [n, t(w)]), choose), h("div.setting-row", {}, ...more));
  }
  return { draw };
}

/** May a run ask for an outside call? Only where every source is open. */
export function outside(root, { sheet, changed, level }) {
  function draw() {
    const open = level() === "O";
    if (!open && sheet().outside === "ask") sheet().outside = "never";
    root.replaceChildren(
      select(t("외부호출"), sheet().outside, [["never", t("하지 않음")], ...(open ? [["ask", t("물을 때마다 심사")]] : [])], (v) => {
        sheet().outside = v;
        changed();
      }),
      h("p.quiet", {}, open ? t("허용해도 한 건씩 보안담당이 읽고 승인해야 나갑니다.") : t("O 등급 자료만 쓰는 앱에서 고를 수 있습니다.")));
  }
  return { draw };
}

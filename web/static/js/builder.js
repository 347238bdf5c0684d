// The builder: a design sheet that is edited in place, saved as it changes, tried beside itself.
import { api } from "./api.js";
import { grade, h, island, later, toast } from "./dom.js";
import { showProblem } from "./form.js";
import { inputFields, trialForm } from "./fields.js";
import { t } from "./i18n.js";
import { runner } from "./run.js";
import { grow, sentences } from "./sentences.js";
import * as settings from "./settings.js";

const SAVE_AFTER_MS = 900;
const RANK = { O: 0, S: 1, C: 2 };
const TASKS = { question_answering: "질의응답", summary: "요약", draft: "문서 초안", extraction: "항목 추출", classification: "분류", rule_check: "기준 점검", table_analysis: "표 분석" };

const $ = (name) => document.querySelector(`[data-${name}]`);
const state = island("builder-data");
const address = `/api/v1/drafts/${state.draft}`;
let dirty = false;
let saving = null;
let blocked = false;

const sheet = () => state.sheet;
const level = () =>
  sheet().sources.reduce((top, s) => {
    const g = state.collections.find((c) => c.id === s.id)?.grade ?? "O";
    return RANK[g] > RANK[top] ? g : top;
  }, "O");

const autosave = later(() => save().catch(() => {}), SAVE_AFTER_MS);
function changed() {
  dirty = true;
  say(t("저장하는 중…"));
  trialForm($("trial-fields"), sheet().inputs, state.example);
  ready();
  autosave();
}
const context = { sheet, changed, collections: state.collections, level };
const parts = [
  sentences($("sentences"), context),
  inputFields($("inputs"), $("input-editor"), context),
  settings.sources($("sources"), $("add-source"), { ...context, changed: () => { changed(); outsidePart.draw(); } }),
  settings.output($("output"), context),
  settings.schedule($("schedule"), context),
];
const outsidePart = settings.outside($("outside"), context);

function say(words, bad = false) {
  const el = $("save-state");
  el.textContent = words;
  el.classList.toggle("field-error", bad);
}

/** Writes what was changed; one request at a time, and again if more was typed meanwhile. */
async function save() {
  if (saving) {
    await saving;
    return save();
  }
  if (!dirty || blocked) return;
  dirty = false;
  saving = api("PUT", address, { revision: state.revision, sheet: sheet() });
  try {
    const answer = await saving;
    state.revision = answer.revision;
    faults(answer.faults ?? []);
    if (!dirty) say((answer.faults ?? []).length ? t("저장했습니다. 고칠 곳이 {}군데 있습니다.", answer.faults.length) : t("저장했습니다."));
  } catch (error) {
    dirty = true;
    if (error.status === 409) conflict(error);
    else say(error.message, true);
    throw error;
  } finally {
    saving = null;
  }
}

/** Marks what keeps the sheet from becoming a version, where it stands. */
function faults(list) {
  document.querySelectorAll(".sheet-paper [aria-invalid]").forEach((e) => e.removeAttribute("aria-invalid"));
  document.querySelectorAll(".sheet-paper .field-error").forEach((e) => e.remove());
  for (const { field, message } of list) {
    const [part, i] = field.split(".");
    const el = part === "sentences" && i !== undefined ? $("sentences").children[i]?.querySelector("textarea") : document.querySelector(`[data-field="${CSS.escape(part)}"], [data-${CSS.escape(part)}]`);
    if (!el) continue;
    el.setAttribute("aria-invalid", "true");
    if (document.activeElement !== el) (el.closest("li") ?? el).after(h("p.field-error", {}, message));
  }
}

/** Two people edit one sheet: say who and what, and let this one choose. */
function conflict(error) {
  blocked = true;
  const dialog = document.getElementById("conflict-dialog");
  const theirs = error.body?.current;
  const mine = new Set(sheet().sentences.map((s) => s.text));
  const other = theirs?.sheet?.sentences?.map((s) => s.text) ?? [];
  dialog.querySelector("[data-conflict-words]").textContent = error.message;
  dialog.querySelector("[data-conflict-list]").replaceChildren(
    ...other.filter((s) => !mine.has(s)).map((s) => h("li", {}, t("그 사람이 쓴 문장: {}", s))),
    ...[...mine].filter((s) => theirs && !other.includes(s)).map((s) => h("li", {}, t("내가 쓴 문장: {}", s))),
  );
  dialog.querySelector("[data-take-theirs]").onclick = () => {
    dirty = false;
    location.reload();
  };
  dialog.querySelector("[data-keep-mine]").onclick = async () => {
    try {
      state.revision = theirs?.revision ?? (await api("GET", address)).revision;
      blocked = false;
      dirty = true;
      dialog.close();
      await save();
    } catch (again) {
      toast(again.message);
    }
  };
  if (!dialog.open) dialog.showModal();
}

function questions() {
  $("questions").replaceChildren(...state.questions.map((q) =>
    h("div.question", {}, h("p", {}, q.text), h("div.chips", {}, ...q.options.map((option, i) => h("button.chip.strong", { type: "button", onclick: () => answer(q, i) }, option))))));
}

async function answer(question, option) {
  try {
    await save();
    const next = await api("POST", `${address}/answers`, { revision: state.revision, question: question.id, option });
    Object.assign(state, { revision: next.revision, sheet: next.sheet, questions: next.questions });
    draw();
    say(t("저장했습니다."));
  } catch (error) {
    if (error.status !== 409) toast(error.message);
  }
}

function ready() {
  const guessed = sheet().sentences.filter((s) => s.guessed).length + sheet().inputs.filter((i) => i.guessed).length + sheet().sources.filter((s) => s.guessed).length;
  const open = state.questions.length;
  $("grade").replaceChildren(grade(level()));
  $("readiness").replaceChildren(
    guessed ? h("span.state", {}, t("확인할 추정 {}곳", guessed)) : h("span.state.good", {}, t("추정 없음")),
    open ? h("span.state", {}, t("남은 물음 {}개", open)) : "",
  );
}

function draw() {
  $("task").textContent = t(TASKS[sheet().task] ?? "");
  for (const area of document.querySelectorAll("[data-field]")) {
    area.value = sheet()[area.dataset.field];
    grow(area);
  }
  parts.forEach((p) => p.draw());
  outsidePart.draw();
  questions();
  trialForm($("trial-fields"), sheet().inputs, state.example);
  ready();
}

for (const area of document.querySelectorAll("[data-field]")) {
  area.addEventListener("input", () => {
    sheet()[area.dataset.field] = area.value.replace(/\n/g, " ");
    grow(area);
    changed();
  });
  area.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
}
$("add-sentence").addEventListener("click", () => parts[0].add());

// Trial: runs what is on the page, and keeps the answer before an edit to compare with.
runner($("run"), $("answer"), {
  trial: true,
  before: async () => {
    await save();
    const before = $("answer").querySelector("[data-text]");
    const box = $("before");
    box.hidden = !before.textContent;
    box.querySelector("[data-before-text]").replaceChildren(...[...before.cloneNode(true).childNodes]);
    box.querySelectorAll("button.cite").forEach((b) => (b.disabled = true));
    return { revision: state.revision };
  },
});

async function version() {
  await save();
  const made = await api("POST", `${address}/versions`, { revision: state.revision });
  state.app = made.app;
  return made;
}

$("save").addEventListener("click", async (event) => {
  event.currentTarget.disabled = true;
  const button = event.currentTarget;
  try {
    const made = await version();
    say(t("{}판으로 저장했습니다.", made.version));
    toast(t("{}판으로 저장했습니다.", made.version));
    $("save-state").append(" ", h("a", { href: `/apps/${made.app}` }, t("앱 보기")));
  } catch (error) {
    if (error.status !== 409) say(error.message, true);
    faults(error.fields ?? []);
  } finally {
    button.disabled = false;
  }
});

$("share").addEventListener("click", () => document.getElementById("share-dialog").showModal());
$("share-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  form.querySelectorAll("button").forEach((b) => (b.disabled = true));
  try {
    const made = await version();
    await api("POST", `/api/v1/apps/${made.app}/submissions`, { version: made.version, note: form.elements.note.value });
    dirty = false;
    location.assign(`/apps/${made.app}`);
  } catch (error) {
    showProblem(form, error);
  } finally {
    form.querySelectorAll("button").forEach((b) => (b.disabled = false));
  }
});

addEventListener("beforeunload", (event) => {
  if (dirty || saving) event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "s") {
    event.preventDefault();
    save().catch(() => {});
  }
});

draw();

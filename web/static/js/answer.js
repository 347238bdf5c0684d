// One answer on the page: streamed text, citations, what came of it, and what can be done with it.
import { grade, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { copy } from "./page.js";
import * as source from "./source.js";

/** Puts text into `el` with `[n]` as citation buttons. Markdown stays as written until `done` brings HTML. */
function plain(el, text, citations) {
  const parts = text.split(/\[(\d{1,3})\]/);
  el.replaceChildren(...parts.map((p, i) => (i % 2 ? mark(Number(p), citations) : p)));
}

function mark(number, citations) {
  const known = citations.get(number);
  return h("button.cite", { type: "button", "aria-label": t("근거 {}", number), "aria-expanded": "false", onclick: (e) => citations.get(number) && source.open(citations.get(number), e.currentTarget), disabled: !known }, String(number));
}

/** Turns `[n]` in the text nodes of sanitised HTML, and links to `#source-n`, into citation buttons. */
export function bindCitations(root, citations) {
  for (const a of root.querySelectorAll('a[href^="#source-"], a[data-cite]')) {
    const n = Number(a.dataset.cite ?? a.getAttribute("href").slice(8));
    if (citations.has(n)) a.replaceWith(mark(n, citations));
  }
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) if (/\[\d{1,3}\]/.test(walker.currentNode.data) && !walker.currentNode.parentElement.closest("code,pre,button")) texts.push(walker.currentNode);
  for (const node of texts) {
    const parts = node.data.split(/\[(\d{1,3})\]/);
    node.replaceWith(...parts.map((p, i) => (i % 2 ? (citations.has(Number(p)) ? mark(Number(p), citations) : `[${p}]`) : p)));
  }
}

const engineWords = (engine) => (engine.generates ? t("{} 엔진이 쓰는 중", engine.label) : t("{}이 근거를 옮기는 중", engine.label));

function sourceLine(c, open) {
  const page = c.page ? h("span", {}, c.page_estimated ? t("약 {}쪽", c.page) : t("{}쪽", c.page)) : null;
  return h("li.source", { id: `source-${c.number}` }, h("span.source-no", {}, String(c.number)),
    h("div", {}, h("button.bare", { type: "button", "aria-expanded": "false", onclick: (e) => open(c, e.currentTarget) }, c.document_title),
      h("p.source-where", {}, grade(c.grade), ...c.heading_path.map((s) => h("span", {}, s)), page), h("p.clip.source-quote", {}, c.quote)));
}

export class Answer {
  /** `root` is the section of answer.html. */
  constructor(root, { trial = false, again = null } = {}) {
    const $ = (name) => root.querySelector(`[data-${name}]`);
    Object.assign(this, { root, $, trial, again, citations: new Map(), markdown: "", run: null, engine: null, stage: null, frame: 0 });
  }

  start() {
    this.citations.clear();
    Object.assign(this, { markdown: "", run: null, engine: null, stage: null });
    this.root.hidden = false;
    this.status(t("자료를 찾는 중"), "busy");
    this.$("text").replaceChildren();
    this.$("text").classList.add("streaming");
    this.$("text").setAttribute("aria-busy", "true");
    for (const name of ["progress", "unanswered", "unfilled", "sources-box", "foot"]) this.$(name).hidden = true;
    this.$("source-list").replaceChildren();
    source.close();
  }

  status(words, kind = "") {
    const el = this.$("status");
    el.className = `answer-status ${kind}`;
    el.textContent = words;
  }

  /**
   * How far a long piece of work is. The bar stands only while there is no text yet, so that nothing moves under the
   * reader's eyes; afterwards the words above the text go on telling.
   */
  progress({ stage, done, total }) {
    if (!total) return;
    if (this.stage !== stage) Object.assign(this, { stage, since: performance.now(), first: done });
    const words = stage === "gathering" ? t("읽은 내용을 모으는 중 {}/{}", done, total) : stage === "writing" ? t("나누어 쓰는 중 {}/{}", done, total) : t("문서를 나누어 읽는 중 {}/{}", done, total);
    const left = this.left(done, total);
    this.status(left ? `${words} · ${left}` : words, "busy");
    const bar = this.$("progress");
    bar.max = total;
    bar.value = done;
    bar.hidden = Boolean(this.markdown);
  }

  /** Time left at the pace of this stage so far; nothing before the first part is done. */
  left(done, total) {
    const parts = done - this.first;
    if (parts < 1 || done >= total) return "";
    const seconds = ((performance.now() - this.since) / 1000 / parts) * (total - done);
    return seconds < 60 ? t("약 {}초 남음", Math.max(1, Math.round(seconds))) : t("약 {}분 남음", Math.round(seconds / 60));
  }

  /** The engine's own words again, once its text comes. */
  writing() {
    this.$("progress").hidden = true;
    if (!this.stage) return;
    this.stage = null;
    if (this.engine) this.status(engineWords(this.engine), "busy");
  }

  /** Draws at most once a frame; text only grows at its end, so nothing above it moves. */
  draw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      plain(this.$("text"), this.markdown, this.citations);
    });
  }

  on(event, data) {
    switch (event) {
      case "run":
        this.run = data.id;
        break;
      case "engine":
        this.engine = data;
        this.stage = null;
        this.$("progress").hidden = true;
        this.status(engineWords(data), "busy");
        break;
      case "progress":
        this.progress(data);
        break;
      case "text":
        // A first part may be written while others wait: their stage goes on being told.
        if (this.stage !== "writing") this.writing();
        else this.$("progress").hidden = true;
        this.markdown += data.text;
        this.draw();
        break;
      case "citation":
        this.citations.set(data.number, data);
        this.draw();
        break;
      case "done":
        this.finish(data);
        break;
      case "stopped":
        this.stopped();
        break;
      case "error":
        this.fail(data.message);
        break;
    }
  }

  settle() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.$("text").removeAttribute("aria-busy");
    this.$("progress").hidden = true;
  }

  finish(data) {
    this.settle();
    const text = this.$("text");
    // `html` was sanitised by the server; nothing else is ever set as markup.
    if (data.html) {
      text.classList.remove("streaming");
      text.innerHTML = data.html;
      bindCitations(text, this.citations);
    } else plain(text, this.markdown, this.citations);
    this.status("");
    this.$("unanswered").hidden = data.answered !== false;
    this.$("unfilled").hidden = !data.unfilled?.length;
    this.$("unfilled-list").textContent = (data.unfilled ?? []).join(", ");
    this.sources();
    const seconds = (data.ms / 1000).toFixed(data.ms < 10000 ? 1 : 0);
    this.$("meta").replaceChildren(h("span", {}, this.engine?.label ?? ""), h("span.num", {}, t("{}초", seconds)), data.grade ? grade(data.grade) : "");
    this.actions();
    this.$("foot").hidden = false;
  }

  sources() {
    const list = [...this.citations.values()].sort((a, b) => a.number - b.number);
    this.$("source-list").replaceChildren(...list.map((c) => sourceLine(c, source.open)));
    this.$("sources-box").hidden = !list.length;
  }

  stopped() {
    this.settle();
    if (this.markdown) plain(this.$("text"), this.markdown, this.citations);
    this.sources();
    this.status(t("멈췄습니다."));
    this.actions();
    this.$("foot").hidden = false;
  }

  fail(message) {
    this.settle();
    this.status(message, "bad");
    this.actions();
    this.$("foot").hidden = false;
  }

  actions() {
    const small = "krds-btn.small.tertiary";
    const link = (format, label) => h(`a.${small}`, { href: `/api/v1/runs/${this.run}/export?format=${format}`, download: "" }, icon("download"), label);
    const hasTable = this.$("text").querySelector("table");
    this.$("actions").replaceChildren(
      ...[
        this.markdown && h(`button.${small}`, { type: "button", onclick: () => copy(this.$("text").innerText) }, icon("copy"), t("복사")),
        hasTable && h(`button.${small}`, { type: "button", onclick: () => copy(tsv(hasTable)) }, icon("table"), t("표로 복사")),
        ...(this.run && !this.trial && this.markdown ? [link("hwpx", "HWPX"), link("docx", "DOCX"), link("md", "Markdown")] : []),
        this.again && h(`button.${small}`, { type: "button", onclick: this.again }, icon("refresh"), t("다시")),
        this.run && !this.trial && h(`a.${small}`, { href: `/runs/${this.run}` }, icon("flag"), t("잘못된 답 알리기")),
      ].filter(Boolean),
    );
  }
}

/** A table as tab-separated lines, which spreadsheets take as cells. */
function tsv(table) {
  return [...table.rows].map((r) => [...r.cells].map((c) => c.innerText.replace(/\s+/g, " ").trim()).join("\t")).join("\n");
}

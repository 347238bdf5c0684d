// Running an app: the run page and the trial beside a design sheet.
import { ApiError, api, send } from "./api.js";
import { Answer, bindCitations } from "./answer.js";
import { composing, island } from "./dom.js";
import { showProblem } from "./form.js";
import { t } from "./i18n.js";
import * as source from "./source.js";
import { events } from "./sse.js";

/**
 * Makes a form run. `options.before()` may prepare the body: it returns what is sent with the inputs, or `null` to
 * give up. The promise of a run resolves when it has ended in any way.
 */
export function runner(form, answerRoot, { before = () => ({}), trial = false } = {}) {
  const sendButton = form.querySelector("[data-send]");
  const stopButton = form.querySelector("[data-stop]");
  const answer = new Answer(answerRoot, { trial, again: () => start() });
  let running = null;

  const inputs = () => Object.fromEntries([...new FormData(form)].filter(([, v]) => typeof v === "string" && v !== ""));

  function busy(on) {
    const focused = [sendButton, stopButton].includes(document.activeElement);
    form.classList.toggle("busy", on);
    sendButton.hidden = on;
    stopButton.hidden = !on;
    stopButton.disabled = false;
    if (focused) (on ? stopButton : sendButton).focus();
  }

  async function start() {
    if (running || !form.reportValidity()) return;
    const controller = new AbortController();
    running = controller;
    busy(true);
    form.querySelectorAll(".field-error").forEach((e) => e.remove());
    form.querySelector(".form-summary")?.replaceChildren();
    try {
      const extra = await before();
      if (!extra) return;
      fold(true);
      answer.start();
      const response = await send("POST", form.dataset.runPath, { ...extra, inputs: inputs() }, {
        signal: controller.signal,
        headers: { Accept: "text/event-stream" },
      });
      let ended = false;
      for await (const { event, data } of events(response)) {
        answer.on(event, data);
        ended ||= ["done", "stopped", "error"].includes(event);
      }
      if (!ended) answer.fail(t("답이 오다가 끊겼습니다. 다시 해 주세요."));
    } catch (error) {
      if (controller.signal.aborted) answer.stopped();
      else if (error instanceof ApiError && error.status === 422) {
        fold(false);
        answer.root.hidden = true;
        showProblem(form, error);
      } else answer.fail(error.message);
    } finally {
      running = null;
      busy(false);
    }
  }

  function stop() {
    if (!running) return;
    stopButton.disabled = true;
    // Closing the stream already ends the run; the call makes sure where a proxy keeps the stream open.
    if (answer.run) api("POST", `/api/v1/runs/${answer.run}/stop`).catch(() => {});
    running.abort();
  }

  function fold(on) {
    const folded = form.querySelector("[data-folded]");
    if (form.dataset.fold === undefined || !folded) return;
    form.classList.toggle("folded", on);
    folded.hidden = !on;
    // Two lines are seen; a pasted document would keep the page busy laying out what is not.
    form.querySelector("[data-folded-text]").textContent = Object.values(inputs()).map((v) => v.slice(0, 400)).join(" · ").slice(0, 400);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  stopButton.addEventListener("click", stop);
  form.querySelector("[data-unfold]")?.addEventListener("click", () => {
    fold(false);
    form.querySelector("textarea, input, select")?.focus();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || composing(event) || event.target.tagName !== "TEXTAREA") return;
    event.preventDefault();
    start();
  });
  return { start, stop, answer };
}

const form = document.querySelector("form[data-run][data-fold]");
if (form) {
  const version = Number(form.dataset.version) || undefined;
  runner(form, document.querySelector("[data-answer]"), { before: () => ({ version }) });
}

// A run as it is kept: its citations open beside the answer too.
const kept = document.querySelector("[data-kept-answer]");
if (kept) {
  const citations = new Map((island("citations") ?? []).map((c) => [c.number, c]));
  bindCitations(kept.querySelector(".prose"), citations);
  kept.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-number]");
    const citation = link && citations.get(Number(link.dataset.number));
    if (!citation || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    source.open(citation, link);
  });
}

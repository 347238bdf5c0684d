// Files into a collection: drop anywhere or choose, progress per file while sending, then while the server reads them.
import { api, csrf, toSignIn } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { confirm } from "./form.js";
import { bytes, t } from "./i18n.js";

const area = document.querySelector("[data-upload]");
const address = area?.dataset.upload;
const AT_ONCE = 2;
const POLL_MS = 1500;
const STATES = { waiting: "기다리는 중", processing: "읽는 중", indexing: "색인하는 중", ready: "준비됨", failed: "읽지 못함", cancelled: "취소됨" };
const active = (state) => ["waiting", "processing", "indexing"].includes(state);

/** Files waiting, being sent, or sent; a queue of at most two at once keeps the line free for others. */
const queue = [];
let sending = 0;
let pending = 0;

function line(file) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": file.name });
  const words = h("p.num", {}, t("차례를 기다립니다"));
  const cancel = h("button.icon-btn", { type: "button", title: t("취소") }, icon("x", t("{} 취소", file.name)));
  const li = h("li", {}, h("span.lead-icon", {}, icon("file")), h("div.body", {}, h("b", {}, file.name), words, bar), cancel);
  return { li, bar, words, cancel };
}

/** `to`: where the files go; the collection if not given, a document whose place they take otherwise. */
function enqueue(files, to = address) {
  const list = document.querySelector("[data-upload-list]");
  document.querySelector("[data-uploads]").hidden = false;
  for (const file of files) {
    const ui = line(file);
    const job = { file, ui, to, request: null, state: "queued", loaded: 0, started: 0 };
    ui.cancel.addEventListener("click", () => cancel(job));
    list.append(ui.li);
    queue.push(job);
    pending++;
    if (file.size === 0) end(job, t("빈 파일입니다. 내용이 있는 파일을 올려 주세요."), true);
  }
  next();
}

function cancel(job) {
  if (job.state === "sending") job.request.abort();
  else if (job.state === "queued") end(job, t("취소했습니다."), true);
}

function end(job, words, bad) {
  if (job.state === "ended") return;
  job.state = "ended";
  pending--;
  job.ui.bar.hidden = true;
  job.ui.cancel.hidden = true;
  job.ui.words.textContent = words;
  job.ui.words.className = bad ? "field-error" : "num";
  if (!bad) setTimeout(() => job.ui.li.remove(), 4000);
}

function rate(job) {
  const seconds = (performance.now() - job.started) / 1000;
  return seconds > 0.5 ? `${bytes(job.loaded / seconds)}/s` : "";
}

function next() {
  while (sending < AT_ONCE) {
    const job = queue.find((j) => j.state === "queued");
    if (!job) break;
    start(job);
  }
  if (pending === 0) finished();
}

function start(job) {
  sending++;
  job.state = "sending";
  job.started = performance.now();
  const request = (job.request = new XMLHttpRequest());
  const body = new FormData();
  body.append("file", job.file, job.file.name);
  request.open("POST", job.to);
  request.setRequestHeader("X-CSRF-Token", csrf());
  request.setRequestHeader("Accept", "application/json");
  request.upload.addEventListener("progress", (event) => {
    job.loaded = event.loaded;
    job.ui.bar.value = event.lengthComputable ? event.loaded / event.total : 0;
    job.ui.words.textContent = event.loaded < event.total ? `${bytes(event.loaded)} / ${bytes(event.total)} · ${rate(job)}` : t("받은 것을 확인하는 중");
  });
  request.addEventListener("loadend", () => {
    sending--;
    settle(job, request);
    next();
  });
  request.addEventListener("abort", () => end(job, t("취소했습니다."), true));
  request.addEventListener("error", () => end(job, t("보내다가 끊겼습니다. 연결을 확인하고 다시 올려 주세요."), true));
  request.send(body);
}

function settle(job, request) {
  if (job.state === "ended" || request.status === 0) return;
  if (request.status === 401) return toSignIn();
  let answer = {};
  try {
    answer = JSON.parse(request.responseText);
  } catch {
    // A proxy's own page; the status then says enough.
  }
  if (request.status < 300) {
    const first = answer.documents?.[0];
    if (first?.error) end(job, first.error.message ?? first.error, true);
    else end(job, first?.duplicate ? t("이미 있는 파일입니다. 더하지 않았습니다.") : t("받았습니다. 이제 읽습니다."), false);
  } else if (request.status === 413) end(job, answer.error?.message ?? t("파일이 너무 큽니다. 나누어 올려 주세요."), true);
  else end(job, answer.error?.message ?? t("올리지 못했습니다({}).", request.status), true);
}

/** All sent: the list of documents shows how they are read. Failures stay to be read, so no reload over them. */
function finished() {
  if (!queue.length) return;
  const failed = queue.some((j) => j.ui.words.classList.contains("field-error"));
  queue.length = 0;
  if (failed) refresh();
  else location.reload();
}

/** Brings the shown documents up to date; reloads once when a new one appeared or one came to its end. */
async function refresh() {
  let documents;
  try {
    ({ documents } = await api("GET", address));
  } catch (error) {
    if (error.status === 401) return;
    setTimeout(refresh, POLL_MS * 4);
    return;
  }
  let ended = false;
  for (const d of documents) {
    const row = document.querySelector(`[data-document="${CSS.escape(d.id)}"]`);
    if (!row) continue;
    if (active(row.dataset.state) && !active(d.state)) ended = true;
    const cell = row.querySelector("[data-state-cell]");
    if (active(d.state)) {
      const bar = cell.querySelector("progress");
      if (bar) bar.value = d.percent;
      const word = cell.querySelector(".state");
      if (row.dataset.state !== d.state) word.textContent = t(STATES[d.state]);
      row.dataset.state = d.state;
      if (d.note) (cell.querySelector("small") ?? cell.appendChild(h("small"))).textContent = d.note;
    }
  }
  // Not over an open dialog or files still on their way.
  if (ended && pending === 0 && !document.querySelector("dialog[open]") && !document.querySelector(".uploads .field-error")) return location.reload();
  if (documents.some((d) => active(d.state))) setTimeout(refresh, POLL_MS);
}

if (area) {
  document.getElementById("files")?.addEventListener("change", (event) => {
    enqueue([...event.target.files]);
    event.target.value = "";
  });
  area.addEventListener("change", (event) => {
    const { replace } = event.target.dataset;
    if (!replace || !event.target.files.length) return;
    enqueue([...event.target.files], replace);
    event.target.value = "";
  });
  if (area.dataset.canEdit !== undefined) {
    let depth = 0;
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragenter", (event) => hasFiles(event) && ++depth && document.body.classList.add("dragging-files"));
    addEventListener("dragleave", (event) => {
      if (hasFiles(event) && --depth <= 0) document.body.classList.remove("dragging-files");
    });
    addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
    addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth = 0;
      document.body.classList.remove("dragging-files");
      const files = [...event.dataTransfer.files].filter((f) => f.size > 0 || f.type !== "");
      if (files.length) enqueue(files);
      else toast(t("폴더는 올릴 수 없습니다. 안의 파일을 골라 주세요."));
    });
  }
  document.querySelector("[data-cancel-all]")?.addEventListener("click", () => {
    [...queue].forEach(cancel);
    next();
  });
  addEventListener("beforeunload", (event) => {
    if (pending > 0) event.preventDefault();
  });
  // A click on a link while files are on their way would stop them.
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[href]");
    if (!link || pending === 0 || link.hasAttribute("download")) return;
    event.preventDefault();
    if (await confirm(t("아직 올리는 파일이 {}개 있습니다. 나가면 그 파일들은 올라가지 않습니다.", pending), t("나가기"))) {
      pending = 0;
      location.assign(link.href);
    }
  });
  if ([...document.querySelectorAll("[data-document]")].some((row) => active(row.dataset.state))) setTimeout(refresh, POLL_MS);
}

// Looking for personal data: a text as typed, a TXT or MD file read here, any other document read by the server.
import { api, csrf, problem, toSignIn } from "./api.js";
import { h } from "./dom.js";
import { showProblem } from "./form.js";
import { t } from "./i18n.js";
import { drawn } from "./looked.js";

const form = document.querySelector("[data-look]");
const file = document.getElementById("look-file");
const result = document.querySelector("[data-looked]");
const found = result.querySelector("[data-found]");

function show(looked) {
  const notes = (looked.warnings ?? []).map((w) => h("p.quiet", {}, w));
  found.replaceChildren(...(looked.name ? [h("p", {}, h("b", {}, looked.name))] : []), ...notes, drawn(looked));
  result.hidden = false;
  result.focus();
}

function clear() {
  form.querySelector(".form-summary").replaceChildren();
  form.querySelectorAll(".field-error").forEach((e) => e.remove());
  form.elements.text.removeAttribute("aria-invalid");
}

/** Runs `work` with the buttons off and shows what went wrong. */
async function busy(work) {
  clear();
  const buttons = form.querySelectorAll("button");
  buttons.forEach((b) => (b.disabled = true));
  form.setAttribute("aria-busy", "true");
  try {
    show(await work());
  } catch (error) {
    result.hidden = true;
    showProblem(form, error);
  } finally {
    buttons.forEach((b) => (b.disabled = false));
    form.removeAttribute("aria-busy");
  }
}

/** UTF-8, or else the older Korean encoding. */
function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("euc-kr").decode(bytes);
  }
}

async function upload(chosen) {
  if (chosen.size > Number(form.dataset.maxDocument)) throw new Error(t("20MB까지 살펴볼 수 있습니다. 문서를 나누어 살펴보세요."));
  const body = new FormData();
  body.append("file", chosen);
  const response = await fetch("/api/v1/tools/pii/document", { method: "POST", body, credentials: "same-origin", headers: { Accept: "application/json", "X-CSRF-Token": csrf() } });
  if (response.status === 401) toSignIn();
  if (!response.ok) throw await problem(response);
  return response.json();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  busy(() => api("POST", "/api/v1/tools/pii", { text: form.elements.text.value }));
});
form.querySelector("[data-choose]").addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  const [chosen] = file.files;
  if (!chosen) return;
  busy(async () => {
    if (!/\.(txt|md)$/i.test(chosen.name) || chosen.size > 4 * Number(form.dataset.maxText)) return upload(chosen);
    form.elements.text.value = decoded(await chosen.arrayBuffer());
    return api("POST", "/api/v1/tools/pii", { text: form.elements.text.value });
  });
  file.value = "";
});

// Forms and buttons that change something: <form data-api="POST /path" data-then="/to/{id}"> and
// <button data-api="DELETE /path" data-confirm="sentence">. See web/README.md for the attributes.
import { api, send } from "./api.js";
import { h, toast } from "./dom.js";
import { t } from "./i18n.js";

/** One field's value by its data-type: number, bool, array (repeated names), lines, json; else text. */
function value(el) {
  switch (el.dataset.type) {
    case "number":
      return el.value === "" ? null : Number(el.value);
    case "bool":
      return el.type === "checkbox" ? el.checked : el.value === "true";
    case "lines":
      return el.value.split("\n").map((s) => s.trim()).filter(Boolean);
    case "json":
      return JSON.parse(el.value);
    default:
      return el.value;
  }
}

/** The form as JSON. Dots in a name make objects; data-optional leaves an empty text out. */
export function serialise(form) {
  const out = {};
  for (const el of form.elements) {
    if (!el.name || el.disabled || el.type === "submit" || el.type === "button") continue;
    if (el.type === "radio" && !el.checked) continue;
    const path = el.name.split(".");
    const last = path.pop();
    const at = path.reduce((o, key) => (o[key] ??= {}), out);
    if (el.dataset.type === "array") {
      at[last] ??= [];
      if (el.value === "") continue;
      if (el.type !== "checkbox" || el.checked) at[last].push(el.value);
    } else if (el.type === "checkbox" && !el.dataset.type) {
      if (el.checked) at[last] = el.value;
    } else if (!(el.dataset.optional !== undefined && el.value === "")) at[last] = value(el);
  }
  return out;
}

function clear(form) {
  form.querySelectorAll(".field-error").forEach((e) => e.remove());
  form.querySelectorAll("[aria-invalid]").forEach((e) => {
    e.removeAttribute("aria-invalid");
    e.removeAttribute("aria-errormessage");
  });
  const summary = form.querySelector(".form-summary");
  if (summary) summary.replaceChildren();
}

/** Shows a problem next to its fields, and in the summary what has no field of its own. */
export function showProblem(form, error) {
  let first = null;
  let elsewhere = !error.fields?.length;
  for (const { field, message } of error.fields ?? []) {
    const el = form.elements.namedItem(field);
    const input = el instanceof RadioNodeList ? el[0] : el;
    if (!(input instanceof HTMLElement)) {
      elsewhere = true;
      continue;
    }
    const id = `error-${input.id || field}`;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-errormessage", id);
    (input.closest(".field") ?? input.parentElement).append(h("p.field-error", { id }, message));
    first ??= input;
  }
  const summary = form.querySelector(".form-summary");
  if (summary) summary.textContent = elsewhere ? error.message : t("표시된 칸을 고쳐 주세요.");
  else if (elsewhere) toast(error.message);
  first?.focus();
}

/** Fills `{key}` of an address from the answer. */
const fill = (path, answer) => path.replace(/\{(\w+)\}/g, (_, key) => encodeURIComponent(answer?.[key] ?? ""));

function after(el, answer) {
  const then = el.dataset.then ?? "reload";
  if (then === "none") return;
  if (then === "reload") location.reload();
  // Only a path of this server: "//host" and "https:" would lead away.
  else if (/^\/(?![/\\])/.test(then)) location.assign(fill(then, answer));
  else location.assign("/");
}

/** Keeps what the server answers as a file. */
async function save(method, path, body) {
  const response = await send(method, path, body);
  const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? "madang";
  const url = URL.createObjectURL(await response.blob());
  const link = h("a", { href: url, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  // The browser has taken it by the next turn.
  setTimeout(() => URL.revokeObjectURL(url), 0);
}

async function submit(form, submitter) {
  clear(form);
  const again = form.querySelector("[data-same-as]");
  if (again && again.value !== form.elements.namedItem(again.dataset.sameAs)?.value) {
    again.setAttribute("aria-invalid", "true");
    again.closest(".field").append(h("p.field-error", {}, t("두 비밀번호가 다릅니다.")));
    again.focus();
    return;
  }
  const [method, path] = (submitter?.dataset.api ?? form.dataset.api).split(" ");
  const body = serialise(form);
  if (submitter?.name) body[submitter.name] = submitter.value;
  const buttons = [...form.querySelectorAll("button")].filter((b) => !b.disabled);
  buttons.forEach((b) => (b.disabled = true));
  submitter?.setAttribute("aria-busy", "true");
  try {
    if (form.dataset.then === "save") {
      await save(method, path, body);
      form.closest("dialog")?.close();
      return;
    }
    const answer = await api(method, path, body, { quiet401: form.dataset.quiet !== undefined });
    const event = new CustomEvent("api:done", { bubbles: true, cancelable: true, detail: answer });
    if (form.dispatchEvent(event)) after(submitter?.dataset.then ? submitter : form, answer);
  } catch (error) {
    showProblem(form, error);
  } finally {
    buttons.forEach((b) => (b.disabled = false));
    submitter?.removeAttribute("aria-busy");
  }
}

/** Asks with a sentence that says what will happen; resolves to true or false. */
export function confirm(sentence, action = t("계속"), danger = true) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { "aria-labelledby": "confirm-words" },
      h("p", { id: "confirm-words" }, sentence),
      h("div.row.end", {},
        h("button.krds-btn.medium.tertiary", { type: "button", autofocus: true, onclick: () => dialog.close("") }, t("그만두기")),
        h(`button.krds-btn.medium${danger ? ".danger.filled" : ".primary"}`, { type: "button", onclick: () => dialog.close("yes") }, action)),
    );
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  const chosen = event.submitter?.dataset.api ?? form.dataset.api;
  if (!chosen) return;
  event.preventDefault();
  submit(form, event.submitter);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-api]");
  if (!button || button.type === "submit") return;
  if (button.dataset.confirm && !(await confirm(button.dataset.confirm, button.dataset.action ?? button.textContent.trim(), button.dataset.calm === undefined))) return;
  const [method, path] = button.dataset.api.split(" ");
  button.disabled = true;
  try {
    const answer = await api(method, path, button.dataset.body ? JSON.parse(button.dataset.body) : undefined);
    const done = new CustomEvent("api:done", { bubbles: true, cancelable: true, detail: answer });
    if (button.dispatchEvent(done)) after(button, answer);
  } catch (error) {
    toast(error.message);
  } finally {
    button.disabled = false;
  }
});

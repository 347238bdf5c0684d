// On every page: forms, dialogs, copying, filters that submit themselves.
import { toast } from "./dom.js";
import { t } from "./i18n.js";
import "./form.js";

document.addEventListener("click", async (event) => {
  const el = event.target.closest("[data-open],[data-close],[data-copy],[data-back],[data-print]");
  if (!el) return;
  if (el.dataset.open) document.getElementById(el.dataset.open)?.showModal();
  if (el.dataset.close !== undefined) el.closest("dialog")?.close();
  if (el.dataset.back !== undefined) history.back();
  if (el.dataset.print !== undefined) print();
  if (el.dataset.copy) {
    const source = document.getElementById(el.dataset.copy);
    await copy(source?.dataset.text ?? source?.innerText ?? "");
  }
});

/** Puts text on the clipboard; also over plain HTTP, where the modern interface is not there. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "sr-only";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(t("복사했습니다."));
}

// A filter takes effect when it is chosen; the address keeps it.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-auto]");
  if (form && event.target.type !== "search" && event.target.type !== "text") form.requestSubmit();
});

// Empty filters stay out of the address.
document.addEventListener("formdata", (event) => {
  if (event.target.method !== "get") return;
  for (const [key, value] of [...event.formData.entries()]) if (value === "") event.formData.delete(key);
});

// The big box: examples fill it, Enter sends once, and an app that already does the work is offered first.
import { api } from "./api.js";
import { composing, grade, h, later } from "./dom.js";
import { t } from "./i18n.js";

const form = document.querySelector("[data-ask]");
const box = form?.querySelector("textarea");
const reuse = document.querySelector("[data-reuse]");
let asked = 0;

async function offer() {
  const q = box.value.trim();
  const mine = ++asked;
  let apps = [];
  if (q.length >= 4) {
    try {
      ({ apps } = await api("GET", `/api/v1/apps/suggest?q=${encodeURIComponent(q)}`));
    } catch {
      // Only an offer: without it the box still works.
      return;
    }
  }
  if (mine !== asked || !reuse) return;
  reuse.hidden = apps.length === 0;
  reuse.querySelector("ul").replaceChildren(
    ...apps.slice(0, 3).map((a) =>
      h("li", {}, grade(a.grade), h("a", { href: `/apps/${a.id}/run?q=${encodeURIComponent(q)}` }, a.title), h("span.quiet", {}, [a.department, a.purpose].filter(Boolean).join(" · ")))),
  );
}

if (form && box) {
  box.addEventListener("input", later(offer, 350));
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || composing(event)) return;
    event.preventDefault();
    const button = form.querySelector("button:not([type=button])");
    if (!button.disabled && box.value.trim()) form.requestSubmit(button);
  });
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", () => {
      box.value = button.textContent;
      box.focus();
      box.dispatchEvent(new Event("input"));
    });
  }
  form.addEventListener("submit", () => form.querySelector("button").setAttribute("title", t("설계서를 쓰고 있습니다.")));
}

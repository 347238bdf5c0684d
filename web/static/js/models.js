// Adding a model server: what a server says about itself goes into the form.
import { h } from "./dom.js";
import { t } from "./i18n.js";

const form = document.querySelector("form[data-server]");
const said = form?.querySelector("[data-server-said]");
const choices = form?.querySelector("[data-server-models]");
const MOST = 20;

function choose(name) {
  form.elements.namedItem("model").value = name;
  for (const chip of choices.children) chip.setAttribute("aria-pressed", String(chip.textContent === name));
}

function offer(models) {
  choices.replaceChildren(...models.slice(0, MOST).map((name) => h("button.chip.mono", { type: "button", "aria-pressed": "false", onclick: () => choose(name) }, name)));
}

form?.addEventListener("api:done", ({ detail }) => {
  if (!Array.isArray(detail?.models)) return; // the server was added: the page comes anew
  const field = form.elements.namedItem("model");
  offer(detail.models);
  const named = field.value;
  choose(named || (detail.models.length === 1 ? detail.models[0] : ""));
  if (detail.ms !== null) said.textContent = t("‘{}’ 모델이 {}초 만에 답했습니다.", named, (detail.ms / 1000).toFixed(1));
  else if (named) said.textContent = t("서버가 답했습니다. 지금은 바빠서 한 마디를 시켜 보지 못했습니다.");
  else if (field.value) said.textContent = t("서버가 답했습니다. 모델 이름을 채웠습니다.");
  else if (detail.models.length) said.textContent = t("서버가 답했습니다. 쓸 모델을 골라 주세요.");
  else said.textContent = t("서버가 답했지만 모델 이름은 알려 주지 않습니다. 모델 이름을 적어 주세요.");
});

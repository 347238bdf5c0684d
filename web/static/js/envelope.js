// The envelope of an outside call: words behind the masks, once somebody has said why they must see them.
import { h } from "./dom.js";

const form = document.getElementById("reveal");
form?.addEventListener("api:done", (event) => {
  event.preventDefault();
  const place = document.getElementById("revealed");
  const row = (cell, a, b) => h("tr", {}, h(cell, {}, a), h(cell, {}, b));
  place.className = "table";
  place.replaceChildren(
    h("table", {}, h("thead", {}, row("th", place.dataset.token, place.dataset.words)), h("tbody", {}, ...event.detail.map((m) => row("td", m.token, m.words)))),
  );
  form.hidden = true;
});

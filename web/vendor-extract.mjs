// Cuts the rules of a few KRDS components out of krds-uiux' component.css, unchanged and in their order.
// Usage: node web/vendor-extract.mjs PATH/TO/krds-uiux > web/static/vendor/krds/components.css
// Not part of the build: run by hand when the vendored version changes (see VENDOR.md).
import { readFileSync } from "node:fs";

const KEEP = [".krds-btn", ".krds-input", ".krds-form-select"];
const css = readFileSync(`${process.argv[2]}/resources/css/component/component.css`, "utf8").replace(/\/\*[\s\S]*?\*\//g, "");

/** Splits a style sheet into top-level `[prelude, body]` pairs. */
function blocks(text) {
  const out = [];
  let depth = 0, start = 0, open = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "{" && depth++ === 0) open = i;
    if (text[i] === "}" && --depth === 0) {
      out.push([text.slice(start, open).trim(), text.slice(open + 1, i)]);
      start = i + 1;
    }
  }
  return out;
}
// A component stands first in the selector, and only in the light theme's rules.
const kept = (selector) => KEEP.some((k) => selector.startsWith(k) && !/[a-z0-9_-]/i.test(selector[k.length] === "-" ? "a" : selector[k.length] ?? " "));
function pick(list) {
  return list
    .map(([prelude, body]) => {
      if (prelude.startsWith("@media")) {
        const inner = pick(blocks(body));
        return inner && `${prelude} {\n${inner}\n}`;
      }
      const wanted = prelude.split(/,\s*(?![^(]*\))/).filter(kept);
      if (!wanted.length || /url\(/.test(body)) return "";
      return `${wanted.join(",\n")} {${body}}`;
    })
    .filter(Boolean)
    .join("\n");
}
process.stdout.write(`@charset "utf-8";\n/* krds-uiux 1.1.0, resources/css/component/component.css: rules of ${KEEP.join(", ")} (see VENDOR.md) */\n${pick(blocks(css.replace('@charset "UTF-8";', "")))}\n`);

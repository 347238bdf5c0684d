// Words of the scripts. Korean is the key; English comes from locale-en.js when <html lang="en">.
import en from "./locale-en.js";

const english = document.documentElement.lang === "en";

/** Words in the page's language, with `{}` filled in order. */
export function t(korean, ...values) {
  let i = 0;
  return ((english && en[korean]) || korean).replace(/\{\}/g, () => String(values[i++] ?? ""));
}

/** A whole number with separators. */
export const number = (n) => Number(n).toLocaleString(english ? "en" : "ko");

/** Bytes for people: "12.4 MB". */
export function bytes(n) {
  const units = ["B", "KB", "MB", "GB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${n >= 100 || i === 0 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

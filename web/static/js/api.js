// The one way scripts talk to the server: JSON with the CSRF token, problems as ApiError.
import { t } from "./i18n.js";

export class ApiError extends Error {
  /** `fields`: [{ field, message }]; `status` 0 when the server could not be reached. */
  constructor(status, code, message, fields = [], body = null) {
    super(message);
    Object.assign(this, { status, code, fields, body });
  }
}

export const csrf = () => document.querySelector('meta[name="csrf-token"]')?.content ?? "";

/** Goes to sign-in and comes back here afterwards. */
export function toSignIn() {
  location.assign(`/sign-in?expired=1&next=${encodeURIComponent(location.pathname + location.search)}`);
}

/** Turns a failed response into an ApiError with words for the reader. */
export async function problem(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    // Not JSON: a proxy's page or nothing. The words below then serve.
  }
  const e = body?.error ?? {};
  const fields = e.fields ?? (e.field ? [{ field: e.field, message: e.message }] : []);
  const words = e.message ?? t("서버가 일을 마치지 못했습니다({}). 잠시 뒤 다시 해 보고, 되풀이되면 운영자에게 알려 주세요.", response.status);
  return new ApiError(response.status, e.code ?? "unknown", words, fields, body);
}

/**
 * Sends `body` as JSON and returns the parsed answer, or `null` for one without a body.
 * options: { signal, headers, quiet401 }.
 */
export async function api(method, path, body, options = {}) {
  const response = await send(method, path, body, options);
  if (response.status === 204) return null;
  return response.headers.get("content-type")?.includes("json") ? response.json() : null;
}

/** As `api`, but returns the response itself once it is known to be good: for streams. */
export async function send(method, path, body, { signal, headers = {}, quiet401 = false } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      signal,
      credentials: "same-origin",
      headers: {
        Accept: "application/json",
        "X-CSRF-Token": csrf(),
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (cause) {
    if (cause.name === "AbortError") throw cause;
    throw new ApiError(0, "offline", t("서버에 닿지 못했습니다. 연결을 확인하고 다시 해 주세요."));
  }
  if (response.status === 401 && !quiet401) toSignIn();
  if (!response.ok) throw await problem(response);
  return response;
}

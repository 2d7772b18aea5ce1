// Calls to the gateway: the token of this tab, and refusals as what happened, who must act and what to do next.

const KEY = "spinor.token";

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `the gateway answered ${status}`);
    Object.assign(this, { status, code: body.code ?? "", who: body.who ?? "", next: body.next ?? "" });
  }
}

/** Move a token from the address bar into this tab's storage; the part behind # never reached a server. */
export function takeToken() {
  const found = /^#token=([^&]+)/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem(KEY, decodeURIComponent(found[1]));
  history.replaceState(null, "", location.pathname + location.search);
}

export const token = () => sessionStorage.getItem(KEY);
export const forget = () => sessionStorage.removeItem(KEY);

/** What the token says of its owner: for display only, the gateway alone decides what it is worth. */
export function claims() {
  try {
    const body = token().split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(body), (c) => c.charCodeAt(0))));
  } catch {
    return {};
  }
}

/** Ask the gateway; gives the response, raises Problem. */
export async function ask(path, options = {}) {
  const headers = { Accept: "application/json", Authorization: `Bearer ${token()}`, ...options.headers };
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "omit", ...options, headers });
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new Problem(0, { detail: "the gateway does not answer", who: "operator", next: "spinor status", code: "away" });
  }
  if (!response.ok) throw await refused(response);
  return response;
}

async function refused(response) {
  const body = await response.json().catch(() => ({}));
  const problem = new Problem(response.status, typeof body === "object" && body ? body : {});
  if (response.status === 401) document.dispatchEvent(new CustomEvent("signed-out", { detail: problem }));
  return problem;
}

export async function get(path, parameters = {}, options = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  const query = new URLSearchParams(given).toString();
  return (await ask(query ? `${path}?${query}` : path, options)).json();
}

/** Send a command; the key makes a repetition of the same click harmless. */
export async function post(path, body = {}) {
  const key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const headers = { "Content-Type": "application/json", "Idempotency-Key": key };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

// Sends a partner's requests with the token that was pasted; the token is kept in this tab only.

import { ask, newKey } from "./ask.js";

const TOKEN = "partner-token";
export const SUBSCRIPTIONS = "/api/v1/webhook-subscriptions";
export const MESSAGES = "/api/v1/webhook-messages";
const EVENT_TYPES = "/api/v1/webhook-event-types";

const SENTENCES = {
  0: "The shop cannot be reached. Please try again.",
  401: "Your token has expired or is not valid. Sign in with another one.",
  403: "This token does not belong to a partner. Sign in with a partner's token.",
  429: "You sent too many requests. Try again in a moment.",
  503: "The shop is busy. Try again in a moment.",
};
const ENDS = [401, 403]; // the token is of no use

/** An answer that is an error; the message is a sentence for the partner. */
export class Refused extends Error {
  constructor({ status, body }) {
    super(SENTENCES[status] ?? body.detail ?? "That did not work. Please try again.");
    this.ends = ENDS.includes(status);
    this.gone = status === 404;
  }
}

export const token = () => sessionStorage.getItem(TOKEN);
export const keepToken = (text) => sessionStorage.setItem(TOKEN, text);
export const dropToken = () => sessionStorage.removeItem(TOKEN);

/** @returns {string} the partner in the token; the shop checks the token, this page does not */
export function partner() {
  try {
    const [, claims] = token().split(".");
    const bytes = Uint8Array.from(atob(claims.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
    return String(JSON.parse(new TextDecoder().decode(bytes)).sub);
  } catch {
    return "a partner";
  }
}

/**
 * @returns {Promise<object>} the answer's document
 * @throws {Refused}
 */
export async function send(method, path, body, { once = false } = {}) {
  const headers = { Authorization: `Bearer ${token()}`, ...(method === "DELETE" && { "If-Match": "*" }) };
  const answer = await ask(method, path, body, { headers, key: once ? newKey() : null });
  if (!answer.ok) throw new Refused(answer);
  return answer.body;
}

/** Sends a request once and soon: for what is repeated anyway. */
export async function look(path) {
  const headers = { Authorization: `Bearer ${token()}` };
  const answer = await fetch(path, { headers, signal: AbortSignal.timeout(10_000) }).catch(() => null);
  const body = (await answer?.json().catch(() => ({}))) ?? {};
  if (!answer?.ok) throw new Refused({ status: answer?.status ?? 0, body });
  return body;
}

let types = null;

/** @returns {Promise<{type: string, title: string, description: string}[]>} */
export async function eventTypes() {
  types ??= (await send("GET", EVENT_TYPES)).eventTypes;
  return types;
}

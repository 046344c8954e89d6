// The live log of a subscription's attempts: the newest page every two seconds, while the page is visible.

import { $, made, set } from "./elements.js";
import { look, Refused, SUBSCRIPTIONS } from "./partner_api.js";
import { button, outcome, second, short, state } from "./partner_words.js";
import { updateBacklog } from "./subscriptions.js";

const EVERY_MS = 2000;
const PAGE = 50;
const PAGES_MAX = 4; // in one look; older attempts are found by their message
const LINES_MAX = 200;
const BACKLOG_EVERY = 5; // looks

let subscription = null;
let page = null;
let timer = null;
let stopped = false;
let looks = 0;
let lines = new Map(); // message and number → {element, ended}

export function openLog(id, of) {
  closeLog();
  [subscription, page, stopped, lines, looks] = [id, of, false, new Map(), 0];
  $("log").replaceChildren();
  $("no-log").hidden = false;
  follow();
}

export function closeLog() {
  clearTimeout(timer);
  subscription = null;
}

async function follow() {
  clearTimeout(timer);
  const id = subscription;
  if (id === null || stopped || document.hidden) return showState("stopped");
  try {
    await update(id);
    showState("live");
  } catch (refused) {
    if (!(refused instanceof Refused)) throw refused;
    if (refused.ends || refused.gone) return showState("stopped");
    showState("waiting");
  }
  if (id === subscription) timer = setTimeout(follow, EVERY_MS);
}

function showState(kind) {
  set($("live"), { live: "Live", waiting: "Reconnecting…", stopped: "Stopped" }[kind]);
  $("live").dataset.state = kind;
  set($("log-toggle"), stopped ? "Start the log" : "Stop the log");
}

async function update(id) {
  const found = await newest(id);
  if (id !== subscription) return;
  for (const attempt of found.reverse()) show(attempt);
  for (const [key, { element }] of [...lines].slice(0, Math.max(0, lines.size - LINES_MAX))) {
    element.remove();
    lines.delete(key);
  }
  $("no-log").hidden = lines.size > 0;
  if (looks++ % BACKLOG_EVERY === 0) await updateBacklog(id);
}

/** Pages down from the newest attempt to one whose end is shown already. */
async function newest(id) {
  const found = [];
  let cursor = "";
  for (let pages = 0; pages < PAGES_MAX; pages += 1) {
    const { attempts, next } = await look(`${SUBSCRIPTIONS}/${id}/attempts?limit=${PAGE}${cursor}`);
    found.push(...attempts);
    if (!next || !lines.size || attempts.some((one) => lines.get(key(one))?.ended)) break;
    cursor = `&cursor=${encodeURIComponent(next)}`;
  }
  return found;
}

const key = (attempt) => `${attempt.messageId}.${attempt.number}`;

function show(attempt) {
  const known = lines.get(key(attempt));
  if (known?.ended) return;
  const [words, kind] = outcome(attempt, attempt.responseStatus);
  if (known) {
    known.ended = Boolean(attempt.endedAt);
    known.said.textContent = said(words, attempt);
    known.said.dataset.state = kind;
    return;
  }
  const result = state(words);
  result.dataset.state = kind;
  result.textContent = said(words, attempt);
  const element = made("li", { "data-attempt": key(attempt) },
    made("p", { className: "facts" }, second(attempt.beganAt), made("span", {}, `attempt ${attempt.number}`), result),
    button(short(attempt.eventType) + (attempt.subject ? `, ${attempt.subject}` : ""), "", () => page.openMessage(attempt.messageId), "link"),
  );
  $("log").prepend(element);
  lines.set(key(attempt), { element, said: result, ended: Boolean(attempt.endedAt) });
}

function said(words, { nextTryAt }) {
  return nextTryAt ? `${words}; next try ${new Date(nextTryAt).toLocaleTimeString()}` : words;
}

document.addEventListener("visibilitychange", follow);
$("log-toggle").addEventListener("click", () => {
  stopped = !stopped;
  follow();
});

// A partner's subscriptions: status, backlog, and what can be done with each.

import { $, made, set } from "./elements.js";
import { eventTypes, look, send, SUBSCRIPTIONS } from "./partner_api.js";
import { asked, button, confirmed, facts, short, state } from "./partner_words.js";

const MANY = 10_000;
let marked = null;

export async function loadSubscriptions(page) {
  const { subscriptions } = await send("GET", SUBSCRIPTIONS);
  const backlogs = await Promise.all(subscriptions.map(backlog));
  $("no-subscriptions").hidden = subscriptions.length > 0;
  const focused = document.activeElement?.dataset?.act;
  $("subscriptions").replaceChildren(...subscriptions.map((one, at) => row(one, backlogs[at], page)));
  if (focused) document.querySelector(`[data-act="${focused}"]`)?.focus();
  mark(marked);
}

/** Shows which subscription is open. */
export function mark(id) {
  marked = id;
  for (const one of $("subscriptions").children) one.setAttribute("aria-current", String(one.dataset.id === id));
}

/** Shows the current backlog of one subscription. */
export async function updateBacklog(id) {
  const place = document.querySelector(`[data-id="${id}"] .backlog`);
  if (place) set(place, counts(await look(`${SUBSCRIPTIONS}/${id}/backlog`)));
}

// A subscription that was deleted meanwhile has none.
const backlog = (one) => look(`${SUBSCRIPTIONS}/${one.subscriptionId}/backlog`).catch(() => ({ messages: 0, failed: 0 }));
const counted = (number) => number.toLocaleString() + (number >= MANY ? "+" : "");
const counts = (one) => `${counted(one.messages)} waiting, ${counted(one.failed)} failed`;

function row(one, waits, page) {
  const id = one.subscriptionId;
  const act = (name, words, then) => {
    const pressed = button(words, one.url, then);
    pressed.dataset.act = `${name} ${id}`;
    return pressed;
  };
  const turn = (name) => page.attempt(async () => {
    const after = await send("POST", `${SUBSCRIPTIONS}/${id}/${name}`);
    await page.refresh();
    focus(id, name === "pause" ? "resume" : "pause");
    return `The subscription is ${after.status}.`;
  });
  return made("li", { "data-id": id },
    made("h3", {}, one.url),
    facts(state(one.status), one.statusReason, made("span", { className: "backlog" }, counts(waits))),
    facts(one.eventTypes.map(short).join(", "), one.signature, one.ordered && "in order"),
    made("div", { className: "actions" },
      act("open", "Open", () => page.attempt(() => page.open(one))),
      one.status === "ACTIVE" ? act("pause", "Pause", () => turn("pause")) : act("resume", "Resume", () => turn("resume")),
      act("example", "Send an example", () => page.attempt(() => sendExample(one, page))),
      act("rotate", "Rotate the secret", () => page.attempt(() => rotate(one, page))),
      act("delete", "Delete", () => page.attempt(() => remove(one, page))),
    ),
  );
}

function focus(id, act) {
  document.querySelector(`[data-act="${act} ${id}"]`)?.focus();
}

async function sendExample(one, page) {
  const options = (await eventTypes()).map(({ type }) => made("option", { value: type }, short(type)));
  $("example").replaceChildren(...options);
  const fitting = options.find(({ value }) => one.eventTypes.some((pattern) => matches(pattern, value)));
  if (fitting) fitting.selected = true;
  if ((await asked($("choose"))) !== "yes") return "";
  const sent = await send("POST", `${SUBSCRIPTIONS}/${one.subscriptionId}/example`, { eventType: $("example").value });
  if (!page.isOpened(one.subscriptionId)) await page.open(one);
  return `The example is message ${sent.messageId}. The log shows its attempt.`;
}

const matches = (pattern, type) => pattern === type || (pattern.endsWith(".*") && type.startsWith(pattern.slice(0, -1)));

async function rotate(one, page) {
  const question = `Make a new secret for ${one.url}? The one in use signs, too, for 24 hours.`;
  if (!(await confirmed(question, "Make a new secret"))) return "";
  page.showSecret(await send("POST", `${SUBSCRIPTIONS}/${one.subscriptionId}/secret`, {}, { once: true }));
  return "";
}

async function remove(one, page) {
  if (!(await confirmed(`Delete the subscription of ${one.url}? Its messages are not sent any more.`, "Delete"))) return "";
  await send("DELETE", `${SUBSCRIPTIONS}/${one.subscriptionId}`);
  if (page.isOpened(one.subscriptionId)) page.close();
  await page.refresh();
  $("subscriptions-title").focus();
  return "The subscription is deleted.";
}

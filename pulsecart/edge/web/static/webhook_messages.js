// The messages of the open subscription, by status; all that failed since a time are sent again.

import { $, made } from "./elements.js";
import { send, SUBSCRIPTIONS } from "./partner_api.js";
import { button, confirmed, facts, second, short, state } from "./partner_words.js";

const PAGE = 20;
let subscription = null;
let page = null;
let next = null;

export function openMessages(id, of) {
  [subscription, page] = [id, of];
  $("status").value = "";
  return load();
}

async function load(cursor = null) {
  const query = new URLSearchParams({ limit: PAGE, ...($("status").value && { status: $("status").value }), ...(cursor && { cursor }) });
  const found = await send("GET", `${SUBSCRIPTIONS}/${subscription}/messages?${query}`);
  if (!cursor) $("messages").replaceChildren();
  const rows = found.messages.map(row);
  $("messages").append(...rows);
  if (cursor) rows[0]?.querySelector("button").focus();
  next = found.next ?? null;
  $("more").hidden = !next;
  $("no-messages").hidden = $("messages").children.length > 0;
}

function row(message) {
  const words = short(message.eventType) + (message.subject ? `, ${message.subject}` : "");
  return made("li", { "data-message": message.messageId },
    button(words, "", () => page.openMessage(message.messageId), "link"),
    facts(
      state(message.status), second(message.createdAt), `${message.attempts} attempt${message.attempts === 1 ? "" : "s"}`,
      message.inFlight && "in flight", message.example && "an example",
      message.nextTryAt && made("span", {}, "next try ", second(message.nextTryAt)),
    ),
  );
}

async function resendFailed() {
  const since = new Date($("since").value).toISOString();
  const path = `${SUBSCRIPTIONS}/${subscription}/resend`;
  const { count } = await send("POST", path, { since, dryRun: true });
  if (!count) return "No message failed since then.";
  const what = count === 1 ? "1 failed message" : `${count.toLocaleString()} failed messages`;
  if (!(await confirmed(`Send ${what} again?`, "Send again"))) return "";
  const sent = await send("POST", path, { since });
  await load();
  return `Sent again: ${sent.count.toLocaleString()}.`;
}

$("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  page.attempt(load);
});
$("status").addEventListener("change", () => page.attempt(load));
$("more").addEventListener("click", () => page.attempt(() => load(next)));
$("resend-failed").addEventListener("submit", (event) => {
  event.preventDefault();
  page.attempt(resendFailed);
});

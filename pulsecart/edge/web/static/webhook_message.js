// One message: its event, and each attempt with request and response.

import { $, made, set } from "./elements.js";
import { MESSAGES, send } from "./partner_api.js";
import { outcome, second, short } from "./partner_words.js";

let opened = null;
let page = null;

export async function openMessage(id, of) {
  [opened, page] = [id, of];
  await load();
  $("message-part").hidden = false;
  $("message-title").focus();
}

async function load() {
  const id = opened;
  const [message, { attempts }] = await Promise.all([
    send("GET", `${MESSAGES}/${id}`), send("GET", `${MESSAGES}/${id}/attempts`),
  ]);
  if (id !== opened) return;
  set($("message-title"), `Message of ${short(message.eventType)}`);
  $("message-about").replaceChildren(`webhook-id ${id}, ${message.status}`, ...(message.nextTryAt ? [", next try ", second(message.nextTryAt)] : []));
  set($("event"), JSON.stringify(message.event, null, 2));
  $("skip").disabled = !["PENDING", "FAILED"].includes(message.status);
  $("no-attempts").hidden = attempts.length > 0;
  $("attempts").replaceChildren(...attempts.map(shown));
}

function shown(attempt, at) {
  const { request, response } = attempt;
  const [words, kind] = outcome(attempt, response?.status);
  const ended = made("span", { className: "state", "data-state": kind }, words);
  return made("details", { className: "attempt", open: at === 0, "data-number": String(attempt.number) },
    made("summary", {}, `Attempt ${attempt.number}: `, ended),
    made("p", { className: "facts" },
      made("span", {}, "began ", second(attempt.beganAt)),
      ...(attempt.nextTryAt ? [made("span", {}, "next try ", second(attempt.nextTryAt))] : []),
      ...(attempt.probe ? ["a probe of a failing endpoint"] : []),
    ),
    made("div", {},
      made("div", { className: "request" }, made("h4", {}, "Request"), made("pre", {}, text(`POST ${request.url}`, request))),
      made("div", { className: "response" }, made("h4", {}, "Response"),
        made("pre", {}, response ? text(String(response.status), response) : (attempt.error ?? "none yet"))),
    ),
  );
}

const text = (first, { headers, body }) => `${[first, ...headers.map((pair) => pair.join(": "))].join("\n")}\n\n${body}`;

const act = (name, words) => page.attempt(async () => {
  await send("POST", `${MESSAGES}/${opened}/${name}`);
  await load();
  return words;
});

$("resend").addEventListener("click", () => act("resend", "The message is sent again."));
$("skip").addEventListener("click", () => act("skip", "The message is skipped."));
$("refresh").addEventListener("click", () => page.attempt(load));

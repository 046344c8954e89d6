// The form of a new subscription.

import { $, made } from "./elements.js";
import { eventTypes, Refused, send, SUBSCRIPTIONS } from "./partner_api.js";
import { short } from "./partner_words.js";

const EVERYTHING = "ecommerce.*";
let prepared = false;

/** Fills in the event types, and begins to listen. */
export async function prepareForm(page) {
  const types = await eventTypes();
  if (prepared) return;
  prepared = true;
  const prefixes = [...new Set(types.map(({ type }) => `${type.split(".").slice(0, 2).join(".")}.*`))];
  $("types").append(
    choice(EVERYTHING, "all events"),
    ...prefixes.map((one) => choice(one, `${short(one)}: all of them`)),
    ...types.map(({ type, title, description }) => choice(type, `${short(type)}: ${title}`, description)),
  );
  $("new").addEventListener("submit", (event) => {
    event.preventDefault();
    page.attempt(() => subscribe(page));
  });
}

function choice(value, words, description = "") {
  const id = `type ${value}`.replace(/[^a-z0-9]+/g, "-");
  return made("p", { className: "accept", title: description },
    made("input", { type: "checkbox", id, value }), made("label", { htmlFor: id }, words));
}

async function subscribe(page) {
  const chosen = [...$("types").querySelectorAll(":checked")].map((one) => one.value);
  if (!chosen.length) {
    $("types").querySelector("input").focus();
    throw new Refused({ status: 422, body: { detail: "Choose at least one kind of event." } });
  }
  const body = {
    url: $("url").value,
    eventTypes: chosen,
    signature: $("signature").value,
    ordered: $("ordered").checked,
    paused: $("paused").checked,
  };
  const created = await send("POST", SUBSCRIPTIONS, body, { once: true });
  $("new").reset();
  $("new-part").open = false;
  await page.refresh();
  page.showSecret(created);
  return "The subscription is made.";
}

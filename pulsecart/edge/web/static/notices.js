// What visitors are told: whether the page is live, how it went, and what to do about it.

import { $, money, set } from "./elements.js";

const CONNECTION = { connecting: "Connecting…", live: "Live", waiting: "Reconnecting…", stopped: "Not live" };

// By the problem's type, where the sentence for programs says nothing to people.
const SENTENCES = {
  "not-signed-in": "This shop wants you to sign in first.",
  "no-token": "This shop wants you to sign in first.",
  "not-yours": "This belongs to another buyer. Sign in as that buyer to see it.",
  "unknown-product": "There is no such product. Look at what there is in the shop.",
  "product-deleted": "This product is no longer sold. Look at what else there is in the shop.",
  "unknown-order": "There is no such order. Your orders are listed under Orders.",
  "unknown-cart": "Your cart has expired. Put in again what you want.",
  "cart-closed": "This cart was ordered before. You find it under Orders.",
  "cart-changed": "Your cart was changed meanwhile. Look at it, and order again.",
  "price-changed": "Prices changed since you saw them, and nothing was ordered. Accept the new ones, or take those lines out.",
  "short-stock": "There are not as many left as you want, and nothing was ordered. Take fewer, or take those lines out.",
  "product-gone": "Something is no longer sold, and nothing was ordered. Take those lines out.",
  "sale-not-open": "The sale of this product has not started yet. Come back when it has.",
  "query-malformed": "That cannot be searched for. Try other words.",
};
const BY_STATUS = {
  0: "The shop cannot be reached. Nothing is lost: try again.",
  401: "This shop wants you to sign in first.",
  429: "That was too often. Try again in a moment.",
  503: "The shop is busy. Try again in a moment.",
};

export function showConnection(state) {
  set($("connection"), CONNECTION[state]);
  $("connection").dataset.state = state;
}

/** @param {"none" | "good" | "bad" | "wait"} kind */
export function showMessage(kind, words = "") {
  $("message").dataset.kind = kind;
  set($("message"), words);
}

/** @returns {string} what to tell people of an answer that is no success: what happened, and what to do */
export function sentence({ status, body }) {
  if (problemType(body) === "price-changed" && body.price !== undefined) {
    return `The price is now ${money(body.price, body.currency)}, and nothing was bought. Press the button again to buy at that price.`;
  }
  const words = SENTENCES[problemType(body)] ?? BY_STATUS[status] ?? body.detail;
  return words ?? "That did not work. Please try again.";
}

/** @returns {string} the last part of a problem's URI, e.g. `sold-out` */
export function problemType(body) {
  return String(body.type ?? "").split("/").at(-1);
}

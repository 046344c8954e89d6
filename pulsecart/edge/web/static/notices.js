// Messages for visitors: the connection's state, and the result of an action with the next step.

import { $, money, set } from "./elements.js";

const CONNECTION = { connecting: "Connecting…", live: "Live", waiting: "Reconnecting…", stopped: "Not live" };

// By the problem's type, where the API's detail is not meant for visitors.
const SENTENCES = {
  "not-signed-in": "Please sign in first.",
  "no-token": "Please sign in first.",
  "not-yours": "This belongs to another buyer. Sign in as that buyer to see it.",
  "unknown-product": "There is no such product. See all products in the shop.",
  "product-deleted": "This product is no longer sold. See all products in the shop.",
  "unknown-order": "There is no such order. Your orders are listed under Orders.",
  "unknown-cart": "Your cart has expired. Please add your products again.",
  "cart-closed": "This cart was already ordered. You find the order under Orders.",
  "cart-changed": "Your cart was changed during the checkout. Check it, and order again.",
  "price-changed": "Prices have changed, and nothing was ordered. Accept the new prices, or remove those lines.",
  "short-stock": "There are not enough units left, and nothing was ordered. Choose fewer, or remove those lines.",
  "product-gone": "Some products are no longer sold, and nothing was ordered. Remove those lines.",
  "sale-not-open": "The sale of this product has not started yet. Try again when it starts.",
  "query-malformed": "This search is not possible. Try other words.",
};
const BY_STATUS = {
  0: "The shop cannot be reached. Please try again.",
  401: "Please sign in first.",
  429: "You sent too many requests. Try again in a moment.",
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

/** @returns {string} the message for an error answer: what happened, and what to do next */
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

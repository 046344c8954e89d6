// A buyer's orders, newest first; open orders are updated live.

import { ask } from "./ask.js";
import { Buyer } from "./buy.js";
import { $, made, moment, money, set } from "./elements.js";
import { follow } from "./live.js";
import { sentence, showConnection, showMessage } from "./notices.js";
import { WORDS } from "./order_card.js";
import { showBuyer } from "./signed_in.js";

const PAGE = 20;
const FOLLOWED = 3; // of the six connections that a browser has to a server
const buyer = new Buyer();
let next = null;
let followed = 0;

export async function show() {
  showBuyer(buyer);
  $("more").addEventListener("click", load);
  await buyer.signIn();
  await load();
  if (!followed) $("connection").hidden = true;
}

async function load() {
  const query = new URLSearchParams({ userId: buyer.id, limit: PAGE, ...(next && { cursor: next }) });
  const answer = await ask("GET", `/api/v1/orders?${query}`, undefined, {
    tellWaiting: () => showMessage("wait", "No answer yet. Trying again…"),
  });
  if (!answer.ok) return showMessage("bad", sentence(answer));
  const { orders, next: cursor } = answer.body;
  const rows = orders.map(row);
  $("orders").append(...rows);
  if (next) rows[0]?.querySelector("a").focus();
  next = cursor ?? null;
  $("more").hidden = !next;
  showMessage($("orders").children.length ? "none" : "wait", "No orders yet. Your orders appear here.");
}

function row({ orderId, status, totalAmount, currency, orderedAt, updatedAt }) {
  const state = made("p", {}, words(status));
  if (!["FULFILLED", "CANCELED"].includes(status) && followed < FOLLOWED) watch(orderId, state);
  return made("li", { "data-order": orderId },
    made("div", { className: "line" },
      made("p", {}, made("a", { href: `/orders/${orderId}` }, "Order ", made("code", {}, orderId.slice(-12)))),
      made("p", { className: "amount" }, totalAmount === undefined ? "" : money(totalAmount, currency)),
      state,
      made("p", { className: "none" }, moment(orderedAt ?? updatedAt)),
    ),
  );
}

function watch(orderId, state) {
  followed += 1;
  const update = (news) => news.status && set(state, words(news.status));
  follow(`/sse/orders/${orderId}`, { order: update, snapshot: update }, showConnection);
}

const words = (status) => `It ${WORDS[status] ?? status}.`;

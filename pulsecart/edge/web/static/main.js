// The start page: the sale, the buy button and the orders' timelines.

import { Buyer, newBuyerId, purchase, recall, remember } from "./buy.js";
import { $ } from "./elements.js";
import { follow } from "./live.js";
import { problemType, sentence, showConnection, showMessage } from "./notices.js";
import { OrderCard } from "./order_card.js";
import { showBuyer } from "./signed_in.js";
import { showCountdown, showPhase, showSale, showStock } from "./view.js";

const buyer = new Buyer();
let sale = null;
let left = null;
let seen = -1; // the stock's newest sequence
let clockAheadMs = 0;
let busy = false;
let stockStream = null;
let latest = null; // the order of the message under the button

function phase() {
  if (!sale) return "none";
  const now = Date.now() + clockAheadMs;
  if (sale.status === "ENDED" || now >= Date.parse(sale.endsAt)) return "ended";
  if (now < Date.parse(sale.startsAt)) return "scheduled";
  return left === 0 ? "soldout" : "open";
}

function draw() {
  const present = phase();
  showPhase(present, sale, busy);
  if (sale) {
    const until = present === "scheduled" ? sale.startsAt : sale.endsAt;
    showCountdown(present, Date.parse(until) - Date.now() - clockAheadMs);
    showStock(left ?? sale.stock, sale.initial);
  } else {
    showCountdown("none", 0);
  }
}

function takeSales({ sales, now }) {
  clockAheadMs = Date.parse(now) - Date.now();
  const product = sale?.productId;
  sale = sales[0] ?? null; // the open sale that ends first
  if (sale) showSale(sale);
  if (sale?.productId !== product) watchStock();
  draw();
}

function watchStock() {
  stockStream?.stop();
  left = sale ? sale.stock : null;
  seen = -1;
  if (!sale) return;
  stockStream = follow(`/sse/stock/${encodeURIComponent(sale.productId)}`, { snapshot: restate, stock: takeStock }, showConnection);
}

/** A snapshot replaces all earlier news. */
function restate(news) {
  seen = -1;
  takeStock(news);
}

function takeStock(news) {
  if (news.sequence < seen) return;
  seen = news.sequence;
  left = news.available;
  if (left > sale.initial || news.reason === "RESET") refresh();
  draw();
}

/** Waits a random time, because every open page gets the same news at the same moment. */
async function refresh() {
  await new Promise((resume) => setTimeout(resume, 500 * Math.random()));
  const answer = await fetch("/api/v1/sales").catch(() => null);
  if (answer?.ok) takeSales(await answer.json());
}

async function buy() {
  if (busy) return;
  busy = true;
  latest = null;
  draw();
  showMessage("none");
  const path = new FormData($("form")).get("path");
  const waiting = () => showMessage("wait", "No answer yet. Trying again; you will not buy twice.");
  const answer = await purchase(path, { productId: sale.productId, expectedPrice: sale.price }, buyer, waiting);
  if (problemType(answer.body) === "price-changed") showSale((sale = { ...sale, price: answer.body.price }));
  if (answer.ok) ordered(answer.body);
  else showMessage("bad", sentence(answer));
  busy = false;
  draw();
}

function ordered(order) {
  latest = order.orderId;
  showProgress(order.status);
  remember(order.orderId);
  watchOrder(order.orderId).show(order);
}

function showProgress(status) {
  if (status === "PENDING") showMessage("wait", "You are in the queue.");
  else if (status === "CANCELED") showMessage("bad", "Your order was canceled. See the reason under Your orders.");
  else showMessage("good", "Your purchase succeeded.");
}

function watchOrder(orderId) {
  const card = new OrderCard(orderId, "h3");
  $("none").hidden = true;
  $("orders").prepend(card.element);
  const show = (news) => {
    card.show(news);
    if (latest === orderId && news.status) showProgress(news.status);
    if (card.ended) setTimeout(stream.stop, 5000); // a refund may still follow
  };
  const stream = follow(`/sse/orders/${orderId}`, { order: show, payment: show, snapshot: show });
  return card;
}

function meet(id) {
  buyer.become(id);
  $("buyer").textContent = buyer.id;
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  buy();
});
$("again").addEventListener("click", () => {
  meet(newBuyerId());
  buy();
});

showBuyer(buyer);
follow("/sse/flash-sales", { snapshot: takeSales, sale: refresh }, (state) => {
  if (!sale) showConnection(state);
});
if (recall().length) {
  buyer.signIn().then(() => recall().reverse().forEach(watchOrder));
}
setInterval(draw, 1000);

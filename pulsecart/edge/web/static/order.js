// One order: its live progress and its lines.

import { ask } from "./ask.js";
import { Buyer } from "./buy.js";
import { $, made, money, set } from "./elements.js";
import { follow } from "./live.js";
import { sentence, showConnection, showMessage } from "./notices.js";
import { OrderCard } from "./order_card.js";

const LINGERS_MS = 5_000; // a refund may still follow
const buyer = new Buyer();
let path = "";
let card = null;

export async function show(id) {
  path = `/api/v1/orders/${encodeURIComponent(id)}`;
  await buyer.signIn();
  const answer = await ask("GET", path, undefined, { tellWaiting: () => showMessage("wait", "No answer yet. Trying again…") });
  if (!answer.ok) {
    showConnection("stopped");
    return showMessage("bad", sentence(answer));
  }
  showMessage("none");
  draw(answer.body);
  const handlers = { order: take, payment: take, snapshot: take, problem: (problem) => refused(problem, answer.body) };
  const stream = follow(`/sse/orders/${id}`, handlers, showConnection);
  function take(news) {
    update(news);
    if (card.ended) setTimeout(stream.stop, LINGERS_MS);
  }
}

function draw(order) {
  card = new OrderCard(order.orderId, "h2");
  $("order").append(card.element);
  $("lines").append(...order.items.map((item) => line(item, order.currency)));
  $("ordered").hidden = false;
  for (const step of ["pay", "cancel"]) $(step).addEventListener("click", () => takeStep(step));
  const { totalAmount, currency, createdAt } = order;
  card.show({ totalAmount, currency, createdAt }); // the stream sends its steps in order
}

function line({ productId, qty, price }, currency) {
  const link = made("a", { href: `/products/${encodeURIComponent(productId)}` }, `Product ${productId}`);
  name(productId, link);
  const cost = `${qty} × ${money(price, currency)}`;
  return made("li", {}, made("div", { className: "line" }, made("p", {}, link), made("p", { className: "amount" }, cost)));
}

/** Replaces product numbers by names, because an order has no names; products that are no longer sold keep the number. */
async function name(productId, link) {
  const answer = await ask("GET", `/api/v1/products/${encodeURIComponent(productId)}`);
  if (answer.ok) set(link, answer.body.name);
}

function update(news) {
  card.show(news);
  $("pay").hidden = card.status !== "CONFIRMED"; // shown after a delay, in which the shop charges by itself
  $("cancel").hidden = card.status !== "PENDING"; // later only the shop can cancel
}

function refused(problem, order) {
  update(order);
  showMessage("bad", sentence({ status: problem.status, body: problem }));
}

async function takeStep(step) {
  $(step).disabled = true;
  const answer = await ask("POST", `${path}/${step}`, {});
  $(step).disabled = false;
  if (answer.ok) update(answer.body);
  else showMessage("bad", sentence(answer));
}

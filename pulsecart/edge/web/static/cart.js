// The cart: each line with its seen and its current state; all lines are ordered at accepted prices, or none.

import { newKey } from "./ask.js";
import { load, order, put } from "./basket.js";
import { Buyer, remember } from "./buy.js";
import { CartLine } from "./cart_line.js";
import { $, at, money, set } from "./elements.js";
import { follow, whenBack } from "./live.js";
import { sentence, showConnection, showMessage } from "./notices.js";
import { showBuyer } from "./signed_in.js";

const WAITING = "No answer yet. Trying again; you will not order twice.";
const buyer = new Buyer();
const accepted = new Map(); // product → unit price
let lines = [];
let turn = Promise.resolve(); // one change at a time, so that an order includes all earlier changes
let drawn = "";
let changes = 0;
let begins = null; // the timer of the first sale to come

export async function show() {
  showBuyer(buyer);
  $("checkout").addEventListener("click", () => next(checkOut));
  await next(reload);
  const again = () => next(reload);
  follow("/sse/flash-sales", { snapshot: () => {}, sale: again }, whenBack(showConnection, again));
}

function next(step) {
  turn = turn.then(step, step);
  return turn;
}

async function reload() {
  const answer = await load(buyer, () => showMessage("wait", "No answer yet. Trying again…"));
  if (answer.ok || answer.status === 404) {
    draw(answer.ok ? answer.body : { items: [] });
    if ($("message").dataset.kind === "wait") showMessage("none");
  } else {
    showMessage("bad", sentence(answer));
  }
}

function draw({ items, totalAmount, currency }) {
  const shown = JSON.stringify(items);
  if (shown === drawn) return; // an unchanged cart is not redrawn, which would disturb typing
  drawn = shown;
  const focused = document.activeElement?.id;
  clearTimeout(begins);
  const first = items.map((item) => item.saleStartsAt).filter(Boolean).sort()[0];
  if (first) begins = at(first, () => next(reload));
  lines = items.map((item) => new CartLine(item, currency, accepted, change));
  $("lines").replaceChildren(...lines.map((line) => line.element));
  $("empty").hidden = lines.length > 0;
  $("total-line").hidden = $("checkout").hidden = lines.length === 0;
  if (lines.length) set($("total"), money(totalAmount, currency));
  if (focused && document.activeElement === document.body) ($(focused) ?? $("title")).focus();
}

function change(productId, qty, name) {
  const mine = (changes += 1);
  return next(async () => {
    const answer = await put(productId, qty);
    if (!answer.ok) {
      drawn = "";
      await reload();
      return showMessage("bad", sentence(answer));
    }
    if (mine === changes) draw(answer.body); // otherwise a newer change is in flight
    showMessage("good", qty ? `${name}: ${qty}.` : `${name} was taken out.`);
  });
}

async function checkOut() {
  const open = lines.find((line) => line.open);
  if (open) {
    showMessage("bad", "Some lines have changed. Accept the new price or remove the line, and order again.");
    return open.focus();
  }
  $("checkout").disabled = true;
  showMessage("wait", "One moment…");
  const agreed = lines.filter((line) => accepted.has(line.id));
  const accept = agreed.map(({ id }) => ({ productId: id, price: accepted.get(id) }));
  const answer = await order(buyer, accept, newKey(), () => showMessage("wait", WAITING));
  $("checkout").disabled = false;
  if (answer.ok) {
    remember(answer.body.orderId);
    return location.assign(`/orders/${answer.body.orderId}`);
  }
  const named = lines.filter(({ id }) => answer.body.lines?.some(({ productId }) => String(productId) === id));
  await reload();
  showMessage("bad", [...named.map(({ name }) => name), sentence(answer)].join(": "));
  $("checkout").focus();
}

// One product: its price and what is left, live; into the cart, or bought at once at the price that is shown.

import { ask } from "./ask.js";
import { add } from "./basket.js";
import { Buyer, purchase, remember } from "./buy.js";
import { $, at, moment, money, set } from "./elements.js";
import { follow, whenBack } from "./live.js";
import { problemType, sentence, showConnection, showMessage } from "./notices.js";

const WAITING = "No answer yet. Trying again; nothing is done twice.";
const buyer = new Buyer();
let path = "";
let product = null;
let left = null;
let busy = false;
let begins = null; // the timer of a sale to come

export async function show(id) {
  path = `/api/v1/products/${encodeURIComponent(id)}`;
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    act(addToCart);
  });
  $("buy").addEventListener("click", () => act(buyNow));
  await load();
  if (!product) return;
  const tell = whenBack(showConnection, load);
  follow(`/sse/stock/${encodeURIComponent(id)}`, { snapshot: takeStock, stock: takeStock, problem: noStock }, tell);
  follow("/sse/flash-sales", { sale: takeSale });
}

async function load() {
  const answer = await ask("GET", path, undefined, { tellWaiting: () => showMessage("wait", WAITING) });
  if (answer.ok) draw(answer.body);
  else if (!product) {
    set($("product"), "Not in the shop");
    showConnection("stopped");
    showMessage("bad", sentence(answer));
  }
}

function draw(document_) {
  product = document_;
  const { name, description, category, price, currency, sale, nextSale } = product;
  document.title = `PulseCart — ${name}`;
  set($("product"), name);
  set($("description"), description);
  set($("category"), category);
  $("category").hidden = !category;
  $("category").href = `/?category=${encodeURIComponent(category)}`;
  $("badge").hidden = !sale;
  set($("price"), money(sale?.price ?? price, currency));
  set($("instead"), sale ? `instead of ${money(price, currency)}` : "");
  announce(nextSale);
  enable();
}

/** The sale to come; it begins by the clock, also where no news of it comes. */
function announce(nextSale) {
  clearTimeout(begins);
  $("begins").hidden = !nextSale;
  if (!nextSale) return $("begins").replaceChildren();
  const { startsAt, price, currency } = nextSale;
  const words = `The sale begins at ${moment(startsAt).textContent}, at ${money(price, currency)}.`;
  set($("begins"), words);
  begins = at(startsAt, load);
}

/** The news is the newest there is; a copy of the product may be older. */
function takeSale({ productId, status, sequence, at: told, ...news }) {
  if (String(productId) !== String(product.productId)) return;
  const { sale, nextSale, ...rest } = product;
  const early = status === "SCHEDULED" && Date.parse(news.startsAt) > Date.now();
  draw(status === "ENDED" ? rest : { ...rest, [early ? "nextSale" : "sale"]: news });
}

function takeStock({ available }) {
  left = available;
  set($("left"), available.toLocaleString());
  enable();
}

/** It never was on a shelf. */
function noStock() {
  takeStock({ available: 0 });
}

function enable() {
  const none = left === 0;
  const early = Boolean(product?.nextSale);
  set($("add"), none ? "Sold out" : early ? "Not open yet" : "Add to cart");
  $("add").disabled = $("buy").disabled = !product || none || early || busy;
}

async function act(how) {
  if (busy || !$("form").reportValidity()) return;
  const focused = document.activeElement;
  busy = true;
  enable();
  showMessage("none");
  $("to-cart").hidden = true;
  await how(Number($("qty").value));
  busy = false;
  enable();
  focused.focus();
}

async function addToCart(qty) {
  const answer = await add(product.productId, qty, buyer);
  if (!answer.ok) return showMessage("bad", sentence(answer));
  showMessage("good", `It is in your cart: ${qty} × ${product.name}.`);
  $("to-cart").hidden = false;
}

async function buyNow(quantity) {
  const expectedPrice = product.sale?.price ?? product.price;
  const wish = { productId: product.productId, quantity, expectedPrice };
  const answer = await purchase("sync", wish, buyer, () => showMessage("wait", WAITING));
  if (answer.ok) {
    remember(answer.body.orderId);
    location.assign(`/orders/${answer.body.orderId}`);
    return;
  }
  if (problemType(answer.body) === "price-changed") accept(answer.body.price);
  showMessage("bad", sentence(answer));
}

/** The button now stands beside the new price; pressing it again accepts that. */
function accept(price) {
  const { sale } = product;
  draw(sale ? { ...product, sale: { ...sale, price } } : { ...product, price });
}

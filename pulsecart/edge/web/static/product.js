// One product: its live price and stock; it can be added to the cart, or bought at the shown price.

import { ask } from "./ask.js";
import { add } from "./basket.js";
import { Buyer, purchase, remember } from "./buy.js";
import { $, at, moment, money, set } from "./elements.js";
import { follow, whenBack } from "./live.js";
import { problemType, sentence, showConnection, showMessage } from "./notices.js";

const WAITING = "No answer yet. Trying again; your request takes effect only once.";
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
  const showState = whenBack(showConnection, load);
  follow(`/sse/stock/${encodeURIComponent(id)}`, { snapshot: takeStock, stock: takeStock, problem: noStock }, showState);
  follow("/sse/flash-sales", { sale: takeSale });
}

async function load() {
  const answer = await ask("GET", path, undefined, { tellWaiting: () => showMessage("wait", WAITING) });
  if (answer.ok) draw(answer.body);
  else if (!product) {
    set($("product"), "Product not found");
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

/** The scheduled sale; it starts by the clock, also without news. */
function announce(nextSale) {
  clearTimeout(begins);
  $("begins").hidden = !nextSale;
  if (!nextSale) return $("begins").replaceChildren();
  const { startsAt, price, currency } = nextSale;
  const words = `The sale starts at ${moment(startsAt).textContent}, at ${money(price, currency)}.`;
  set($("begins"), words);
  begins = at(startsAt, load);
}

/** The live news; the cached product may be older. */
function takeSale({ productId, status, sequence, at: publishedAt, ...news }) {
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

/** The product never had stock. */
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
  showMessage("good", `Added to your cart: ${qty} × ${product.name}.`);
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

/** Shows the new price beside the button; pressing it again accepts that price. */
function accept(price) {
  const { sale } = product;
  draw(sale ? { ...product, sale: { ...sale, price } } : { ...product, price });
}

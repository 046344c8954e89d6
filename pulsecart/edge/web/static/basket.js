// The visitor's cart in the shop: anonymous until they sign in.

import { ask } from "./ask.js";
import { asBuyer } from "./buy.js";
import { problemType } from "./notices.js";

const MINE = "/api/v1/carts/mine";

let merged = false; // once per page is enough: a signed-in buyer uses their own cart

const itemPath = (productId) => `${MINE}/items/${encodeURIComponent(productId)}`;
const missing = ({ body }) => ["unknown-cart", "cart-closed"].includes(problemType(body));

/** Sets the quantity of a product; creates the cart if there is none. */
export async function put(productId, qty) {
  const path = itemPath(productId);
  const answer = await ask("PUT", path, { qty });
  return missing(answer) ? firstly(path, qty) : answer;
}

/** Adds units of a product. Signs in again if the shop no longer knows the session. */
export async function add(productId, qty, buyer) {
  let cart = await ask("GET", MINE);
  if (cart.status === 401 && (await buyer.signIn()).ok) cart = await ask("GET", MINE);
  if (!cart.ok && !missing(cart)) return cart;
  if (!cart.ok || cart.body.status !== "OPEN") return firstly(itemPath(productId), qty);
  return put(productId, quantity(cart.body, productId) + qty);
}

async function firstly(path, qty) {
  const opened = await ask("POST", "/api/v1/carts", {});
  return opened.ok ? ask("PUT", path, { qty }) : opened;
}

/** Reads the cart; for a signed-in buyer, merged with the anonymous cart. */
export async function load(buyer, tellWaiting) {
  const session = await buyer.signIn();
  if (session.ok && !merged) {
    const together = await ask("POST", `${MINE}/merge`, {}, { tellWaiting });
    merged = together.ok || missing(together);
    if (!missing(together)) return together;
  }
  return ask("GET", MINE, undefined, { tellWaiting });
}

/** @param {{productId: string | number, price: number}[]} accept unit prices that the buyer accepts */
export function order(buyer, accept, key, tellWaiting) {
  return asBuyer(buyer, () => ask("POST", `${MINE}/checkout`, { userId: buyer.id, accept }, { key, tellWaiting }));
}

function quantity({ items }, productId) {
  return items.find((item) => String(item.productId) === String(productId))?.qty ?? 0;
}

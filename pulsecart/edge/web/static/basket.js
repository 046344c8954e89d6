// The visitor's cart at the shop: nobody's until they sign in, then theirs.

import { ask } from "./ask.js";
import { asBuyer } from "./buy.js";
import { problemType } from "./notices.js";

const MINE = "/api/v1/carts/mine";

let merged = false; // once per page is enough: who has signed in puts into their own cart

const itemPath = (productId) => `${MINE}/items/${encodeURIComponent(productId)}`;
const missing = ({ body }) => ["unknown-cart", "cart-closed"].includes(problemType(body));

/** So many of a product instead of what there was; a cart is made where there is none. */
export async function put(productId, qty) {
  const path = itemPath(productId);
  const answer = await ask("PUT", path, { qty });
  return missing(answer) ? firstly(path, qty) : answer;
}

/** So many more of a product. A session that the shop no longer knows is made anew. */
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

/** The cart; of one who has signed in, together with what was put in before. */
export async function load(buyer, tellWaiting) {
  const session = await buyer.signIn();
  if (session.ok && !merged) {
    const together = await ask("POST", `${MINE}/merge`, {}, { tellWaiting });
    merged = together.ok || missing(together);
    if (!missing(together)) return together;
  }
  return ask("GET", MINE, undefined, { tellWaiting });
}

/** @param {{productId: string | number, price: number}[]} accept unit prices that the buyer agrees to */
export function order(buyer, accept, key, tellWaiting) {
  return asBuyer(buyer, () => ask("POST", `${MINE}/checkout`, { userId: buyer.id, accept }, { key, tellWaiting }));
}

function quantity({ items }, productId) {
  return items.find((item) => String(item.productId) === String(productId))?.qty ?? 0;
}

// The buyer, and a purchase without duplicates: all attempts of one press of the button share an Idempotency-Key.

import { ask, newKey } from "./ask.js";
import { problemType } from "./notices.js";

const REMEMBERED = 5;

export class Buyer {
  constructor() {
    this.id = localStorage.getItem("buyer") ?? newBuyerId();
    localStorage.setItem("buyer", this.id);
    this.signedIn = null;
  }

  become(id) {
    this.id = id;
    this.signedIn = null;
    localStorage.setItem("buyer", id);
  }

  /** Creates the session for this buyer's streams and cart; once per buyer and page. */
  async signIn() {
    this.signedIn ??= ask("POST", "/api/v1/session", { userId: this.id });
    const answer = await this.signedIn;
    if (!answer.ok) this.signedIn = null;
    return answer;
  }

  /** Ends the session and removes the buyer from this browser. */
  async signOut() {
    const answer = await ask("DELETE", "/api/v1/session");
    if (answer.ok) {
      localStorage.removeItem("buyer");
      sessionStorage.removeItem("orders");
      this.signedIn = null;
    }
    return answer;
  }
}

/** Calls `send` as this buyer; again if another tab has signed in as another buyer. */
export async function asBuyer(buyer, send) {
  await buyer.signIn();
  const answer = await send();
  if (problemType(answer.body) !== "not-yours") return answer;
  buyer.signedIn = null;
  return (await buyer.signIn()).ok ? send() : answer;
}

/** A random number, most likely unique. */
export function newBuyerId() {
  return String(1_000_000 + (crypto.getRandomValues(new Uint32Array(1))[0] % 999_000_000));
}

/**
 * @param {"sync" | "async"} path
 * @param {{productId: string | number, quantity?: number, expectedPrice?: number}} wish
 * @returns {Promise<{ok: boolean, status: number, body: object}>} as `ask`
 */
export function purchase(path, wish, buyer, tellWaiting) {
  const order = { quantity: 1, userId: buyer.id, ...wish };
  const key = newKey();
  return asBuyer(buyer, () => ask("POST", `/api/v1/${path}/purchase`, order, { key, tellWaiting }));
}

/** This tab's newest orders, the newest first. */
export function recall() {
  return JSON.parse(sessionStorage.getItem("orders") ?? "[]");
}

export function remember(orderId) {
  const ids = [orderId, ...recall().filter((id) => id !== orderId)].slice(0, REMEMBERED);
  sessionStorage.setItem("orders", JSON.stringify(ids));
}

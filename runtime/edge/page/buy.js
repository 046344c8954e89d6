// Who buys, and a purchase that is never made twice: one Idempotency-Key for all attempts of one press of the button.

const ATTEMPTS = 10;
const LONGEST_PAUSE_MS = 8_000;
const PATIENCE_MS = 15_000;

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

  /** Makes the session that opens this buyer's streams; once per buyer and page. */
  signIn() {
    this.signedIn ??= post("/api/v1/session", { userId: this.id }).catch((error) => {
      this.signedIn = null;
      throw error;
    });
    return this.signedIn;
  }
}

/** A number that nobody else has, most likely. */
export function newBuyerId() {
  return String(1_000_000 + (crypto.getRandomValues(new Uint32Array(1))[0] % 999_000_000));
}

/**
 * @param {"sync" | "async"} path
 * @returns {Promise<{ok: boolean, status: number, body: object}>} refusals included; throws when nobody answers
 */
export async function purchase(path, productId, buyer, tellWaiting) {
  await buyer.signIn();
  const order = { productId, quantity: 1, userId: buyer.id };
  return post(`/api/v1/${path}/purchase`, order, { "Idempotency-Key": newKey() }, tellWaiting);
}

/** The same request again, under the same key, while the network or the server says "not now". */
async function post(path, body, headers = {}, tellWaiting = () => {}) {
  for (let attempt = 1; ; attempt += 1) {
    let pauseMs = Math.min(LONGEST_PAUSE_MS, 300 * 2 ** attempt) * (0.5 + Math.random() / 2);
    try {
      const answer = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...headers },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      const document = await answer.json().catch(() => ({}));
      if (!notNow(answer.status, document) || attempt >= ATTEMPTS) {
        return { ok: answer.ok, status: answer.status, body: document };
      }
      pauseMs = Math.max(pauseMs, 1000 * Number(answer.headers.get("Retry-After") ?? 0));
    } catch (error) {
      if (attempt >= ATTEMPTS) throw error;
    }
    tellWaiting(attempt);
    await new Promise((resume) => setTimeout(resume, pauseMs));
  }
}

function notNow(status, document) {
  return status === 429 || status >= 500 || (status === 409 && String(document.type).endsWith("in-flight"));
}

function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // a page that did not come by https or from localhost
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

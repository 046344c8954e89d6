// What is on the screen, and nothing else.

const STEPS = ["PENDING", "CONFIRMED", "PAID", "FULFILLED"];
const WORDS = {
  PENDING: "is in the queue",
  CONFIRMED: "is reserved for you",
  PAID: "is paid",
  FULFILLED: "is on its way",
  CANCELED: "was canceled",
};
const REASONS = {
  SOLD_OUT: "It was sold out before your turn came.",
  LIMIT_REACHED: "You have as many as one buyer may have.",
  SALE_NOT_OPEN: "The sale is not open.",
  PAYMENT_DECLINED: "The payment was declined.",
  PAYMENT_FAILED: "The payment could not be made.",
  PAYMENT_EXPIRED: "It was not paid in time.",
};
const PAYMENTS = { REFUND_REQUESTED: "Your money is on its way back.", REFUNDED: "Your money was returned." };

export const $ = (id) => document.getElementById(id);

export function showConnection(state) {
  const words = { connecting: "Connecting…", live: "Live", waiting: "Reconnecting…", stopped: "Not live" };
  set($("connection"), words[state]);
  $("connection").dataset.state = state;
}

export function showSale(sale) {
  set($("product"), sale.name);
  set($("price"), money(sale.price, sale.currency));
  set($("limit"), sale.buyerLimit ? `${sale.buyerLimit} per buyer at most` : "");
}

export function showStock(left, initial) {
  const all = Math.max(initial, left);
  set($("left"), left.toLocaleString());
  set($("of"), `of ${all.toLocaleString()}`);
  const bar = $("bar");
  bar.setAttribute("aria-valuemax", all);
  bar.setAttribute("aria-valuenow", left);
  bar.dataset.low = String(left < all / 5);
  $("fill").style.transform = `scaleX(${all ? left / all : 0})`;
}

/** @param {"loading" | "scheduled" | "open" | "soldout" | "ended" | "none"} phase */
export function showPhase(phase, sale, busy) {
  const words = { scheduled: "Starting soon", open: "Flash sale", soldout: "Sold out", ended: "Sale over", none: "No sale" };
  const verbs = { scheduled: "Not open yet", soldout: "Sold out", ended: "The sale is over", none: "No sale just now" };
  $("sale").dataset.phase = phase;
  set($("phase"), words[phase] ?? "Flash sale");
  set($("buy"), busy ? "One moment…" : (verbs[phase] ?? (sale ? `Buy now — ${money(sale.price, sale.currency)}` : "Buy now")));
  $("buy").disabled = $("again").disabled = phase !== "open" || busy;
}

export function showCountdown(phase, ms) {
  const labels = { scheduled: "Starts in", open: "Ends in", soldout: "Ends in" };
  set($("countdown-label"), labels[phase] ?? (phase === "loading" ? "Looking for the sale…" : ""));
  set($("countdown"), labels[phase] ? duration(ms) : "");
}

/** @param {"none" | "good" | "bad" | "wait"} kind */
export function showMessage(kind, words = "") {
  $("message").dataset.kind = kind;
  set($("message"), words);
}

/** One order's card. `show` takes any news of it, the newest last, and repeats do no harm. */
export class OrderCard {
  constructor(orderId) {
    this.orderId = orderId;
    this.status = null;
    this.element = $("order-template").content.firstElementChild.cloneNode(true);
    this.element.querySelector(".order-id").textContent = orderId.slice(-12);
    this.element.querySelector(".order-id").title = orderId;
    this.element.querySelector(".passport").href = `/orders/${orderId}/passport`;
    $("none").hidden = true;
    $("orders").prepend(this.element);
  }

  show(news) {
    if (news.totalAmount !== undefined && news.currency) {
      set(this.element.querySelector(".amount"), money(news.totalAmount, news.currency));
    }
    if (news.createdAt) this._reach("PENDING", news.createdAt);
    if (news.payment in PAYMENTS) set(this.element.querySelector(".outcome"), PAYMENTS[news.payment]);
    if (!news.status) return;
    this._reach(news.status, news.at);
    if (news.reason) {
      set(this.element.querySelector(".outcome"), REASONS[news.reason] ?? `Reason: ${news.reason}.`);
    }
    if (news.status !== this.status) {
      this.status = news.status;
      set($("spoken"), `Your order ${WORDS[news.status] ?? news.status}.`);
    }
  }

  get ended() {
    return this.status === "FULFILLED" || this.status === "CANCELED";
  }

  _reach(status, at) {
    const canceled = status === "CANCELED";
    const place = STEPS.indexOf(status);
    for (const item of this.element.querySelectorAll("li")) {
      const mine = item.dataset.status;
      const passed = !canceled && STEPS.indexOf(mine) !== -1 && STEPS.indexOf(mine) <= place;
      if (passed || mine === status) item.dataset.reached = "true";
      if (mine === "CANCELED") item.hidden = !canceled && item.dataset.reached !== "true";
      else if (canceled && item.dataset.reached !== "true") item.hidden = true;
      if (mine === status && at && !item.querySelector("time").dateTime) this._time(item.querySelector("time"), at);
    }
    this._mark();
  }

  _mark() {
    const reached = [...this.element.querySelectorAll("li[data-reached=true]")];
    for (const item of this.element.querySelectorAll("li")) item.removeAttribute("aria-current");
    const last = reached.at(-1);
    if (!last) return;
    last.setAttribute("aria-current", "step");
    last.dataset.last = String(["FULFILLED", "CANCELED"].includes(last.dataset.status));
  }

  _time(element, at) {
    element.dateTime = at;
    element.textContent = new Date(at).toLocaleTimeString([], {
      hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 1,
    });
  }
}

export function money(amount, currency) {
  return new Intl.NumberFormat(undefined, { style: "currency", currency }).format(amount);
}

function duration(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const pad = (number) => String(number).padStart(2, "0");
  const days = Math.floor(seconds / 86_400);
  const clock = `${pad(Math.floor(seconds / 3600) % 24)}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`;
  return days ? `${days} d ${clock}` : clock;
}

/** Only what changed is written, so that a screen reader is not told the same again. */
function set(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

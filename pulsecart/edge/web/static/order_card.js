// One order's progress, step by step.

import { $, made, money, set } from "./elements.js";

const STEPS = { PENDING: "Ordered", CONFIRMED: "Reserved", PAID: "Paid", FULFILLED: "On its way", CANCELED: "Canceled" };
const LINE = ["PENDING", "CONFIRMED", "PAID", "FULFILLED"];
const ENDS = ["FULFILLED", "CANCELED"];
export const WORDS = {
  PENDING: "is in the queue",
  CONFIRMED: "is reserved for you",
  PAID: "is paid",
  FULFILLED: "is on its way",
  CANCELED: "was canceled",
};
const REASONS = {
  BUYER: "You canceled it.",
  SOLD_OUT: "The product sold out before your order was processed.",
  LIMIT_REACHED: "You have the maximum number that one buyer may have.",
  SALE_NOT_OPEN: "The sale is not open.",
  PAYMENT_DECLINED: "The payment was declined.",
  PAYMENT_FAILED: "The payment could not be made.",
  PAYMENT_EXPIRED: "It was not paid in time.",
};
const PAYMENTS = { REFUND_REQUESTED: "Your money is on its way back.", REFUNDED: "Your money was returned." };

/** `show` accepts the order's news in order, also repeatedly. `#spoken` announces changes to screen readers. */
export class OrderCard {
  /** @param {"h2" | "h3"} heading */
  constructor(orderId, heading) {
    this.orderId = orderId;
    this.status = null;
    this.amount = made("p", { className: "amount" });
    this.outcome = made("p", { className: "outcome" });
    this.items = Object.entries(STEPS).map(([status, words]) =>
      made("li", { "data-status": status, hidden: status === "CANCELED" }, made("b", {}, words), made("time")),
    );
    const code = made("code", { className: "order-id", title: orderId }, orderId.slice(-12));
    const name = made("a", { href: `/orders/${orderId}` }, "Order ", code);
    const passport = made("a", { className: "passport", href: `/orders/${orderId}/passport` }, "Everything about this order");
    this.element = made("article", { className: "card order" },
      made("header", {}, made(heading, {}, name), this.amount),
      made("ol", { className: "steps" }, ...this.items),
      this.outcome,
      made("p", {}, passport),
    );
  }

  show(news) {
    if (news.totalAmount !== undefined && news.currency) set(this.amount, money(news.totalAmount, news.currency));
    if (news.createdAt) this._reach("PENDING", news.createdAt);
    if (news.payment in PAYMENTS) set(this.outcome, PAYMENTS[news.payment]);
    if (!news.status) return;
    this._reach(news.status, news.at);
    if (news.reason) set(this.outcome, REASONS[news.reason] ?? `Reason: ${news.reason}.`);
    if (news.status !== this.status) {
      this.status = news.status;
      set($("spoken"), `Your order ${WORDS[news.status] ?? news.status}.`);
    }
  }

  get ended() {
    return ENDS.includes(this.status);
  }

  _reach(status, at) {
    const canceled = status === "CANCELED";
    const place = LINE.indexOf(status);
    for (const item of this.items) {
      const mine = item.dataset.status;
      const passed = !canceled && LINE.indexOf(mine) !== -1 && LINE.indexOf(mine) <= place;
      if (passed || mine === status) {
        item.dataset.reached = "true";
        item.hidden = false;
      }
      if (mine === "CANCELED") item.hidden = !canceled && item.dataset.reached !== "true";
      else if (canceled && item.dataset.reached !== "true") item.hidden = true;
      if (mine === status && at && !item.querySelector("time").dateTime) timed(item.querySelector("time"), at);
    }
    this._mark();
  }

  _mark() {
    for (const item of this.items) item.removeAttribute("aria-current");
    const last = this.items.filter((item) => item.dataset.reached === "true").at(-1);
    if (!last) return;
    last.setAttribute("aria-current", "step");
    last.dataset.last = String(ENDS.includes(last.dataset.status));
  }
}

function timed(element, at) {
  element.dateTime = at;
  element.textContent = new Date(at).toLocaleTimeString([], {
    hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 1,
  });
}

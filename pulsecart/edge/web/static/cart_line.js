// One line of the cart: its product, its changes, and the buyer's choices.

import { made, moment, money, unseen } from "./elements.js";

const QTY_MAX = 1000;

export class CartLine {
  /**
   * @param {object} item as in the API; `problems` lists the changes
   * @param {Map<string, number>} accepted unit prices agreed to so far; the line writes its own
   * @param {(productId: string, qty: number, name: string) => void} change
   */
  constructor(item, currency, accepted, change) {
    this.item = item;
    this.id = String(item.productId);
    this.name = item.name ?? `Product ${this.id}`;
    this.currency = currency;
    this.accepted = accepted;
    this.change = (qty) => change(this.id, qty, this.name);
    this.remedies = [];
    const problems = item.problems.map((problem) => this._problem(problem));
    this.element = made("li", { "data-product": this.id }, this._head(), ...problems);
  }

  /** Whether the line still needs a decision. */
  get open() {
    const { problems, price } = this.item;
    return problems.some((problem) => problem !== "PRICE_CHANGED" || this.accepted.get(this.id) !== price);
  }

  /** Focuses the first control that resolves a problem. */
  focus() {
    (this.remedies.find((one) => !one.checked) ?? this.remedies[0]).focus();
  }

  _head() {
    const { qty, price } = this.item;
    const name = made("a", { href: `/products/${encodeURIComponent(this.id)}` }, this.name);
    const cost = price === undefined ? "" : `${qty} × ${money(price, this.currency)}`;
    const id = `qty-${this.id}`;
    const input = made("input", {
      id, type: "number", inputMode: "numeric", min: "1", max: String(QTY_MAX), step: "1", required: true, value: String(qty),
    });
    input.addEventListener("change", () => input.reportValidity() && this.change(Number(input.value)));
    return made("div", { className: "line" },
      made("p", {}, name),
      made("p", { className: "amount" }, cost),
      made("p", { className: "field" }, made("label", { htmlFor: id }, "Quantity", unseen(` of ${this.name}`)), input),
      this._button("remove", "Remove", 0),
    );
  }

  _problem(problem) {
    const { price, seenPrice, available, qty } = this.item;
    const box = made("div", { className: "problem" });
    if (problem === "PRICE_CHANGED") {
      box.append(made("p", {}, `The price changed from ${money(seenPrice, this.currency)} to ${money(price, this.currency)}.`));
      box.append(this._acceptance());
    } else if (problem === "SHORT_STOCK" && available > 0) {
      box.append(made("p", {}, `You want ${qty}, but only ${available} are left.`));
      box.append(this._remedy("take", `Take ${available}`, available));
    } else if (problem === "SALE_NOT_OPEN") {
      box.append(made("p", {}, "You can buy it when its sale starts at ", moment(this.item.saleStartsAt), "."));
      box.append(this._remedy("remove-all", "Remove it", 0));
    } else if (problem === "LIMIT_REACHED") {
      box.append(made("p", {}, "This is more than one buyer may have."), this._remedy("remove-all", "Remove it", 0));
    } else {
      const words = problem === "SHORT_STOCK" ? "It is sold out." : "It is no longer sold.";
      box.append(made("p", {}, words), this._remedy("remove-all", "Remove it", 0));
    }
    return box;
  }

  _acceptance() {
    const { price } = this.item;
    const id = `accept-${this.id}`;
    const box = made("input", { id, type: "checkbox", checked: this.accepted.get(this.id) === price });
    box.addEventListener("change", () => {
      if (box.checked) this.accepted.set(this.id, price);
      else this.accepted.delete(this.id);
    });
    this.remedies.push(box);
    return made("p", { className: "accept" }, box, made("label", { htmlFor: id }, "Accept the new price", unseen(` of ${this.name}`)));
  }

  _remedy(kind, words, qty) {
    const button = this._button(kind, words, qty);
    this.remedies.push(button);
    return button;
  }

  _button(kind, words, qty) {
    const button = made("button", { id: `${kind}-${this.id}`, className: "again small", type: "button" }, words);
    button.append(unseen(` ${this.name}`));
    button.addEventListener("click", () => this.change(qty));
    return button;
  }
}

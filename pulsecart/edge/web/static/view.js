// Shows the flash sale.

import { $, money, set } from "./elements.js";

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
  const verbs = { scheduled: "Not open yet", soldout: "Sold out", ended: "The sale is over", none: "No sale now" };
  $("sale").dataset.phase = phase;
  set($("phase"), words[phase] ?? "Flash sale");
  set($("buy"), busy ? "One moment…" : (verbs[phase] ?? (sale ? `Buy now — ${money(sale.price, sale.currency)}` : "Buy now")));
  $("buy").disabled = $("again").disabled = phase !== "open" || busy;
}

export function showCountdown(phase, ms) {
  const labels = { scheduled: "Starts in", open: "Ends in", soldout: "Ends in" };
  set($("countdown-label"), labels[phase] ?? (phase === "loading" ? "Loading the sale…" : ""));
  set($("countdown"), labels[phase] ? duration(ms) : "");
}

function duration(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const pad = (number) => String(number).padStart(2, "0");
  const days = Math.floor(seconds / 86_400);
  const clock = `${pad(Math.floor(seconds / 3600) % 24)}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`;
  return days ? `${days} d ${clock}` : clock;
}

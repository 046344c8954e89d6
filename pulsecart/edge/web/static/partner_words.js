// Words and elements that several parts of the partners' page show.

import { made } from "./elements.js";

const EVERYTHING = "ecommerce.*";
export const short = (type) => (type === EVERYTHING ? "all events" : type.replace(/^ecommerce\./, ""));
export const state = (words) => made("span", { className: "state", "data-state": words }, words);
export const facts = (...all) => made("p", { className: "facts" }, ...all.filter(Boolean).map((one) => made("span", {}, one)));

/** With seconds, which matter between attempts. */
export function second(at) {
  return made("time", { dateTime: at }, new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" }));
}

export function button(words, about, then, className = "again small") {
  const one = made("button", { type: "button", className }, words);
  if (about) one.setAttribute("aria-label", `${words}: ${about}`);
  one.addEventListener("click", then);
  return one;
}

/** @returns {Promise<string>} the value of the pressed button, `no` after Escape */
export function asked(dialog) {
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue), { once: true }));
}

export async function confirmed(question, yes) {
  const dialog = document.getElementById("confirm");
  document.getElementById("question").textContent = question;
  document.getElementById("yes").textContent = yes;
  return (await asked(dialog)) === "yes";
}

/** @returns {[string, "delivered" | "failed" | ""]} how an attempt ended, in words and as a state */
export function outcome({ endedAt, durationMs, result, error }, status) {
  if (!endedAt) return ["in flight", ""];
  const took = `${Math.round(durationMs)} ms`;
  if (result === "delivered") return [`delivered: answer ${status}, ${took}`, "delivered"];
  return [status ? `failed: answer ${status}, ${took}` : `failed: ${error ?? result}, ${took}`, "failed"];
}

// Creates the page from elements and text, never from markup.

import { digits } from "./currencies.js";

const FAR_MS = 86_400_000;
const SOON_MS = 1000;

export const $ = (id) => document.getElementById(id);

/** @param {Object<string, unknown>} properties of the element; `data-…` and `aria-…` are attributes */
export function made(kind, properties = {}, ...children) {
  const element = document.createElement(kind);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** Text for screen readers only. */
export const unseen = (words) => made("span", { className: "unseen" }, words);

/** Writes only changes, so that a screen reader does not repeat the same text. */
export function set(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/** With the digits of ISO 4217: a browser's own table has fewer for some (IQD, LBP), and would show a rounded price. */
export function money(amount, currency) {
  const fraction = digits(currency);
  const shown = { style: "currency", currency, minimumFractionDigits: fraction, maximumFractionDigits: fraction };
  return new Intl.NumberFormat(undefined, shown).format(amount);
}

export function moment(at) {
  const words = new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  return made("time", { dateTime: at }, words);
}

/** Calls `then` at that moment, or late rather than early: a timer has at most some 24 days, and clocks differ. */
export function at(moment_, then) {
  const left = Date.parse(moment_) - Date.now();
  return setTimeout(() => (left > FAR_MS ? at(moment_, then) : then()), Math.min(Math.max(left, SOON_MS), FAR_MS));
}

/** Puts a page's template into the shell, and sets the title. */
export function enter(template, title) {
  document.title = `PulseCart — ${title}`;
  $("main").replaceChildren($(template).content.cloneNode(true));
}

// The catalogue: the page's address holds search, filter and sort order; a cursor loads more.

import { ask } from "./ask.js";
import { $, made, moment, money, set, unseen } from "./elements.js";
import { sentence } from "./notices.js";

const PAGE = "12";
const NAMES = ["q", "category", "sort"];
let next = null;
let shown = 0;
let round = 0; // answers to older searches are not shown

/** The search parameters of the page's address. */
function wanted() {
  const asked = new URLSearchParams(location.search);
  return new URLSearchParams(NAMES.filter((name) => asked.get(name)).map((name) => [name, asked.get(name)]));
}

async function load(cursor = null) {
  const mine = (round += 1);
  const query = wanted();
  query.set("limit", PAGE);
  if (cursor) query.set("cursor", cursor);
  const answer = await ask("GET", `/api/v1/products?${query}`, undefined, {
    tellWaiting: () => set($("found"), "The shop does not answer yet. Trying again…"),
  });
  if (mine !== round) return;
  if (!cursor) {
    $("products").replaceChildren();
    shown = 0;
  }
  if (answer.ok) draw(answer.body);
  else set($("found"), sentence(answer));
}

function draw({ products, next: cursor }) {
  const cards = products.map(card);
  $("products").append(...cards);
  if (shown && document.activeElement === $("more")) cards[0]?.querySelector("a").focus();
  shown += products.length;
  next = cursor ?? null;
  $("more").hidden = !next;
  set($("found"), shown ? `${shown} products${next ? ", and more" : ""}` : "No products found. Try other words, or all categories.");
}

function card({ productId, name, category, price, currency, available, sale, nextSale }) {
  const amount = made("p", { className: "amount" }, unseen("Price "), money(sale?.price ?? price, currency));
  if (sale) amount.append(" ", made("span", { className: "badge" }, "Flash sale"));
  return made("li", { className: "card product" },
    made("h3", {}, made("a", { href: `/products/${encodeURIComponent(productId)}` }, name)),
    made("p", { className: "none" }, category),
    amount,
    made("p", { className: "none" }, ...offered(available, nextSale)),
  );
}

function offered(available, nextSale) {
  if (nextSale) return ["Sale starts at ", moment(nextSale.startsAt)];
  return [available ? `${available.toLocaleString()} left` : "Sold out"];
}

/** Adds a category to the choices, once. */
function offer(category) {
  const options = [...$("category").options];
  if (!category || options.some((option) => option.value === category)) return;
  const after = options.slice(1).find((option) => option.value > category) ?? null;
  $("category").insertBefore(made("option", { value: category }, category), after);
}

async function loadCategories() {
  const answer = await ask("GET", "/api/v1/categories");
  if (answer.ok) answer.body.categories.forEach(({ name }) => offer(name));
}

function fillForm() {
  const asked = wanted();
  offer(asked.get("category"));
  for (const name of NAMES) $(name).value = asked.get(name) ?? "";
}

function search() {
  const given = [...new FormData($("search"))].filter(([, value]) => value.trim());
  const query = new URLSearchParams(given).toString();
  history.pushState(null, "", query ? `?${query}` : location.pathname);
  load();
}

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
$("category").addEventListener("change", search);
$("sort").addEventListener("change", search);
$("more").addEventListener("click", () => load(next));
window.addEventListener("popstate", () => {
  fillForm();
  load();
});
fillForm();
load();
loadCategories();

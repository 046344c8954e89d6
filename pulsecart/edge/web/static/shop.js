// Selects the page: each path has its own template and module.

import { enter } from "./elements.js";

const [, first, id] = location.pathname.split("/").map(decodeURIComponent);
const PAGES = {
  products: ["product-page", "product", "./product.js"],
  cart: ["cart-page", "your cart", "./cart.js"],
  orders: id ? ["order-page", "your order", "./order.js"] : ["orders-page", "your orders", "./orders.js"],
};

const [template, title, module] = PAGES[first];
enter(template, title);
for (const link of document.querySelectorAll("nav a")) {
  if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
}
const page = await import(module);
await page.show(id);

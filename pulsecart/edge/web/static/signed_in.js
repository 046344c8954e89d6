// Who the page says is buying, and the button that ends it.

import { $, set } from "./elements.js";
import { sentence, showMessage } from "./notices.js";

export function showBuyer(buyer) {
  set($("buyer"), buyer.id);
  $("sign-out").addEventListener("click", async () => {
    const answer = await buyer.signOut();
    if (answer.ok) return location.assign("/");
    showMessage("bad", sentence(answer));
  });
}

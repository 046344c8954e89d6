// Shows the signed-in buyer and the button to sign out.

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

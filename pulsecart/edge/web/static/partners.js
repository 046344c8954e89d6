// The partners' page: signs in with a pasted token, and connects the parts.

import { $, set } from "./elements.js";
import { showMessage } from "./notices.js";
import { dropToken, keepToken, partner, Refused, token } from "./partner_api.js";
import { openLog, closeLog } from "./attempt_log.js";
import { openMessage } from "./webhook_message.js";
import { openMessages } from "./webhook_messages.js";
import { prepareForm } from "./new_subscription.js";
import { loadSubscriptions, mark } from "./subscriptions.js";

let opened = null;

/** Does something that the partner asked for, and shows how it ended. */
async function attempt(work, good = "") {
  showMessage("none");
  try {
    const said = await work();
    if (said ?? good) showMessage("good", said ?? good);
  } catch (refused) {
    if (!(refused instanceof Refused)) throw refused;
    if (refused.ends) signOut();
    showMessage("bad", refused.message);
  }
}

async function signIn() {
  const signedIn = Boolean(token());
  $("sign-in").hidden = signedIn;
  $("signed-in").hidden = !signedIn;
  if (!signedIn) return;
  set($("partner"), partner());
  await attempt(async () => {
    await prepareForm(page);
    await refresh();
  });
}

function signOut() {
  dropToken();
  close();
  forgetSecret();
  $("subscriptions").replaceChildren();
  signIn();
  $("token").focus();
}

const refresh = () => loadSubscriptions(page);

function open(subscription) {
  opened = subscription.subscriptionId;
  mark(opened);
  $("one").hidden = false;
  $("message-part").hidden = true;
  set($("one-title"), subscription.url);
  set($("one-about"), `Subscription ${opened}`);
  $("one-title").focus();
  openLog(opened, page);
  return openMessages(opened, page);
}

function close() {
  opened = null;
  mark(null);
  closeLog();
  $("one").hidden = $("message-part").hidden = true;
}

/** What the parts need of the page. */
const page = {
  attempt,
  refresh,
  open,
  close,
  isOpened: (id) => opened === id,
  openMessage: (id) => attempt(() => openMessage(id, page)),
  showSecret(made) {
    const isPublic = Boolean(made.publicKey);
    set($("secret-title"), isPublic ? "The public key of your subscription" : "The secret of your subscription");
    set($("secret"), made.secret ?? made.publicKey);
    $("secret-part").hidden = false;
    $("secret-part").focus();
  },
};

function forgetSecret() {
  $("secret-part").hidden = true;
  set($("secret"), "");
}

$("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  keepToken($("token").value.trim().replace(/^Bearer /, ""));
  $("token").value = "";
  await signIn();
  if (token()) $("subscriptions-title").focus();
});
$("sign-out").addEventListener("click", signOut);
$("stored").addEventListener("click", () => {
  forgetSecret();
  $("subscriptions-title").focus();
});
$("copy").addEventListener("click", async () => {
  const copied = await navigator.clipboard?.writeText($("secret").textContent).then(() => true, () => false);
  showMessage(copied ? "good" : "bad", copied ? "Copied." : "Your browser does not allow it. Select the text and copy it.");
});
signIn();

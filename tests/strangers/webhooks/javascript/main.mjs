// The Standard Webhooks library for JavaScript as a stranger: see tests/strangers/verifiers.py for what it reads and prints.
import { createPublicKey, verify } from "node:crypto";
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

// Node's own ed25519: the library knows only v1.
function verified(secret, headers, body) {
  const key = createPublicKey({
    key: Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(secret.slice(5), "base64")]),
    format: "der",
    type: "spki",
  });
  const text = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`), body]);
  const given = headers["webhook-signature"].split(" ").filter((one) => one.startsWith("v1a,"));
  return given.some((one) => verify(null, text, key, Buffer.from(one.slice(4), "base64")));
}

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  const bytes = Buffer.from(body, "base64");
  let valid = true;
  try {
    if (secret.startsWith("whpk_")) valid = verified(secret, headers, bytes);
    else new Webhook(secret).verify(bytes, headers);
  } catch (error) {
    valid = error instanceof SyntaxError; // the signature was right, and the body is no JSON
  }
  const signed = secret.startsWith("whpk_") ? "" : new Webhook(secret).sign(headers["webhook-id"], new Date(1000 * headers["webhook-timestamp"]), bytes);
  console.log(JSON.stringify({ valid, signed }));
}

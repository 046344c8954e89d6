// The CloudEvents SDK for JavaScript as a stranger: see tests/strangers/sdks.py for what it reads and prints.
import http from "node:http";
import readline from "node:readline";
import { CloudEvent, HTTP } from "cloudevents";

const say = (document) => process.stdout.write(JSON.stringify(document) + "\n");
const [, , act, place] = process.argv;

function dataOf({ kind, data }) {
  const bytes = Buffer.from(data ?? "", "base64");
  if (kind === "none") return undefined;
  if (kind === "json") return JSON.parse(bytes.toString());
  return kind === "text" ? bytes.toString() : bytes;
}

function post(url, headers, body, agent) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: "POST", headers, agent }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => resolve({ status: response.statusCode, answer: Buffer.concat(parts).toString() }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function send(url) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    const event = new CloudEvent({ ...asked.attributes, ...asked.extensions, data: dataOf(asked) });
    const message = asked.mode === "binary" ? HTTP.binary(event) : HTTP.structured(event);
    const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, String(value)]));
    const body = Buffer.from(message.body ?? "");
    let sent;
    while ((sent = await post(url, { ...headers, "content-length": body.length }, body, agent)).status === 503) {
      await new Promise((resolve) => setTimeout(resolve, 200)); // the broker asks to come again
    }
    say({ n: asked.n, ...sent, headers, body: body.toString("base64") });
  }
  agent.destroy();
}

function read(request, body) {
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, Buffer.from(value, "latin1").toString()]),
  );
  try {
    const event = HTTP.toEvent({ headers, body: body.length ? body.toString() : undefined });
    const named = Object.entries(event).filter(([name, value]) => value !== undefined && !name.startsWith("data_") && name !== "data");
    return { attributes: Object.fromEntries(named.map(([name, value]) => [name, String(value)])) };
  } catch (error) {
    return { error: String(error) };
  }
}

function receive(host) {
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const body = Buffer.concat(parts);
      say({ ...read(request, body), no: request.headers["ce-strangerno"], data: body.toString("base64") });
      response.writeHead(204).end();
    });
  });
  server.listen(0, host, () => say({ port: server.address().port }));
  process.stdin.resume().on("end", () => process.exit(0));
}

await (act === "send" ? send(place) : receive(place));

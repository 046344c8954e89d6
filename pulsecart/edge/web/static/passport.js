// An order's passport, requested with the visitor's session and written as text, never as markup.

import { digits } from "./currencies.js";

const RESULTS = {
  finished: "finished",
  delivered: "delivered",
  failed: "failed: no external answer",
  waiting: "tried again",
  "given-up": "given up",
  "to-come": "to come",
  "with-the-broker": "with the broker",
};
const REFUSALS = {
  401: "Please sign in first. Only its buyer can see this passport.",
  403: "This order belongs to another buyer.",
  404: "There is no such order.",
};

const $ = (id) => document.getElementById(id);
const path = location.pathname;

async function show() {
  const answer = await fetch(`/api/v1${path}`).catch(() => null);
  $("passport").setAttribute("aria-busy", "false");
  if (!answer?.ok) {
    $("state").textContent = REFUSALS[answer?.status] ?? "The shop cannot be reached. Please try again.";
    return;
  }
  draw(await answer.json());
}

function draw({ order, request, payment, attempts, steps, events }) {
  $("state").textContent = `Order ${order.orderId} is ${order.status}.`;
  facts($("request"), {
    Request: request.request,
    Time: moment(request.at),
    "Idempotency-Key": code(request.idempotencyKey),
    "First reply": request.reply ? `${request.reply.status}` : "–",
    "Correlation-Id": code(request.correlationId),
    Trace: code(request.traceparent),
    Payment: payment ? `${payment.status}, ${payment.amount.toFixed(digits(payment.currency))} ${payment.currency}` : "–",
  });
  rows("steps", steps, (step) => [step.sequence, step.status, moment(step.at), step.actor, code(step.causedBy)]);
  rows("events", events, (event) => [
    event.sequence, name(event), moment(event.time), event.source, code(event.id),
    event.inStream === false ? `${event.streamId} (forgotten)` : event.streamId,
  ]);
  $("attempts-part").hidden = !attempts.length;
  rows("attempts", attempts, (attempt) => [
    attempt.call, moment(attempt.at), attempted(attempt), attempt.error ?? "–", moment(attempt.endedAt),
    code(attempt.causedBy),
  ]);
  const deliveries = events.flatMap((event) => event.deliveries.map((delivery) => ({ event, delivery })));
  rows("deliveries", deliveries, ({ event, delivery }) => [
    `${event.sequence} ${name(event)}`, delivery.trigger, delivery.operation, result(delivery),
    moment(delivery.at ?? delivery.dueAt),
  ]);
}

const name = (event) => event.type.split(".").slice(2, -1).join(".");

function result(delivery) {
  const words = [RESULTS[delivery.result] ?? delivery.result];
  if (delivery.attempts !== undefined) words.push(`after ${delivery.attempts}`);
  if (delivery.errorCode) words.push(`(${delivery.errorCode})`);
  if (delivery.discardedAt) words.push("and discarded");
  if (delivery.replayedAt) words.push("(given up once, and replayed)");
  const element = made("span", words.join(" "));
  element.dataset.result = delivery.result;
  return element;
}

function attempted({ result, error, endedAt }) {
  const element = made("span", endedAt ? result : "no result recorded");
  element.dataset.result = error || !endedAt ? "failed" : "finished";
  return element;
}

function moment(at) {
  if (!at) return "–";
  const element = made("time", at.replace("T", " "));
  element.dateTime = at;
  return element;
}

const code = (text) => (text ? made("code", text) : "–");

function facts(list, named) {
  for (const [term, value] of Object.entries(named)) list.append(made("dt", term), made("dd", value));
}

/** The first cell of a row is its header. */
function rows(table, all, cells) {
  for (const one of all) {
    const row = document.createElement("tr");
    cells(one).forEach((value, at) => {
      const cell = made(at ? "td" : "th", value);
      if (!at) cell.scope = "row";
      row.append(cell);
    });
    $(table).tBodies[0].append(row);
  }
}

function made(kind, value) {
  const element = document.createElement(kind);
  element.append(value);
  return element;
}

show();

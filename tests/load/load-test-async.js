// The sale as k6 sees it, asynchronous path: every well-formed request is accepted with 202 and a tracking id.
//   k6 run -e BASE_URL=http://127.0.0.1:8080 tests/load/load-test-async.js
// The stages are a tenth as long as the original ones; -e STRETCH=10 makes them five minutes again. Each buyer waits
// between two purchases (-e THINK=1, seconds): 2,000 of them ask, they do not hammer.
import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter, Rate } from 'k6/metrics';
import { uuidv4 } from './uuid.js';

const BASE_URL = __ENV.BASE_URL || 'http://127.0.0.1:8080';
const STRETCH = Number(__ENV.STRETCH || 1);
const THINK = Number(__ENV.THINK || 1);
const seconds = (n) => `${Math.round(n * STRETCH)}s`;

const acceptance = new Rate('acceptance');
const accepted = new Counter('accepted');

export const options = {
  scenarios: {
    ramp_up: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: seconds(6), target: 200 },
        { duration: seconds(12), target: 1000 },
        { duration: seconds(12), target: 2000 },
      ],
      gracefulRampDown: '5s',
    },
    burst: { executor: 'constant-vus', vus: 100, duration: seconds(12) },
  },
  thresholds: {
    'http_req_duration{name:purchase}': ['p(95)<500'],
    acceptance: ['rate>0.99'],
  },
};

export function setup() {
  const answer = http.put(`${BASE_URL}/api/v1/sync/stock/1/reset?stock=1000`);
  check(answer, { 'stock is reset': (r) => r.status === 200 });
  return { run: Math.floor(1 + Math.random() * 90000) * 1e10 }; // buyers of this run alone
}

export default function (data) {
  const buyer = data.run + __VU * 1000000 + __ITER;
  const answer = http.post(
    `${BASE_URL}/api/v1/async/purchase`,
    JSON.stringify({ productId: 1, quantity: 1, userId: buyer }),
    { headers: { 'Content-Type': 'application/json', 'Idempotency-Key': uuidv4() }, tags: { name: 'purchase' } },
  );
  acceptance.add(answer.status === 202);
  if (answer.status === 202) accepted.add(1);
  check(answer, {
    'accepted, with a tracking id': (r) => r.status === 202 && Boolean(r.json('trackingId')),
  });
  sleep(THINK);
}

export function teardown() {
  let pending = -1;
  for (let n = 0; n < 120 && pending !== 0; n += 1) {
    pending = http.get(`${BASE_URL}/api/v1/async/queue/status`).json('pending');
    if (pending !== 0) sleep(0.5);
  }
  check(pending, { 'every accepted purchase was decided': (n) => n === 0 });
}

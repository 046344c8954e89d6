// The sale as k6 sees it, synchronous path: 200 is sold, 409 is an honest no; both are successes.
//   k6 run -e BASE_URL=http://127.0.0.1:8080 tests/load/load-test-sync.js
// The stages are a tenth as long as the original ones; -e STRETCH=10 makes them five minutes again.
import http from 'k6/http';
import { check } from 'k6';
import { Counter, Rate } from 'k6/metrics';
import { uuidv4 } from './uuid.js';

const BASE_URL = __ENV.BASE_URL || 'http://127.0.0.1:8080';
const STRETCH = Number(__ENV.STRETCH || 1);
const seconds = (n) => `${Math.round(n * STRETCH)}s`;

const success = new Rate('success');
const sold = new Counter('sold');
const soldOut = new Counter('sold_out');

http.setResponseCallback(http.expectedStatuses(200, 409));

export const options = {
  scenarios: {
    ramp_up: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: seconds(6), target: 100 },
        { duration: seconds(12), target: 500 },
        { duration: seconds(12), target: 1000 },
      ],
      gracefulRampDown: '5s',
    },
    constant: { executor: 'constant-vus', vus: 50, duration: seconds(30) },
  },
  thresholds: {
    http_req_duration: ['p(95)<2000'],
    success: ['rate>0.95'],
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
    `${BASE_URL}/api/v1/sync/purchase`,
    JSON.stringify({ productId: 1, quantity: 1, userId: buyer }),
    { headers: { 'Content-Type': 'application/json', 'Idempotency-Key': uuidv4() } },
  );
  success.add(answer.status === 200 || answer.status === 409);
  if (answer.status === 200) sold.add(1);
  if (answer.status === 409) soldOut.add(1);
  check(answer, {
    'sold, or sold out': (r) => r.status === 200 || r.status === 409,
    'a sale names its order': (r) => r.status !== 200 || Boolean(r.json('orderId')),
  });
}

export function teardown() {
  const left = http.get(`${BASE_URL}/api/v1/sync/stock/1`).json('stock');
  check(left, { 'nothing is oversold': (n) => n >= 0 });
}

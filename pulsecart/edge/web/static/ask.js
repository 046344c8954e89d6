// Requests that are made again while nobody answers, or who answers says "not now": the same one, under the same key.

const ATTEMPTS = 10;
const LONGEST_PAUSE_MS = 8_000;
const PATIENCE_MS = 15_000;

/**
 * @param {string | null} key the Idempotency-Key of all attempts
 * @param {(attempt: number) => void} tellWaiting
 * @returns {Promise<{ok: boolean, status: number, body: object}>} refusals included; status 0 when nobody answers
 */
export async function ask(method, path, body, { key = null, tellWaiting = () => {} } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    let pauseMs = Math.min(LONGEST_PAUSE_MS, 300 * 2 ** attempt) * (0.5 + Math.random() / 2);
    try {
      const answer = await fetch(path, {
        method,
        headers: { ...(body && { "Content-Type": "application/json" }), ...(key && { "Idempotency-Key": key }) },
        body: body && JSON.stringify(body),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      const document = await answer.json().catch(() => ({}));
      if (!notNow(answer.status, document) || attempt >= ATTEMPTS) {
        return { ok: answer.ok, status: answer.status, body: document };
      }
      pauseMs = Math.max(pauseMs, 1000 * Number(answer.headers.get("Retry-After") ?? 0));
    } catch {
      if (attempt >= ATTEMPTS) return { ok: false, status: 0, body: {} };
    }
    tellWaiting(attempt);
    await new Promise((resume) => setTimeout(resume, pauseMs));
  }
}

export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // a page that did not come by https or from localhost
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function notNow(status, document) {
  return status === 429 || status >= 500 || (status === 409 && String(document.type).endsWith("in-flight"));
}

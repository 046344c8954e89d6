// Repeats a request, with the same Idempotency-Key, while there is no answer or the answer is 503.

const ATTEMPTS = 10;
const LONGEST_PAUSE_MS = 8_000;
const PATIENCE_MS = 15_000;

/**
 * @param {string | null} key the Idempotency-Key of all attempts
 * @param {Object<string, string>} headers more headers of each attempt
 * @param {(attempt: number) => void} tellWaiting
 * @returns {Promise<{ok: boolean, status: number, body: object}>} including error answers; status 0 without an answer
 */
export async function ask(method, path, body, { key = null, headers = {}, tellWaiting = () => {} } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    let pauseMs = Math.min(LONGEST_PAUSE_MS, 300 * 2 ** attempt) * (0.5 + Math.random() / 2);
    try {
      const answer = await fetch(path, {
        method,
        headers: { ...headers, ...(body && { "Content-Type": "application/json" }), ...(key && { "Idempotency-Key": key }) },
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
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // pages outside of https and localhost have no randomUUID
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function notNow(status, document) {
  return status === 429 || status >= 500 || (status === 409 && String(document.type).endsWith("in-flight"));
}

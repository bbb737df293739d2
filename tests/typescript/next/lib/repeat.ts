// Repeats a request while the service asks for it, and after a lost connection: a few times, with growing pauses.
const ATTEMPTS = 4;
const LONGEST = 10; // seconds to wait at most; a person is waiting too
const TEMPORARY = [409, 429, 503, 504];

type Send = (request: Request) => Promise<Response>;

export function repeating(send: Send): Send {
  return async (request) => {
    const { method, headers } = request;
    if (method === "POST" && !headers.has("Idempotency-Key")) {
      headers.set("Idempotency-Key", crypto.randomUUID()); // one for all attempts: it is done once
    }
    for (let attempt = 1; ; attempt++) {
      const response = await send(request.clone()).catch((error: unknown) => {
        if (!(error instanceof TypeError) || attempt === ATTEMPTS) throw error; // a TypeError: no answer
      });
      const seconds = pause(attempt, response);
      if (response && (seconds > LONGEST || attempt === ATTEMPTS || !asksForIt(response))) return response;
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  };
}

function asksForIt({ status, headers }: Response): boolean {
  return TEMPORARY.includes(status) && headers.has("Retry-After");
}

function pause(attempt: number, response: Response | void): number {
  const after = response?.headers.get("Retry-After") ?? "0"; // seconds, or a date
  const asked = Number(after) || (Date.parse(after) - Date.now()) / 1000 || 0;
  const backoff = 2 ** (attempt - 2); // 0.5, 1, 2 seconds
  return Math.max(asked, backoff) + Math.random() * backoff; // not everybody at the same time
}

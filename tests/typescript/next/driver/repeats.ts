// How lib/repeat.ts repeats: each case's attempts, pauses and result, without waiting for them.
import { repeating } from "../lib/repeat";

const RANDOM = 0.5;
const overloaded = (after?: string) => () =>
  new Response(null, { status: 503, headers: after === undefined ? {} : { "Retry-After": after } });
const lost = () => {
  throw new TypeError("fetch failed");
};
const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toUTCString();

export async function repeats() {
  return {
    forever: await repeat(overloaded("1")),
    seconds: await repeat(overloaded("4"), () => new Response("done")),
    date: await repeat(overloaded(inSeconds(6)), () => new Response("done")),
    pastDate: await repeat(overloaded(inSeconds(-60)), () => new Response("done")),
    nonsense: await repeat(overloaded("soon"), () => new Response("done")),
    tooLong: await repeat(overloaded("11")),
    tooLongDate: await repeat(overloaded(inSeconds(60))),
    notAsked: await repeat(overloaded()),
    notTemporary: await repeat(() => new Response(null, { status: 500, headers: { "Retry-After": "1" } })),
    lost: await repeat(lost),
    cancelled: await repeat(() => {
      throw new DOMException("stopped", "AbortError");
    }),
    read: await repeat(overloaded("1"), () => new Response("done"), { method: "GET" }),
    ownKey: await repeat(overloaded("1"), () => new Response("done"), {
      method: "POST",
      headers: { "Idempotency-Key": "mine" },
    }),
  };
}

// The first attempt is answered with `first`, the others with `then`, or also with `first`.
async function repeat(first: () => Response, then = first, init: RequestInit = { method: "POST" }) {
  const keys: (string | null)[] = [];
  const pauses: number[] = [];
  const { setTimeout } = globalThis;
  const { random } = Math;
  Math.random = () => RANDOM;
  globalThis.setTimeout = ((resume: () => void, milliseconds: number) => {
    pauses.push(milliseconds / 1000);
    setTimeout(resume, 0);
  }) as typeof setTimeout;
  try {
    const send = repeating(async (request) => {
      keys.push(request.headers.get("Idempotency-Key"));
      return keys.length === 1 ? first() : then();
    });
    const request = new Request("http://127.0.0.1/", init);
    const result = await send(request).then(
      ({ status }) => status,
      ({ name }: Error) => name,
    );
    return { attempts: keys.length, keys: [...new Set(keys)], pauses, result };
  } finally {
    globalThis.setTimeout = setTimeout;
    Math.random = random;
  }
}

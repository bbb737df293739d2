// What a browser has and Node lacks: a cookie jar, and an origin that Better Auth is told.
const browserless = globalThis.fetch;
const cookies = new Map();

export const sent = []; // [method, path, status] of every request of the page

globalThis.fetch = async (input, init) => {
  const request = new Request(input, init);
  const { origin, pathname } = new URL(request.url);
  if (origin === process.env.BETTER_AUTH_URL) {
    request.headers.set("Origin", origin);
    request.headers.set("Cookie", [...cookies].map((pair) => pair.join("=")).join("; "));
  }
  const response = await browserless(request);
  for (const line of response.headers.getSetCookie()) {
    const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
    cookies.set(name, value);
  }
  sent.push([request.method, pathname, response.status]);
  return response;
};

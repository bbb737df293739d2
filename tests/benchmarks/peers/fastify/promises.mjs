// The service's promises: row-level security with the user's identity in each transaction, a JSON
// log line for each request, and problem documents for failures.

import { createHmac, randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";

export const options = { logger: true, disableRequestLogging: true, genReqId: () => randomUUID() };

// One round trip: postgres.js sends the four without waiting for the answers in between.
export const asUser = (sql) => async (user, query) => {
  const own = await sql.reserve();
  try {
    const [, , rows] = await Promise.all([
      own`BEGIN`,
      own`SELECT set_config('app.user_id', ${user}, true)`,
      query(own),
      own`COMMIT`,
    ]);
    return rows;
  } finally {
    own.release();
  }
};

const hashed = (user) => createHmac("sha256", "salt").update(user).digest("hex").slice(0, 16);

export const add = (app) => {
  app.addHook("onResponse", async (request, reply) => {
    const { log, method, routeOptions, user } = request;
    const line = { method, route: routeOptions.url, status: reply.statusCode };
    log.info({ ...line, duration_ms: reply.elapsedTime, user: user && hashed(user) }, "request");
  });
  app.addHook("onSend", async (request, reply, body) => {
    if (reply.statusCode < 400) return body;
    reply.header("content-type", "application/problem+json");
    return JSON.stringify({ status: reply.statusCode, title: STATUS_CODES[reply.statusCode] });
  });
};

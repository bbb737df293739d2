// Fastify with postgres.js and jose: schemas in and out, a hook that verifies the token.
// With PROMISES, it also keeps the promises of promises.mjs.

import Fastify from "fastify";
import { createRemoteJWKSet, jwtVerify } from "jose";
import postgres from "postgres";

const { JWKS_URL, JWT_AUDIENCE: audience, JWT_ISSUER: issuer, PORT, PROMISES } = process.env;
const promises = PROMISES ? await import("./promises.mjs") : null;
const sql = postgres(); // libpq's variables say where
const columns = sql`id, user_id, title, description, completed, created_at, updated_at`;
const keys = createRemoteJWKSet(new URL(JWKS_URL));
const app = Fastify(promises?.options);
const run = promises?.asUser(sql) ?? ((user, query) => query(sql));

const title = { type: "string", minLength: 1, maxLength: 200 };
const description = { type: "string", nullable: true, maxLength: 10000 };
const completed = { type: "boolean" };
const time = { type: "string", format: "date-time" };
const id = { type: "string", format: "uuid" };
const fields = { title, description, completed };
const task = {
  type: "object",
  properties: { id, user_id: { type: "string" }, ...fields, created_at: time, updated_at: time },
};
const page = {
  type: "object",
  properties: {
    items: { type: "array", items: task },
    next_cursor: { type: "string", nullable: true },
  },
};
const params = { type: "object", properties: { id } };
const one = { params, response: { 200: task } };
const create = {
  body: { type: "object", properties: fields, required: ["title"] },
  response: { 201: task },
};
const list = {
  querystring: {
    type: "object",
    properties: { limit: { type: "integer", minimum: 1, maximum: 100, default: 50 }, cursor: id },
  },
  response: { 200: page },
};
const patch = { ...one, body: { type: "object", properties: fields, additionalProperties: false } };

app.decorateRequest("user", null);
app.addHook("onRequest", async (request, reply) => {
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  try {
    if (scheme !== "Bearer") throw new Error("no bearer token");
    const { payload } = await jwtVerify(token, keys, { algorithms: ["EdDSA"], audience, issuer });
    request.user = payload.sub;
  } catch {
    return reply.code(401).send({ error: "Unauthorized" });
  }
});

promises?.add(app);

const found = ([row], reply) => row ?? reply.code(404).send({ error: "Not Found" });

app.post("/api/v1/tasks", { schema: create }, async ({ user, body }, reply) => {
  const { title, description = null, completed = false } = body;
  const [row] = await run(
    user,
    (sql) => sql`
      INSERT INTO tasks ${sql({ user_id: user, title, description, completed })}
      RETURNING ${columns}`,
  );
  reply.code(201);
  return row;
});

app.get("/api/v1/tasks", { schema: list }, async ({ user, query: { limit, cursor } }) => {
  const rows = await run(
    user,
    (sql) => sql`
      SELECT ${columns} FROM tasks
      WHERE user_id = ${user} ${cursor ? sql`AND id < ${cursor}` : sql``}
      ORDER BY id DESC LIMIT ${limit + 1}`,
  );
  const following = rows.length > limit ? rows[limit - 1].id : null;
  return { items: rows.slice(0, limit), next_cursor: following };
});

app.get("/api/v1/tasks/:id", { schema: one }, async ({ user, params: { id } }, reply) =>
  found(
    await run(
      user,
      (sql) => sql`SELECT ${columns} FROM tasks WHERE id = ${id} AND user_id = ${user}`,
    ),
    reply,
  ),
);

app.patch("/api/v1/tasks/:id", { schema: patch }, async ({ user, params: { id }, body }, reply) =>
  found(
    await run(
      user,
      (sql) => sql`
        UPDATE tasks SET ${sql({ ...body, updated_at: new Date() })}
        WHERE id = ${id} AND user_id = ${user} RETURNING ${columns}`,
    ),
    reply,
  ),
);

app.post("/api/v1/tasks/:id/toggle", { schema: one }, async ({ user, params: { id } }, reply) =>
  found(
    await run(
      user,
      (sql) => sql`
        UPDATE tasks SET completed = NOT completed, updated_at = now()
        WHERE id = ${id} AND user_id = ${user} RETURNING ${columns}`,
    ),
    reply,
  ),
);

app.delete("/api/v1/tasks/:id", { schema: { params } }, async ({ user, params: { id } }, reply) => {
  const { count } = await run(
    user,
    (sql) => sql`DELETE FROM tasks WHERE id = ${id} AND user_id = ${user}`,
  );
  return reply.code(count ? 204 : 404).send();
});

await app.listen({ host: "127.0.0.1", port: Number(PORT) });

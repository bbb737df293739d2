// Express with Knex and jose: express.json, a middleware that verifies the token.

import express from "express";
import { createRemoteJWKSet, jwtVerify } from "jose";
import Knex from "knex";

const { JWKS_URL, JWT_AUDIENCE: audience, JWT_ISSUER: issuer, PORT } = process.env;
const { PGHOST: host, PGUSER: user, PGDATABASE: database } = process.env;
const knex = Knex({ client: "pg", connection: { host, user, database } });
const columns = "id,user_id,title,description,completed,created_at,updated_at".split(",");
const keys = createRemoteJWKSet(new URL(JWKS_URL));
const app = express();

const isTitle = (value) => typeof value === "string" && value.length > 0 && value.length <= 200;
const isDescription = (value) =>
  value === null || (typeof value === "string" && value.length <= 10000);
const checks = {
  title: isTitle,
  description: isDescription,
  completed: (value) => typeof value === "boolean",
};
const isValid = (body) =>
  Object.entries(body).every(([name, value]) => checks[name]?.(value) ?? false);

app.use(express.json());
app.use(async (request, response, next) => {
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  try {
    if (scheme !== "Bearer") throw new Error("no bearer token");
    const { payload } = await jwtVerify(token, keys, { algorithms: ["EdDSA"], audience, issuer });
    request.user = payload.sub;
  } catch {
    return response.status(401).json({ error: "Unauthorized" });
  }
  next();
});

const mine = (request) => knex("tasks").where({ id: request.params.id, user_id: request.user });
const found = (response, [row]) =>
  row ? response.json(row) : response.status(404).json({ error: "Not Found" });

app.post("/api/v1/tasks", async (request, response) => {
  const { title, description = null, completed = false } = request.body;
  const values = { title, description, completed };
  if (!isValid(values)) return response.status(422).json({ error: "Invalid" });
  const [row] = await knex("tasks").insert({ user_id: request.user, ...values }, columns);
  response.status(201).json(row);
});

app.get("/api/v1/tasks", async (request, response) => {
  const limit = Math.min(Number(request.query.limit ?? 50), 100);
  const query = knex("tasks").select(columns).where({ user_id: request.user });
  if (request.query.cursor) query.where("id", "<", request.query.cursor);
  const rows = await query.orderBy("id", "desc").limit(limit + 1);
  const following = rows.length > limit ? rows[limit - 1].id : null;
  response.json({ items: rows.slice(0, limit), next_cursor: following });
});

app.get("/api/v1/tasks/:id", async (request, response) => {
  found(response, await mine(request).select(columns));
});

app.patch("/api/v1/tasks/:id", async (request, response) => {
  if (!isValid(request.body)) return response.status(422).json({ error: "Invalid" });
  const values = { ...request.body, updated_at: knex.fn.now() };
  found(response, await mine(request).update(values, columns));
});

app.post("/api/v1/tasks/:id/toggle", async (request, response) => {
  const values = { completed: knex.raw("NOT completed"), updated_at: knex.fn.now() };
  found(response, await mine(request).update(values, columns));
});

app.delete("/api/v1/tasks/:id", async (request, response) => {
  response.status((await mine(request).del()) ? 204 : 404).end();
});

app.listen(Number(PORT), "127.0.0.1");

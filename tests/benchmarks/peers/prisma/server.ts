// Express with Prisma and jose: the generated client, with its query compiler in WebAssembly, on pg.

import { PrismaPg } from "@prisma/adapter-pg";
import express from "express";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { Prisma, PrismaClient } from "./generated/client";

const { JWKS_URL, JWT_AUDIENCE: audience, JWT_ISSUER: issuer, PORT } = process.env;
const { PGHOST: host, PGUSER: user, PGDATABASE: database, SCHEMA: schema } = process.env;
const prisma = new PrismaClient({ adapter: new PrismaPg({ host, user, database }, { schema }) });
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

const mine = (request) => ({ id: request.params.id, user_id: request.user });

app.post("/api/v1/tasks", async (request, response) => {
  const { title, description = null, completed = false } = request.body;
  const values = { title, description, completed };
  if (!isValid(values)) return response.status(422).json({ error: "Invalid" });
  const task = await prisma.task.create({ data: { user_id: request.user, ...values } });
  response.status(201).json(task);
});

app.get("/api/v1/tasks", async (request, response) => {
  const limit = Math.min(Number(request.query.limit ?? 50), 100);
  const { cursor } = request.query;
  const tasks = await prisma.task.findMany({
    where: { user_id: request.user },
    orderBy: { id: "desc" },
    take: limit + 1,
    ...(cursor && { cursor: { id: cursor }, skip: 1 }),
  });
  const following = tasks.length > limit ? tasks[limit - 1].id : null;
  response.json({ items: tasks.slice(0, limit), next_cursor: following });
});

app.get("/api/v1/tasks/:id", async (request, response) => {
  response.json(await prisma.task.findUniqueOrThrow({ where: mine(request) }));
});

app.patch("/api/v1/tasks/:id", async (request, response) => {
  if (!isValid(request.body)) return response.status(422).json({ error: "Invalid" });
  response.json(await prisma.task.update({ where: mine(request), data: request.body }));
});

app.post("/api/v1/tasks/:id/toggle", async (request, response) => {
  const where = mine(request);
  const { completed } = await prisma.task.findUniqueOrThrow({ where });
  response.json(await prisma.task.update({ where, data: { completed: !completed } }));
});

app.delete("/api/v1/tasks/:id", async (request, response) => {
  const { count } = await prisma.task.deleteMany({ where: mine(request) });
  response.status(count ? 204 : 404).end();
});

app.use((error, request, response, next) => {
  const isMissing = error instanceof Prisma.PrismaClientKnownRequestError && error.code === "P2025";
  if (isMissing) return response.status(404).json({ error: "Not Found" });
  next(error);
});

app.listen(Number(PORT), "127.0.0.1");

// Better Auth on loopback, with a line for each request: the documented app, or its VARIANT.
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNextJsHandler } from "better-auth/next-js";
import { toNodeHandler } from "better-auth/node";
import { auth } from "../app/auth.mjs";
import * as route from "../app/route.mjs";
import { tasksOf } from "../app/tasks-server.mjs";
import { variants } from "./variants.mjs";

const { VARIANT, BETTER_AUTH_URL } = process.env;
const options = { ...auth.options, ...variants[VARIANT] };
if (VARIANT) await (await getMigrations(options)).runMigrations(); // the columns of its plugins
const methods = VARIANT ? toNextJsHandler(betterAuth(options)) : route;

const handle = toNodeHandler(async (request) => {
  if (new URL(request.url).pathname === "/page") {
    return Response.json(await tasksOf(request.headers));
  }
  return methods[request.method](request);
});

const server = createServer((request, response) => {
  response.on("finish", () => console.log(request.method, request.url, response.statusCode));
  handle(request, response);
});
server.listen(new URL(BETTER_AUTH_URL).port, "127.0.0.1");

process.once("SIGTERM", async () => {
  server.close();
  server.closeAllConnections();
  await auth.options.database.end();
});

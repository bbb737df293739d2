// Better Auth on loopback, with a line for each request: the documented app, its VARIANT, or other OPTIONS.
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNextJsHandler } from "better-auth/next-js";
import { toNodeHandler } from "better-auth/node";
import * as plugins from "better-auth/plugins";
import { auth } from "../app/auth.mjs";
import * as route from "../app/route.mjs";
import { tasksOf } from "../app/tasks-server.mjs";
import { variants } from "./variants.mjs";

const { VARIANT, OPTIONS, BETTER_AUTH_URL } = process.env;
const { apiKey } = OPTIONS ? await import("@better-auth/api-key") : {}; // the Next app has none
const changed = OPTIONS ? evaluate(OPTIONS, { ...plugins, apiKey }) : variants[VARIANT];
const options = { ...auth.options, ...changed };
if (changed) await (await getMigrations(options)).runMigrations(); // the columns of its plugins
const methods = changed ? toNextJsHandler(betterAuth(options)) : route;

function evaluate(source, names) {
  return new Function(...Object.keys(names), `return ${source}`)(...Object.values(names));
}

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

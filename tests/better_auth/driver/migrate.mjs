// What `npx auth migrate` does; prints the tables that it made or changed.
import { getMigrations } from "better-auth/db/migration";
import { auth } from "../app/auth.mjs";

const { toBeCreated, toBeAdded, runMigrations } = await getMigrations(auth.options);
await runMigrations();
await auth.options.database.end();
console.log(JSON.stringify([...toBeCreated, ...toBeAdded].map(({ table }) => table).sort()));

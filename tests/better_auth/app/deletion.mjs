// Options of betterAuth(): whoever deletes the account takes the tasks along.
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

async function purgeTasks({ id }) {
  try {
    await run("tasks-backend", ["purge-user", "--yes", "--", id]); // with the same DATABASE_URL
  } catch (error) {
    console.error(`The tasks of ${id} are still there`, error); // the account is gone already
  }
}

export const deletion = {
  user: { deleteUser: { enabled: true } },
  databaseHooks: { user: { delete: { after: purgeTasks } } },
};

// Options of betterAuth(): whoever deletes the account takes the tasks along; a guest who signs up keeps them.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { anonymous } from "better-auth/plugins";

const run = promisify(execFile);
const unmoved = new Set(); // guests whose tasks must not be purged

async function moveTasks({ anonymousUser, newUser }) {
  const [guest, user] = [anonymousUser.user.id, newUser.user.id];
  try {
    await run("tasks-backend", ["move-user", "--yes", "--", guest, user]); // with the same DATABASE_URL
  } catch (error) {
    unmoved.add(guest);
    console.error(`The tasks of the guest ${guest} are still theirs; move them to ${user}`, error);
  }
}

async function purgeTasks({ id }) {
  if (unmoved.delete(id)) return;
  try {
    await run("tasks-backend", ["purge-user", "--yes", "--", id]);
  } catch (error) {
    console.error(`The tasks of ${id} are still there`, error); // the account is gone already
  }
}

export const guests = anonymous({ onLinkAccount: moveTasks }); // a plugin; leave it out without guests

export const deletion = {
  user: { deleteUser: { enabled: true } },
  databaseHooks: { user: { delete: { after: purgeTasks } } },
};

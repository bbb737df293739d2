// Options of betterAuth(): whoever deletes the account takes the tasks along; a guest who signs up keeps them.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { anonymous } from "better-auth/plugins";

const run = promisify(execFile);
const links = new Map(); // guests who signed up, and as whom

async function moveTasks({ anonymousUser, newUser }) {
  const [guest, user] = [anonymousUser.user.id, newUser.user.id];
  links.set(guest, { anonymousUser, newUser });
  try {
    await run("tasks-backend", ["move-user", "--yes", "--", guest, user]); // with the same DATABASE_URL
  } catch (error) {
    console.error(`The guest ${guest} still has tasks; move them to ${user}`, error);
  }
}

async function purgeTasks({ id }) {
  const link = links.get(id);
  if (link) {
    await moveTasks(link); // again: the guest may have created tasks since
    links.delete(id);
    return; // the sweep purges the guest
  }
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

// A page's life in Node: the documented client, signed in and out.
import { sent } from "./browser.mjs";

const { authClient, tasksApi } = await import("../app/tasks.mjs");

const password = "correct horse battery staple";
const signUp = async (name) => {
  const email = `${name}@example.com`;
  const { data, error } = await authClient.signUp.email({ name, email, password });
  if (error) throw new Error(JSON.stringify(error));
  return data.user.id;
};
const create = async (user, title) => {
  const response = await tasksApi(user, "/tasks", { method: "POST", body: JSON.stringify({ title }) });
  return response.json();
};

const alice = await signUp("alice");
const hers = await create(alice, "Alice's"); // her first token has expired already
const again = await create(alice, "Alice's second");
await authClient.signOut();
const signedOut = await create(alice, "Nobody's").catch(({ message }) => message);
const bob = await signUp("bob");
const his = await create(bob, "Bob's");
const other = await create(alice, "Alice's, by Bob").catch(({ message }) => message);
const page = await fetch(`${process.env.BETTER_AUTH_URL}/page`);

console.log(
  JSON.stringify({ alice, bob, hers, again, signedOut, his, other, onTheServer: await page.json(), sent }),
);

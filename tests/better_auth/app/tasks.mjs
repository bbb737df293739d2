// In the browser: the task API for the user whose tasks the page shows.
import { createAuthClient } from "better-auth/client";
import { jwtClient } from "better-auth/client/plugins";

export const authClient = createAuthClient({
  plugins: [jwtClient()],
  fetchOptions: {
    onSuccess({ request }) {
      if (request.method !== "GET") sessionChanged(); // somebody else may be signed in now
    },
  },
});

// Fails, and sends nothing, if this user is not the one who is signed in.
export async function tasksApi(user, path, init) {
  const token = await tokenOf(user);
  const response = await send(path, init, token);
  if (response.status !== 401) return response;
  if (known === token) known = undefined; // it had expired, and nothing was done
  return send(path, init, await tokenOf(user));
}

let known; // the token
let session = 0; // counts the changes of the session, in all tabs

function forgetToken() {
  known = undefined;
  session++;
}

function sessionChanged() {
  forgetToken();
  tabs?.postMessage("session");
}

const tabs = globalThis.window && new BroadcastChannel("tasks");
if (tabs) {
  tabs.onmessage = forgetToken;
  window.addEventListener("pageshow", ({ persisted }) => persisted && forgetToken()); // it was asleep
  let signedIn; // null: nobody; undefined: this page does not know yet
  authClient.useSession.listen(({ data, isPending }) => {
    if (isPending) return;
    const user = data?.user.id ?? null;
    if (signedIn === undefined) tabs.postMessage("session"); // a redirect may have signed in
    else if (user !== signedIn) sessionChanged();
    signedIn = user;
  });
}

async function tokenOf(user) {
  while (known === undefined) {
    const began = session;
    const { data, error } = await authClient.token();
    if (began !== session) continue; // the token may be of an earlier session
    if (error?.status === 401) throw new Error("Signed out"); // off to the sign-in page
    if (error) throw new Error("No answer from the sign-in server", { cause: error });
    known = data.token;
  }
  if (subject(known) !== user) throw new Error("Somebody else is signed in"); // reload the page
  return known;
}

function subject(token) {
  const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(atob(payload)).sub;
}

function send(path, { headers, ...init } = {}, token) {
  return fetch(`${process.env.NEXT_PUBLIC_TASKS_API_URL}/api/v1${path}`, {
    ...init,
    headers: { "Content-Type": "application/json", ...headers, Authorization: `Bearer ${token}` },
  });
}

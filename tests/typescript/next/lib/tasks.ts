// In the browser: the task API for the user whose tasks the page shows.
import { jwtClient } from "better-auth/client/plugins";
import { createAuthClient } from "better-auth/react";
import { tasksClient } from "./tasks-client";
import type { TasksClient } from "./tasks-client";

export const authClient = createAuthClient({
  plugins: [jwtClient()],
  fetchOptions: {
    onSuccess({ request }) {
      if (request.method !== "GET") sessionChanged(); // somebody else may be signed in now
    },
  },
});

// A call fails with SessionEnded, and sends nothing, if this user is not the one who is signed in.
export function tasksOf(user: string): TasksClient {
  return tasksClient({
    baseUrl: process.env.NEXT_PUBLIC_TASKS_API_URL!,
    fetch: (request) => withToken(user, request),
  });
}

export class SessionEnded extends Error {}

type Session = { data: { user: { id: string } } | null; isPending: boolean };

let token: string | undefined;
let session = 0; // counts the changes of the session, in all tabs

function forgetToken() {
  token = undefined;
  session++;
}

function sessionChanged() {
  forgetToken();
  tabs?.postMessage("session");
}

const tabs = typeof window === "undefined" ? undefined : new BroadcastChannel("tasks");
if (tabs) {
  tabs.onmessage = forgetToken;
  window.addEventListener("pageshow", ({ persisted }) => persisted && forgetToken()); // it was asleep
  let known: string | null | undefined; // null: nobody; undefined: this page does not know yet
  authClient.$store.atoms.session?.listen(({ data, isPending }: Session) => {
    if (isPending) return;
    const user = data?.user.id ?? null;
    if (known === undefined) tabs.postMessage("session"); // a redirect may have signed in
    else if (user !== known) sessionChanged();
    known = user;
  });
}

async function withToken(user: string, request: Request): Promise<Response> {
  const again = request.clone();
  const sent = await tokenOf(user);
  const response = await send(request, sent);
  if (response.status !== 401) return response;
  if (token === sent) token = undefined; // it had expired, and nothing was done
  return send(again, await tokenOf(user));
}

async function tokenOf(user: string): Promise<string> {
  while (token === undefined) {
    const began = session;
    const { data, error } = await authClient.token();
    if (began !== session) continue; // the token may be of an earlier session
    if (error?.status === 401) throw new SessionEnded("You are signed out.");
    if (error) throw new TypeError("No answer from the sign-in server", { cause: error });
    token = data.token;
  }
  if (subject(token) !== user) throw new SessionEnded("Somebody else is signed in.");
  return token;
}

function subject(token: string): unknown {
  const payload = token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(atob(payload)).sub;
}

function send(request: Request, token: string): Promise<Response> {
  request.headers.set("Authorization", `Bearer ${token}`);
  return fetch(request);
}

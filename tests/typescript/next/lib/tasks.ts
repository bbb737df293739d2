// In the browser: the task API, as whoever is signed in.
import { jwtClient } from "better-auth/client/plugins";
import { createAuthClient } from "better-auth/react";
import { tasksClient } from "./tasks-client";

export const authClient = createAuthClient({
  plugins: [jwtClient()],
  fetchOptions: {
    onSuccess({ request }) {
      if (request.method !== "GET") token = undefined; // somebody else may be signed in now
    },
  },
});

export const tasks = tasksClient({
  baseUrl: process.env.NEXT_PUBLIC_TASKS_API_URL!,
  fetch: withToken,
});

let token: string | undefined;

async function withToken(request: Request): Promise<Response> {
  const again = request.clone();
  const response = await send(request, (token ??= await newToken()));
  if (response.status !== 401) return response;
  return send(again, (token = await newToken())); // it had expired, and nothing was done
}

async function newToken(): Promise<string> {
  const { data, error } = await authClient.token();
  if (error) throw new Error("Signed out", { cause: error }); // off to the sign-in page
  return data.token;
}

function send(request: Request, token: string): Promise<Response> {
  request.headers.set("Authorization", `Bearer ${token}`);
  return fetch(request);
}

// In the browser: the task API, as whoever is signed in.
import { createAuthClient } from "better-auth/client"; // better-auth/react takes the same options
import { jwtClient } from "better-auth/client/plugins";

export const authClient = createAuthClient({
  plugins: [jwtClient()],
  fetchOptions: {
    onSuccess({ request }) {
      if (request.method !== "GET") token = undefined; // somebody else may be signed in now
    },
  },
});

let token;

export async function tasksApi(path, init) {
  const response = await send(path, init, (token ??= await newToken()));
  if (response.status !== 401) return response;
  return send(path, init, (token = await newToken())); // it had expired, and nothing was done
}

async function newToken() {
  const { data, error } = await authClient.token();
  if (error) throw new Error("Signed out", { cause: error }); // off to the sign-in page
  return data.token;
}

function send(path, { headers, ...init } = {}, token) {
  return fetch(`${process.env.NEXT_PUBLIC_TASKS_API_URL}/api/v1${path}`, {
    ...init,
    headers: { "Content-Type": "application/json", ...headers, Authorization: `Bearer ${token}` },
  });
}

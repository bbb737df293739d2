// On the server (a page, a route handler, a server action): `await tasksOfUser()`.
import { isAPIError } from "better-auth/api";
import { headers } from "next/headers";
import { redirect } from "next/navigation";
import { auth } from "./auth";
import { tasksClient } from "./tasks-client";

export async function tasksOfUser() {
  const { token } = await auth.api.getToken({ headers: await headers() }).catch(signedOut);
  return tasksClient({
    baseUrl: process.env.TASKS_API_URL!,
    headers: { Authorization: `Bearer ${token}` },
    cache: "no-store", // Next.js must not keep one user's answer for another
  });
}

function signedOut(error: unknown): never {
  if (isAPIError(error) && error.statusCode === 401) redirect("/sign-in");
  throw error;
}

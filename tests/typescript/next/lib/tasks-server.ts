// On the server (a page, a route handler, a server action): `const { tasks, user } = await tasksOfUser()`.
import { headers } from "next/headers";
import { redirect } from "next/navigation";
import { auth } from "./auth";
import { tasksClient } from "./tasks-client";

export async function tasksOfUser() {
  const request = { headers: await headers() };
  const session = await auth.api.getSession(request);
  if (!session) redirect("/sign-in");
  const { token } = await auth.api.getToken(request);
  const tasks = tasksClient({
    baseUrl: process.env.TASKS_API_URL!,
    headers: { Authorization: `Bearer ${token}` },
    cache: "no-store", // Next.js must not keep one user's answer for another
  });
  return { tasks, user: session.user.id };
}

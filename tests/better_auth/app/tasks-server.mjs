// On the server (a page, a route handler, a server action): `await tasksOf(await headers())`.
import { auth } from "./auth.mjs";

export async function tasksOf(headers) {
  const { token } = await auth.api.getToken({ headers });
  const response = await fetch(`${process.env.TASKS_API_URL}/api/v1/tasks`, {
    headers: { Authorization: `Bearer ${token}` },
    cache: "no-store", // Next.js must not keep one user's answer for another
  });
  if (!response.ok) throw new Error(`The task API answered ${response.status}`);
  return (await response.json()).items;
}

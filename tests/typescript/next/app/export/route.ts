// app/export/route.ts: a route handler.
import { everyTask } from "@/lib/changes";
import { tasksOfUser } from "@/lib/tasks-server";

export async function GET() {
  const all = [];
  for await (const task of everyTask(await tasksOfUser())) all.push(task);
  return Response.json(all);
}

// app/export/route.ts: a route handler.
import { everyTask } from "@/lib/changes";
import { tasksOfUser } from "@/lib/tasks-server";

export async function GET() {
  const { tasks } = await tasksOfUser();
  const all = [];
  for await (const task of everyTask(tasks)) all.push(task);
  return Response.json(all);
}

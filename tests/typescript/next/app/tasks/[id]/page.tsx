// app/tasks/[id]/page.tsx: one task, to be edited.
import { tasksOfUser } from "@/lib/tasks-server";
import { Edit } from "./edit";

export default async function TaskPage({ params }: { params: Promise<{ id: string }> }) {
  const { tasks, user } = await tasksOfUser();
  const path = { task_id: (await params).id };
  const { data, error, response } = await tasks.GET("/api/v1/tasks/{task_id}", { params: { path } });
  if (error) return <p role="alert">{error.detail}</p>;
  return <Edit user={user} task={data} etag={response.headers.get("ETag")!} />;
}

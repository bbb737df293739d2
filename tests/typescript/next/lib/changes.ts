// Longer errands, the same in the browser and on the server.
import type { Problem, Task, TaskPatch, TasksClient } from "./tasks-client";

export class Failed extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

// Every task, however many pages that takes.
export async function* everyTask(tasks: TasksClient): AsyncGenerator<Task> {
  const query: { limit: number; cursor?: string } = { limit: 100 };
  for (;;) {
    const { data, error } = await tasks.GET("/api/v1/tasks", { params: { query } });
    if (error) throw new Failed(error);
    yield* data.items;
    if (data.next_cursor === null) return;
    query.cursor = data.next_cursor;
  }
}

// Changes a task that nobody else has changed meanwhile; if somebody has, reads it anew.
export async function change(
  tasks: TasksClient,
  task_id: string,
  decide: (task: Task) => TaskPatch | Promise<TaskPatch>,
): Promise<Task> {
  for (let attempt = 1; ; attempt++) {
    const path = { task_id };
    const { data, error, response } = await tasks.GET("/api/v1/tasks/{task_id}", { params: { path } });
    if (error) throw new Failed(error);
    const header = { "If-Match": response.headers.get("ETag")! };
    const changed = await tasks.PATCH("/api/v1/tasks/{task_id}", {
      params: { path, header },
      body: await decide(data),
    });
    if (!changed.error) return changed.data;
    if (changed.error.code !== "version_mismatch" || attempt === 3) throw new Failed(changed.error);
  }
}

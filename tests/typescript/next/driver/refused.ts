// What must not compile: tsc complains about a directive below that is not needed.
import { adviceOn } from "@/lib/problems";
import { tasksOf } from "@/lib/tasks";
import type { Advice } from "@/lib/problems";
import type { Problem } from "@/lib/tasks-client";

const tasks = tasksOf("alice");
const path = { task_id: "019aa1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b" };
const whole = { title: "Buy milk", description: null, completed: false };

export async function addresses() {
  // @ts-expect-error: no such path
  await tasks.GET("/api/v1/task");
  // @ts-expect-error: no such method there
  await tasks.PUT("/api/v1/tasks", { body: whole });
  // @ts-expect-error: the task's id is missing
  await tasks.GET("/api/v1/tasks/{task_id}");
  // @ts-expect-error: its name is another
  await tasks.GET("/api/v1/tasks/{task_id}", { params: { path: { id: path.task_id } } });
}

export async function parameters() {
  // @ts-expect-error: unknown parameter of the query
  await tasks.GET("/api/v1/tasks", { params: { query: { page: 2 } } });
  // @ts-expect-error: the same beside a known one
  await tasks.GET("/api/v1/tasks", { params: { query: { limit: 5, page: 2 } } });
  // @ts-expect-error: not one of the two orders
  await tasks.GET("/api/v1/tasks", { params: { query: { order: "newest" } } });
  // @ts-expect-error: a number is wanted
  await tasks.GET("/api/v1/tasks", { params: { query: { limit: "5" } } });
  // @ts-expect-error: a boolean is wanted
  await tasks.GET("/api/v1/tasks", { params: { query: { completed: "true" } } });
  // @ts-expect-error: all tasks, without a filter
  await tasks.DELETE("/api/v1/tasks");
  // @ts-expect-error: a page that is null is no page
  await tasks.GET("/api/v1/tasks", { params: { query: { cursor: null } } });
  // @ts-expect-error: a typo in the header's name
  await tasks.DELETE("/api/v1/tasks/{task_id}", { params: { path, header: { "If-Macht": "x" } } });
}

export async function bodies() {
  // @ts-expect-error: no body
  await tasks.POST("/api/v1/tasks");
  // @ts-expect-error: no title
  await tasks.POST("/api/v1/tasks", { body: { description: "Two litres" } });
  // @ts-expect-error: unknown field
  await tasks.POST("/api/v1/tasks", { body: { title: "Buy milk", done: true } });
  // @ts-expect-error: the owner is the token's
  await tasks.POST("/api/v1/tasks", { body: { title: "Buy milk", user_id: "mallory" } });
  // @ts-expect-error: undefined is not null
  await tasks.POST("/api/v1/tasks", { body: { title: "Buy milk", description: undefined } });
  // @ts-expect-error: a title cannot be cleared
  await tasks.PATCH("/api/v1/tasks/{task_id}", { params: { path }, body: { title: null } });
  // @ts-expect-error: what the service sets cannot be changed
  await tasks.PATCH("/api/v1/tasks/{task_id}", { params: { path }, body: { id: path.task_id } });
  const { title: _, ...rest } = whole;
  // @ts-expect-error: all of a task, and the title is missing
  await tasks.PUT("/api/v1/tasks/{task_id}", { params: { path }, body: rest });
  // @ts-expect-error: of a selection, only whether they are done can be changed
  await tasks.PATCH("/api/v1/tasks", { params: { query: { completed: true } }, body: { title: "Buy milk" } });
  // @ts-expect-error: to toggle takes no body
  await tasks.POST("/api/v1/tasks/{task_id}/toggle", { params: { path }, body: whole });
}

export async function answers() {
  const page = await tasks.GET("/api/v1/tasks");
  // @ts-expect-error: it may have failed
  page.data.items;
  if (page.error) return;
  // @ts-expect-error: the first of none
  page.data.items[0].title;
  // @ts-expect-error: null on the last page
  page.data.next_cursor.length;
  // @ts-expect-error: no such field
  page.data.items[0]?.done;
  const task = await tasks.GET("/api/v1/tasks/{task_id}", { params: { path } });
  // @ts-expect-error: null without a description
  task.data?.description.length;
}

export function failures(problem: Problem): Advice {
  // @ts-expect-error: a code is a text
  if (problem.code === 412) return "read again";
  // @ts-expect-error: no such field
  if (problem.errors.some(({ name }) => name === "title")) return "correct";
  // @ts-expect-error: not a problem
  adviceOn({ code: "version_mismatch" });
  return adviceOn(problem);
}

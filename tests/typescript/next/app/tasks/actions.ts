// app/tasks/actions.ts: a server action. It returns what the form shows next.
"use server";
import { revalidatePath } from "next/cache";
import type { Problem } from "@/lib/tasks-client";
import { tasksOfUser } from "@/lib/tasks-server";

export type Form = {
  title: string;
  description: string;
  key?: string;
  failure?: Pick<Problem, "detail" | "errors">;
};

export async function add(before: Form, form: FormData): Promise<Form> {
  const title = String(form.get("title"));
  const description = String(form.get("description"));
  const again = title === before.title && description === before.description;
  const key = (again && before.key) || crypto.randomUUID(); // sent twice, it is created once
  const failed = (failure: NonNullable<Form["failure"]>): Form => ({ title, description, key, failure });

  const { tasks, user } = await tasksOfUser();
  if (form.get("user") !== user) return failed({ detail: "Somebody else is signed in. Reload the page.", errors: [] });
  try {
    const params = { header: { "Idempotency-Key": key } };
    const { error } = await tasks.POST("/api/v1/tasks", { params, body: { title, description: description || null } });
    if (error) return failed(error);
  } catch {
    return failed({ detail: "The tasks cannot be reached. Try again later.", errors: [] });
  }
  revalidatePath("/tasks");
  return { title: "", description: "" };
}

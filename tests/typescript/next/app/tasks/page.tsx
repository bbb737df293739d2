// app/tasks/page.tsx: a server component with a server action.
import { revalidatePath } from "next/cache";
import { tasksOfUser } from "@/lib/tasks-server";
import { Toggle } from "./toggle";

export default async function TasksPage() {
  const tasks = await tasksOfUser();
  const { data, error } = await tasks.GET("/api/v1/tasks", { params: { query: { limit: 20 } } });
  if (error) return <p role="alert">{error.detail}</p>;
  return (
    <>
      <ul>
        {data.items.map((task) => (
          <li key={task.id}>
            {task.title} <Toggle id={task.id} />
          </li>
        ))}
      </ul>
      <form action={create}>
        <input name="title" aria-label="Title" required />
        <button>Add</button>
      </form>
    </>
  );
}

async function create(form: FormData) {
  "use server";
  const tasks = await tasksOfUser();
  const { error } = await tasks.POST("/api/v1/tasks", { body: { title: String(form.get("title")) } });
  if (error) throw new Error(error.detail);
  revalidatePath("/tasks");
}

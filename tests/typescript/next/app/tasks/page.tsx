// app/tasks/page.tsx: a server component. The search is a plain form, which changes the page's address.
import Link from "next/link";
import { tasksOfUser } from "@/lib/tasks-server";
import { Add } from "./add";
import { ClearCompleted } from "./clear-completed";
import { Toggle } from "./toggle";

type Props = { searchParams: Promise<{ q?: string; cursor?: string }> };

export default async function TasksPage({ searchParams }: Props) {
  const { q, cursor } = await searchParams;
  const { tasks, user } = await tasksOfUser();
  const selected = q ? { q } : {};
  const query = { ...selected, ...(cursor ? { cursor } : {}), limit: 20, count: true };
  const { data, error } = await tasks.GET("/api/v1/tasks", { params: { query } });
  if (error) return <p role="alert">{error.detail} <Link href="/tasks">All tasks</Link></p>;
  return (
    <>
      <form role="search">
        <input name="q" type="search" aria-label="Search" defaultValue={q} maxLength={200} />
        <button>Search</button>
      </form>
      <p>Tasks: {data.total} <ClearCompleted user={user} /></p>
      <ul>
        {data.items.map((task) => (
          <li key={task.id}>
            <Link href={`/tasks/${task.id}`}>{task.title}</Link>{" "}
            <Toggle user={user} id={task.id} completed={task.completed} />
            {task.description && <p style={{ whiteSpace: "pre-line" }}>{task.description}</p>}
          </li>
        ))}
      </ul>
      {data.next_cursor && (
        <Link href={{ query: { ...selected, cursor: data.next_cursor } }}>Next page</Link>
      )}
      <Add user={user} />
    </>
  );
}

// app/tasks/[id]/edit.tsx: if somebody else changed the task meanwhile, the person sees both and decides.
"use client";
import { useRouter } from "next/navigation";
import { useState } from "react";
import { tasksOf } from "@/lib/tasks";
import type { Task } from "@/lib/tasks-client";
import { Failure, FieldError, useAttempt } from "../failure";

type Version = { task: Task; etag: string };

export function Edit({ user, task, etag }: { user: string } & Version) {
  const router = useRouter();
  const [title, setTitle] = useState(task.title);
  const [description, setDescription] = useState(task.description ?? "");
  const [theirs, setTheirs] = useState<Version>();
  const { attempt, failure, pending } = useAttempt();
  const tasks = tasksOf(user);
  const path = { task_id: task.id };

  async function save() {
    const header = { "If-Match": theirs?.etag ?? etag };
    const body = { title, description: description || null };
    const saved = await attempt(async () => {
      const changed = await tasks.PATCH("/api/v1/tasks/{task_id}", { params: { path, header }, body });
      if (changed.error?.code !== "version_mismatch") return changed;
      const read = await tasks.GET("/api/v1/tasks/{task_id}", { params: { path } });
      if (read.error) return read;
      setTheirs({ task: read.data, etag: read.response.headers.get("ETag")! });
      return changed; // its `detail` says what happened
    });
    if (saved) leave();
  }

  function leave() {
    router.push("/tasks");
    router.refresh();
  }

  return (
    <form action={save}>
      <label>
        Title <input value={title} onChange={(event) => setTitle(event.target.value)} />
      </label>
      <FieldError failure={failure} field="title" />
      <label>
        Description{" "}
        <textarea value={description} onChange={(event) => setDescription(event.target.value)} />
      </label>
      <FieldError failure={failure} field="description" />
      <button disabled={pending}>{theirs ? "Save mine" : "Save"}</button>
      <Failure failure={failure} />
      {theirs && (
        <section aria-label="Theirs">
          <p>{theirs.task.title}</p>
          <p style={{ whiteSpace: "pre-line" }}>{theirs.task.description}</p>
          <button type="button" onClick={leave}>Keep theirs</button>
        </section>
      )}
    </form>
  );
}

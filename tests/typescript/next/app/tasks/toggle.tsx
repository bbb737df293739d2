// app/tasks/toggle.tsx: a client component, which calls the task API from the browser.
"use client";
import { useRouter } from "next/navigation";
import { tasksOf } from "@/lib/tasks";
import { Failure, useAttempt } from "./failure";

export function Toggle({ user, id, completed }: { user: string; id: string; completed: boolean }) {
  const router = useRouter();
  const { attempt, failure, pending } = useAttempt();
  async function toggle() {
    const params = { path: { task_id: id } };
    const call = () => tasksOf(user).POST("/api/v1/tasks/{task_id}/toggle", { params });
    if (await attempt(call)) router.refresh();
  }
  return (
    <>
      <button onClick={toggle} disabled={pending}>{completed ? "Not done" : "Done"}</button>
      <Failure failure={failure} />
    </>
  );
}

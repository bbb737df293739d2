// app/tasks/clear-completed.tsx: one request deletes all of them.
"use client";
import { useRouter } from "next/navigation";
import { tasksOf } from "@/lib/tasks";
import { Failure, useAttempt } from "./failure";

export function ClearCompleted({ user }: { user: string }) {
  const router = useRouter();
  const { attempt, failure, pending } = useAttempt();
  async function clear() {
    const params = { query: { completed: true } };
    if (await attempt(() => tasksOf(user).DELETE("/api/v1/tasks", { params }))) router.refresh();
  }
  return (
    <>
      <button onClick={clear} disabled={pending}>Clear completed</button>
      <Failure failure={failure} />
    </>
  );
}

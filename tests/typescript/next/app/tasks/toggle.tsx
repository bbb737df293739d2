// app/tasks/toggle.tsx: a client component, which calls the task API from the browser.
"use client";
import { useRouter } from "next/navigation";
import { tasks } from "@/lib/tasks";

export function Toggle({ id }: { id: string }) {
  const router = useRouter();
  async function toggle() {
    const params = { path: { task_id: id }, header: { "Idempotency-Key": crypto.randomUUID() } };
    const { error } = await tasks.POST("/api/v1/tasks/{task_id}/toggle", { params });
    if (error) alert(error.detail);
    router.refresh();
  }
  return <button onClick={toggle}>Done?</button>;
}

// A page's life in Node: every operation, as somebody who signed up at Better Auth.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Failed, change, everyTask } from "../lib/changes";
import { adviceOn } from "../lib/problems";
import { authClient, tasksOf } from "../lib/tasks";
import { tasksClient } from "../lib/tasks-client";
import type { Problem } from "../lib/tasks-client";

const MANY = 100; // a page at most

export async function life() {
  const { data: signedUp } = await authClient.signUp.email({
    name: "alice",
    email: "alice@example.com",
    password: "correct horse battery staple",
  });
  const tasks = tasksOf(signedUp!.user.id);

  const header = { "Idempotency-Key": crypto.randomUUID() };
  const body = { title: "Buy milk", description: "Two litres" };
  const first = await tasks.POST("/api/v1/tasks", { params: { header }, body }); // an expired token
  const again = await tasks.POST("/api/v1/tasks", { params: { header }, body });
  if (first.error || again.error) throw new Error("not created", { cause: first.error });
  const reused = await tasks.POST("/api/v1/tasks", { params: { header }, body: { title: "Bread" } });
  const path = { task_id: first.data.id };

  let reads = 0;
  const changed = await change(tasks, path.task_id, async ({ title }) => {
    if (reads++ === 0) {
      await tasks.PATCH("/api/v1/tasks/{task_id}", { params: { path }, body: { title: "Buy oat milk" } });
    }
    return { title: `${title}, today`, description: null };
  });

  const whole = { title: "Buy bread", description: null, completed: false };
  const put = await tasks.PUT("/api/v1/tasks/{task_id}", { params: { path }, body: whole });
  const toggled = await tasks.POST("/api/v1/tasks/{task_id}/toggle", { params: { path } });
  const invalid = await tasks.POST("/api/v1/tasks", { body: { title: "" } });

  for (let number = 0; number < MANY; number++) {
    await tasks.POST("/api/v1/tasks", { body: { title: `Task ${number}`, completed: true } });
  }
  const ids = new Set<string>();
  for await (const task of everyTask(tasks)) ids.add(task.id);
  const done = await tasks.GET("/api/v1/tasks", {
    params: { query: { limit: 5, completed: true, order: "asc" } },
  });

  const deleted = await tasks.DELETE("/api/v1/tasks/{task_id}", { params: { path } });
  const gone = await change(tasks, path.task_id, () => ({})).catch((failed: unknown) => failed);
  if (!(gone instanceof Failed)) throw new Error("it is still there");

  return {
    alice: signedUp!.user.id,
    created: first.data,
    repeated: again.data,
    replayed: again.response.headers.get("Idempotency-Replayed"),
    changed,
    reads,
    put: put.data,
    toggled: toggled.data,
    listed: ids.size,
    done: done.data?.items.map(({ title }) => title),
    deleted: deleted.response.status,
    invalid: invalid.error?.errors.map(({ field, code }) => [field, code]),
    problems: [reused.error, invalid.error, gone.problem].map(told),
    proxy: await throughABrokenProxy(),
  };
}

function told(problem: Problem | undefined) {
  return problem && [problem.code, adviceOn(problem)];
}

async function throughABrokenProxy() {
  const proxy = createServer((_, response) => response.writeHead(502).end());
  await new Promise<void>((listening) => proxy.listen(0, "127.0.0.1", listening));
  const { port } = proxy.address() as AddressInfo;
  const call = tasksClient({ baseUrl: `http://127.0.0.1:${port}` }).GET("/api/v1/tasks");
  const said = await call.then(() => "an answer", ({ message }: Error) => message);
  proxy.closeAllConnections();
  proxy.close();
  return said;
}

// Every operation with openapi-fetch and the types of openapi-typescript.
import createClient from "openapi-fetch";
import type { paths } from "../generated/openapi-typescript";

async function main() {
  const headers = { Authorization: `Bearer ${process.env.TASKS_TOKEN}` };
  const tasks = createClient<paths>({ baseUrl: process.env.TASKS_URL!, headers });
  const live = await tasks.GET("/livez");
  const ready = await tasks.GET("/readyz");

  const create = () =>
    tasks.POST("/api/v1/tasks", {
      params: { header: { "Idempotency-Key": "openapi-fetch" } },
      body: { title: "Buy milk", description: "two" },
    });
  const created = (await create()).data!;
  const again = await create();
  const path = { task_id: created.id };
  const read = await tasks.GET("/api/v1/tasks/{task_id}", { params: { path } });
  const etag = read.response.headers.get("ETag")!;
  const header = { "If-Match": etag };
  const kept = await tasks.PATCH("/api/v1/tasks/{task_id}", {
    params: { path, header },
    body: { title: "Buy oat milk" },
  });
  const stale = await tasks.PATCH("/api/v1/tasks/{task_id}", { params: { path, header }, body: {} });
  const cleared = await tasks.PATCH("/api/v1/tasks/{task_id}", {
    params: { path },
    body: { description: null },
  });
  const invalid = await tasks.PUT("/api/v1/tasks/{task_id}", {
    params: { path },
    body: { title: "", description: null, completed: false },
  });
  await tasks.PUT("/api/v1/tasks/{task_id}", {
    params: { path },
    body: { title: "Bread", description: null, completed: false },
  });
  const toggled = await tasks.POST("/api/v1/tasks/{task_id}/toggle", {
    params: { path, header: { "Idempotency-Key": "toggle" } },
  });
  const listed = await tasks.GET("/api/v1/tasks", {
    params: { query: { completed: true, q: "BREAD", count: true } },
  });
  // @ts-expect-error - a boolean, not a text
  void (() => tasks.GET("/api/v1/tasks", { params: { query: { completed: "true" } } }));
  const updated = await tasks.PATCH("/api/v1/tasks", {
    params: { query: { completed: true } },
    body: { completed: false },
  });
  const deleted = await tasks.DELETE("/api/v1/tasks", { params: { query: { completed: true } } });
  const gone = await tasks.DELETE("/api/v1/tasks/{task_id}", { params: { path } });
  const missing = await tasks.GET("/api/v1/tasks/{task_id}", { params: { path } });
  const unknown = await tasks.GET("/api/v1/tasks/{task_id}", {
    params: { path: { task_id: process.env.TASKS_UNKNOWN! } },
  });
  const head = await tasks.request("head", "/api/v1/tasks" as never);

  console.log(
    JSON.stringify({
      alive: [live.data?.status, ready.data?.status],
      same: again.data?.id === created.id,
      replayed: again.response.headers.get("Idempotency-Replayed"),
      etag,
      kept: kept.data?.description,
      cleared: cleared.data?.description,
      stale: stale.error?.code,
      invalid: invalid.error?.errors.map((each) => each.field),
      toggled: toggled.data?.completed,
      total: listed.data?.total,
      updated: updated.data?.updated,
      deleted: deleted.data?.deleted,
      gone: gone.response.status,
      missing: missing.error?.code,
      unknown: unknown.error?.code,
      head: head.response.status,
      table: {
        ETag: "`response.headers`",
        "204": `\`data\` is \`${gone.data}\``,
        "`null`": "`string` or `null`; `undefined` is absent",
        "A failure": "`error: Problem`; nothing is thrown",
        "An unknown `code`": "a `string`",
        "`completed` in the query": "`boolean`",
        HEAD: '`client.request("head", …)`, untyped',
        "`Idempotency-Key`, `If-Match`": "`params.header`",
      },
    }),
  );
}

void main();

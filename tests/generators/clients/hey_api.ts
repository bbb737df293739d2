// Every operation with the client of @hey-api/openapi-ts.
import * as api from "../generated/hey-api";
import { client } from "../generated/hey-api/client.gen";

async function main() {
  client.setConfig({ baseUrl: process.env.TASKS_URL!, auth: process.env.TASKS_TOKEN! });
  const live = await api.livez();
  const ready = await api.readyz();

  const create = () =>
    api.tasksV1CreateTask({
      headers: { "Idempotency-Key": "hey-api" },
      body: { title: "Buy milk", description: "two" },
    });
  const created = (await create()).data!;
  const again = await create();
  const path = { task_id: created.id };
  const read = await api.tasksV1GetTask({ path });
  const etag = read.response!.headers.get("ETag")!;
  const headers = { "If-Match": etag };
  const kept = await api.tasksV1PatchTask({ path, headers, body: { title: "Buy oat milk" } });
  const stale = await api.tasksV1PatchTask({ path, headers, body: {} });
  const cleared = await api.tasksV1PatchTask({ path, body: { description: null } });
  const invalid = await api.tasksV1ReplaceTask({
    path,
    body: { title: "", description: null, completed: false },
  });
  await api.tasksV1ReplaceTask({ path, body: { title: "Bread", description: null, completed: false } });
  const toggled = await api.tasksV1ToggleTask({ path, headers: { "Idempotency-Key": "toggle" } });
  const listed = await api.tasksV1ListTasks({ query: { completed: true, q: "BREAD", count: true } });
  // @ts-expect-error - a boolean, not a text
  void (() => api.tasksV1ListTasks({ query: { completed: "true" } }));
  const updated = await api.tasksV1PatchTasks({ query: { completed: true }, body: { completed: false } });
  const deleted = await api.tasksV1DeleteTasks({ query: { completed: true } });
  const gone = await api.tasksV1DeleteTask({ path });
  const missing = await api.tasksV1GetTask({ path });
  const unknown = await api.tasksV1GetTask({ path: { task_id: process.env.TASKS_UNKNOWN! } });
  const security = [{ scheme: "bearer", type: "http" }] as const;
  const head = await client.head({ url: "/api/v1/tasks", security: [...security] });

  console.log(
    JSON.stringify({
      alive: [live.data?.status, ready.data?.status],
      same: again.data?.id === created.id,
      replayed: again.response!.headers.get("Idempotency-Replayed"),
      etag,
      kept: kept.data?.description,
      cleared: cleared.data?.description,
      stale: stale.error?.code,
      invalid: invalid.error?.errors.map((each) => each.field),
      toggled: toggled.data?.completed,
      total: listed.data?.total,
      updated: updated.data?.updated,
      deleted: deleted.data?.deleted,
      gone: gone.response!.status,
      missing: missing.error?.code,
      unknown: unknown.error?.code,
      head: head.response!.status,
      table: {
        ETag: "`response.headers`",
        "204": `\`data\` is \`${JSON.stringify(gone.data)}\``,
        "`null`": "`string` or `null`; `undefined` is absent",
        "A failure": "`error: Problem`; thrown with `throwOnError`",
        "An unknown `code`": "a `string`",
        "`completed` in the query": "`boolean`",
        HEAD: "`client.head(…)`, untyped",
        "`Idempotency-Key`, `If-Match`": "`headers`",
      },
    }),
  );
}

void main();

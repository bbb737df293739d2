// Every operation with orval's client; each body is checked by its zod validators.
import * as api from "../generated/orval";
import * as valid from "../generated/zod";

const plain = globalThis.fetch;
globalThis.fetch = (path, init) => {
  const headers = new Headers(init?.headers);
  headers.set("Authorization", `Bearer ${process.env.TASKS_TOKEN}`);
  return plain(`${process.env.TASKS_URL}${String(path)}`, { ...init, headers });
};

async function main() {
  const live = await api.livez();
  const ready = await api.readyz();

  const create = () =>
    api.tasksV1CreateTask(valid.tasksV1CreateTaskBody.parse({ title: "Buy milk", description: "two" }), {
      "Idempotency-Key": "orval",
    });
  const first = await create();
  if (first.status !== 201) throw new Error(first.data.code);
  const created = valid.tasksV1GetTaskResponse.parse(first.data);
  const again = await create();
  const read = await api.tasksV1GetTask(created.id);
  const etag = read.headers.get("ETag")!;
  const headers = valid.tasksV1PatchTaskHeader.parse({ "If-Match": etag });
  const title = valid.tasksV1PatchTaskBody.parse({ title: "Buy oat milk" });
  const kept = await api.tasksV1PatchTask(created.id, title, headers);
  const stale = await api.tasksV1PatchTask(created.id, {}, headers);
  const clear = valid.tasksV1PatchTaskBody.parse({ description: null });
  const cleared = await api.tasksV1PatchTask(created.id, clear);
  const empty = { title: "", description: null, completed: false };
  if (valid.tasksV1ReplaceTaskBody.safeParse(empty).success) throw new Error("an empty title");
  const invalid = await api.tasksV1ReplaceTask(created.id, empty);
  await api.tasksV1ReplaceTask(
    created.id,
    valid.tasksV1ReplaceTaskBody.parse({ title: "Bread", description: null, completed: false }),
  );
  const toggled = await api.tasksV1ToggleTask(created.id, { "Idempotency-Key": "toggle" });
  const query = { completed: true, q: "BREAD", count: true };
  const listed = await api.tasksV1ListTasks(valid.tasksV1ListTasksQueryParams.parse(query));
  const page = valid.tasksV1ListTasksResponse.parse(listed.data);
  // @ts-expect-error - a boolean, not a text
  void (() => api.tasksV1ListTasks({ completed: "true" }));
  const updated = await api.tasksV1PatchTasks({ completed: false }, { completed: true });
  const deleted = await api.tasksV1DeleteTasks({ completed: true });
  const gone = await api.tasksV1DeleteTask(created.id);
  const missing = await api.tasksV1GetTask(created.id);
  const unknown = await api.tasksV1GetTask(process.env.TASKS_UNKNOWN!);
  const head = await fetch(api.getTasksV1ListTasksUrl(), { method: "HEAD" });

  console.log(
    JSON.stringify({
      alive: [live.status === 200 && live.data.status, ready.status === 200 && ready.data.status],
      same: again.status === 201 && again.data.id === created.id,
      replayed: again.headers.get("Idempotency-Replayed"),
      etag,
      kept: kept.status === 200 && kept.data.description,
      cleared: cleared.status === 200 && cleared.data.description,
      stale: stale.status !== 200 && stale.data.code,
      invalid: invalid.status !== 200 && invalid.data.errors.map((each) => each.field),
      toggled: toggled.status === 200 && toggled.data.completed,
      total: page.total,
      updated: updated.status === 200 && updated.data.updated,
      deleted: deleted.status === 200 && deleted.data.deleted,
      gone: gone.status,
      missing: missing.status !== 200 && missing.data.code,
      unknown: unknown.status !== 200 && unknown.data.code,
      head: head.status,
      table: {
        ETag: "`headers`",
        "204": `\`data\` is \`${JSON.stringify(gone.data)}\`, typed \`void\``,
        "`null`": "`string` or `null`; `undefined` is absent",
        "A failure": "`data: Problem`, told by `status`; nothing is thrown",
        "An unknown `code`": "a `string`",
        "`completed` in the query": "`boolean`",
        HEAD: "none: `fetch` with the generated URL",
        "`Idempotency-Key`, `If-Match`": "an argument, with `headers: true`",
      },
    }),
  );
}

void main();

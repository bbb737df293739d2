// Calls typed by the service's own document.
import createClient from "openapi-fetch";
import type { ClientOptions, FetchOptions, FetchResponse } from "openapi-fetch";
import type { MediaType, PathsWithMethod, RequiredKeysOf } from "openapi-typescript-helpers";
import { repeating } from "./repeat";
import type { components, paths } from "./tasks-api";

export type Task = components["schemas"]["Task"];
export type TaskPatch = components["schemas"]["TaskPatch"];
export type Problem = components["schemas"]["Problem"];

export function tasksClient(options: ClientOptions): TasksClient {
  const send = options.fetch ?? ((request: Request) => fetch(request));
  const client = createClient<paths>({ ...options, fetch: repeating(send) });
  client.use({
    onResponse({ response }) {
      if (response.ok || response.headers.get("Content-Type") === "application/problem+json") return;
      throw new Error(`Not an answer of the task API: ${response.status}`); // a proxy's, say
    },
  });
  return client as TasksClient;
}

// openapi-fetch by itself lets unknown fields and parameters pass (its issue 2329).
export type TasksClient = {
  [M in "GET" | "POST" | "PUT" | "PATCH" | "DELETE"]: <
    P extends PathsWithMethod<paths, Lowercase<M>>,
  >(
    path: P,
    ...init: Init<Operation<M, P>>
  ) => Promise<FetchResponse<Operation<M, P>, object, MediaType>>;
};
type Operation<M extends string, P extends keyof paths> = NonNullable<
  paths[P][Lowercase<M> & keyof paths[P]]
>;
type Init<O> = [RequiredKeysOf<FetchOptions<O>>] extends [never]
  ? [FetchOptions<O>?]
  : [FetchOptions<O>];

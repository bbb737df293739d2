// What to do about a failure. Plugins and later releases add codes, so an unknown code counts by its status.
import type { Problem } from "./tasks-client";

export type Advice = "sign in" | "repeat" | "read again" | "correct" | "give up";

export function adviceOn({ code, status }: Problem): Advice {
  switch (code) {
    case "invalid_cursor":
    case "task_not_found":
      return "read again";
    case "idempotency_key_reused":
    case "quota_exceeded": // the person must delete tasks first: its `detail` says so
      return "give up";
    default:
      return adviceOnStatus(status);
  }
}

function adviceOnStatus(status: number): Advice {
  switch (status) {
    case 401:
      return "sign in";
    case 409:
    case 429:
    case 503:
    case 504:
      return "repeat"; // after the header Retry-After; a create or toggle with its Idempotency-Key
    case 412:
      return "read again";
    case 413:
    case 422:
      return "correct"; // each of the problem's `errors` at its field
    default:
      return "give up"; // and report the problem's `request_id`
  }
}

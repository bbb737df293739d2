// What to do about a failure. A code that is missing here does not compile.
import type { Problem } from "./tasks-client";

export type Advice = "sign in" | "repeat" | "read again" | "correct" | "give up";

export function adviceOn({ code }: Problem): Advice {
  switch (code) {
    case "missing_token":
    case "invalid_token":
    case "expired_token":
      return "sign in";
    case "idempotency_in_progress":
    case "database_unavailable":
    case "auth_unavailable":
    case "overloaded":
    case "deadline_exceeded":
      return "repeat"; // after the header Retry-After; a create or toggle with its Idempotency-Key
    case "version_mismatch":
    case "task_not_found":
    case "invalid_cursor":
      return "read again";
    case "validation_error":
    case "payload_too_large":
      return "correct"; // each of the problem's `errors` at its field
    case "task_forbidden":
    case "bad_request":
    case "malformed_json":
    case "not_found":
    case "method_not_allowed":
    case "unsupported_media_type":
    case "idempotency_key_reused":
    case "internal_error":
      return "give up"; // and report the problem's `request_id`
    case "quota_exceeded":
      return "give up"; // until the person has deleted some tasks: its `detail` says so
  }
}

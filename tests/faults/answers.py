"""Checks that apply to every single answer."""

from collections.abc import Iterator

from faults.record import Attempt, History, Operation

Finding = tuple[str, str]
"""The violated rule, and its cause."""

SLACK = 0.5  # seconds after its deadline in which a request may still be answered
SOME_TIME = {503, 504}
CONTRACT = {
    "create": {201, 409},
    "get": {200, 404},
    "list": {200},
    "patch": {200, 404, 412},
    "put": {200, 404, 412},
    "toggle": {200, 404, 409, 412},
    "delete": {204, 404, 412},
    "patch_all": {200, 409},
    "delete_all": {200, 409},
}
CODES = {
    404: {"task_not_found"},
    403: {"task_forbidden"},
    409: {"idempotency_in_progress"},
    412: {"version_mismatch"},
    503: {"database_unavailable", "auth_unavailable", "overloaded"},
    504: {"deadline_exceeded"},
}


def check(history: History, deadline: float) -> Iterator[Finding]:
    """Yield the violations in single answers. `deadline` is REQUEST_TIMEOUT."""
    for operation in history.operations:
        for attempt in operation.attempts:
            yield from _attempt(operation, attempt)
            if _late(history, attempt, deadline):
                took = attempt.answered_at - attempt.sent_at
                yield "late", f"{took:.2f} s: {named(operation)}, {attempt.status or attempt.error}"
        done = [a for a in operation.attempts if 200 <= a.status < 300]
        answers = {(attempt.version, attempt.tasks, attempt.count) for attempt in done}
        if len(answers) > 1:
            yield "duplicated", f"{named(operation)} was answered differently: {answers}"


def named(operation: Operation) -> str:
    key = f" with {operation.key}" if operation.key else ""
    return f"{operation.kind} o{operation.number}{key} by {operation.user} ({operation.side})"


def _attempt(operation: Operation, attempt: Attempt) -> Iterator[Finding]:
    if any(task.user_id != operation.user for task in attempt.tasks):
        yield "foreign", f"{named(operation)} showed another user's task"
    if attempt.status == 0:
        return
    if operation.foreign:
        allowed = {404} if operation.kind == "get" else {403, 404}
    else:
        allowed = CONTRACT[operation.kind]
    if operation.foreign and attempt.status < 300:
        yield "foreign", f"{named(operation)} reached another user's task"
    elif attempt.status == 500:
        yield "status 500", named(operation)
    elif attempt.status not in allowed | SOME_TIME or (
        attempt.status >= 300 and attempt.code not in CODES[attempt.status]
    ):
        yield "contract", f"{named(operation)}: {attempt.status} {attempt.code}"
    if attempt.status == 503 and not attempt.retry_after:
        yield "no Retry-After", named(operation)


def _late(history: History, attempt: Attempt, deadline: float) -> bool:
    """Whether the service took too long, without the load generator's own delay."""
    over = attempt.answered_at - attempt.sent_at - deadline - SLACK
    if over <= 0 or attempt.error in {"hungup", "refused"}:
        return False
    return over > history.lag(attempt.sent_at, attempt.answered_at)

"""The test data: the requests for each answer in the document."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from postman.contract import Operation

NOBODYS = "019aa1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"
TASKS = "/api/v1/tasks"
CREATE, LIST, PATCH_ALL, DELETE_ALL, GET, PATCH, PUT, DELETE, TOGGLE = (
    f"tasks_v1_{name}"
    for name in (
        "create_task",
        "list_tasks",
        "patch_tasks",
        "delete_tasks",
        "get_task",
        "patch_task",
        "replace_task",
        "delete_task",
        "toggle_task",
    )
)
MATCH = {"If-Match": "{{etag}}"}
ONCE = {"Idempotency-Key": "{{idempotencyKey}}"}

CONDITIONS = {
    "database_away": (503, "database_unavailable", "nothing answers at the database's address"),
    "keys_away": (503, "auth_unavailable", "the key set was never had and cannot be fetched"),
    "pool_held": (503, "overloaded", "every connection of the pool waits for a lock"),
    "network_frozen": (504, "deadline_exceeded", "the database's network swallows everything"),
    "schema_spoilt": (500, "internal_error", "a policy in the database raises an error"),
    "key_in_use": (409, "idempotency_in_progress", "a request with this key has not ended"),
    "quota_reached": (409, "quota_exceeded", "the user has as many tasks and keys as one may"),
}
"""The fault condition for an answer that a healthy service never gives, and the answer."""

UNREACHABLE = {
    ("livez", 500, "internal_error"): "it looks at nothing that could fail",
    ("readyz", 500, "internal_error"): "whatever fails is `database_unavailable`: not ready",
}
"""Answers that only a bug could cause."""


@dataclass(frozen=True)
class Step:
    """A request that is sent first; `keeps` are variables as JavaScript over its answer."""

    method: str = "POST"
    path: str = TASKS
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    token: str = "token"
    keeps: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A request and its expected answer; `checks` are further sentences and conditions.
    Without a body it has the document's example; an empty text means no body.
    """

    operation: str
    status: int
    code: str = ""
    note: str = ""
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    media_type: str = "application/json"
    token: str | None = "token"
    task: str = "{{taskId}}"
    needs: str = ""
    steps: tuple[Step, ...] = ()
    sets: dict[str, str] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    condition: str = ""


_KEPT = {"taskId": "answer.json().id", "etag": 'answer.headers.get("ETag")'}
_TASK = Step(body={"title": "Buy milk", "description": "Two litres"}, keeps=_KEPT)
_OTHERS = replace(_TASK, token="otherToken")
_KEY = {"idempotencyKey": 'pm.variables.replaceIn("{{$guid}}")'}
_KEYED = replace(_TASK, headers=ONCE)
_TOO_LONG = {"filling": '"x".repeat(128 * 1024 + 1)'}


def _is(field_: str, value: str) -> dict[str, str]:
    return {f"{field_} is {value}": f"pm.expect(body.{field_}).to.eql({value})"}


def _carries(name: str, value: str) -> dict[str, str]:
    return {f"{name} is right": f'pm.expect(pm.response.headers.get("{name}")).to.eql({value})'}


def _wrong(field_: str, location: str) -> dict[str, str]:
    return {
        f"it names {field_ or 'no field'}": "pm.expect(body.errors.map(({ field, location }) =>"
        f' [field, location])).to.eql([["{field_}", "{location}"]])'
    }


_REPLAYED = _carries("Idempotency-Replayed", '"true"')
_FIRST = {"it is no repetition": 'pm.response.to.not.have.header("Idempotency-Replayed")'}


def calls(operation: Operation) -> Iterator[Call]:
    """Every request to an operation, ordered by status."""
    found = [*_OWN.get(operation.id, ()), *_shared(operation), *_faults(operation)]
    for call in sorted(found, key=lambda call: (bool(call.condition), call.status)):
        one = "{task_id}" in operation.path
        wants_a_task = one and call.task == "{{taskId}}" and not call.steps and not call.condition
        if operation.id in {PATCH_ALL, DELETE_ALL} and not call.query:
            yield replace(call, query=_SELECTED)
        else:
            yield replace(call, steps=(_TASK,)) if wants_a_task else call


def _shared(operation: Operation) -> Iterator[Call]:
    """The requests whose answers are the same for every operation of this kind."""
    this = operation.id
    length = {"Content-Length": "many"}
    yield Call(this, 400, "bad_request", "a length that is no number", headers=length, body="")
    yield Call(
        this, 413, "payload_too_large", "a body too long", body="{{filling}}", sets=_TOO_LONG
    )
    if not operation.closed:
        return
    bad = {"the challenge names the error": _CHALLENGE.format("include")}
    none = {"the challenge names no error": _CHALLENGE.format("not.include")}
    yield Call(this, 401, "missing_token", "no token", token=None, checks=none)
    yield Call(this, 401, "invalid_token", "a token of nobody's", token="invalidToken", checks=bad)
    yield Call(
        this, 401, "expired_token", "a token that was good", token="expiredToken", checks=bad
    )
    if operation.media_type:
        yield Call(this, 400, "malformed_json", "half a JSON text", body='{"title":')
        yield Call(this, 415, "unsupported_media_type", "plain text", media_type="text/plain")
        unknown = {**operation.body, "user_id": "somebody"}
        yield Call(
            this,
            422,
            "validation_error",
            "an unknown field",
            body=unknown,
            checks=_wrong("", "body"),
        )
    if "{task_id}" in operation.path:
        yield Call(this, 404, "task_not_found", "a task that does not exist", task=NOBODYS)
        yield Call(
            this,
            422,
            "validation_error",
            "an id that is none",
            task="1",
            checks=_wrong("task_id", "path"),
        )
    if this in {PATCH_ALL, DELETE_ALL}:
        tag = {"If-Match": '"1"'}
        yield Call(this, 412, "version_mismatch", "a selection has no version", headers=tag)
        yield Call(
            this,
            422,
            "validation_error",
            "a selection without `completed`",
            query={"q": _SELECTED["q"]},
            checks=_wrong("completed", "query"),
        )
        yield Call(
            this,
            422,
            "idempotency_key_reused",
            "a key that stands for a creation",
            sets=_KEY,
            steps=(_KEYED,),
            headers=ONCE,
        )
    if this in {PATCH, PUT, DELETE, TOGGLE}:
        yield Call(this, 403, "task_forbidden", "another user's task", steps=(_OTHERS,))
        stale = {"If-Match": '"0"'}
        yield Call(this, 412, "version_mismatch", "a version that is past", headers=stale)


_CHALLENGE = 'pm.expect(pm.response.headers.get("WWW-Authenticate")).to.{}("error=")'


def _faults(operation: Operation) -> Iterator[Call]:
    documented = {cell[1:] for cell in operation.cells()}
    for condition, (status, code, why) in CONDITIONS.items():
        cell = (operation.id, status, code)
        if cell[1:] in documented and cell not in UNREACHABLE:
            headers = ONCE if condition in {"key_in_use", "quota_reached"} else {}
            yield Call(*cell, why, headers=headers, condition=condition)


_SELECTED = {"completed": "false", "q": "Of the collection"}
_OF_SELECTION = replace(_TASK, body={"title": "Of the collection"})
_SELECTION = f"{TASKS}?completed=false&q=Of%20the%20collection"
_SECOND = Step("GET", f"{TASKS}?limit=1", keeps={"cursor": "answer.json().next_cursor"})
_OWN: dict[str, list[Call]] = {
    "livez": [Call("livez", 200, "", "it is")],
    "readyz": [Call("readyz", 200, "", "it can")],
    CREATE: [
        Call(
            CREATE,
            201,
            "",
            "a title is enough",
            checks={
                **_is("title", '"Buy milk"'),
                **_is("description", "null"),
                **_is("completed", "false"),
                **_carries("ETag", '"\\"1\\""'),
                **_carries("Location", "`/api/v1/tasks/${body.id}`"),
                **_FIRST,
            },
        ),
        Call(
            CREATE,
            201,
            "",
            "with everything",
            body={"title": " Buy milk ", "description": "Two\nlitres", "completed": True},
            checks={
                **_is("title", '"Buy milk"'),
                **_is("description", '"Two\\nlitres"'),
                **_is("completed", "true"),
            },
        ),
        Call(
            CREATE,
            201,
            "",
            "once, however often it is sent",
            sets=_KEY,
            steps=(_KEYED,),
            headers=ONCE,
            body=_KEYED.body,
            checks={**_is("id", 'pm.variables.get("taskId")'), **_REPLAYED},
        ),
        Call(
            CREATE,
            422,
            "idempotency_key_reused",
            "a key that stands for another request",
            sets=_KEY,
            steps=(_KEYED,),
            headers=ONCE,
            body={"title": "Something else"},
        ),
        Call(
            CREATE,
            422,
            "validation_error",
            "a title of spaces",
            body={"title": " "},
            checks=_wrong("title", "body"),
        ),
    ],
    LIST: [
        Call(
            LIST,
            200,
            "",
            "the newest",
            query={"limit": "1"},
            steps=(_TASK, _TASK),
            checks={
                "it is the newest": 'pm.expect(body.items[0].id).to.eql(pm.variables.get("taskId"))',
                "Link leads on": 'pm.expect(pm.response.headers.get("Link"))'
                ".to.include(`cursor=${body.next_cursor}>`)",
            },
        ),
        Call(
            LIST,
            200,
            "",
            "the page after that",
            query={"limit": "1", "cursor": "{{cursor}}"},
            steps=(_TASK, _TASK, _SECOND),
            checks={
                "it is an older one": 'pm.expect(body.items[0].id < pm.variables.get("taskId"))'
                ".to.be.true"
            },
        ),
        Call(
            LIST,
            200,
            "",
            "those to be done, oldest first",
            query={"completed": "false", "order": "asc", "limit": "100"},
            steps=(_TASK,),
            checks={
                "none is done": "pm.expect(body.items.some(({ completed }) => completed))"
                ".to.be.false",
                "they are in order": "pm.expect(body.items.map(({ id }) => id))"
                ".to.eql(body.items.map(({ id }) => id).sort())",
            },
        ),
        Call(
            LIST,
            200,
            "",
            "those that contain a text, and how many they are",
            query={"q": "MILK", "count": "true"},
            steps=(_TASK,),
            checks={
                "each contains it": "pm.expect(body.items.every(({ title, description }) =>"
                " `${title} ${description}`.toLowerCase().includes('milk'))).to.be.true",
                "they are counted": "pm.expect(body.total).to.be.at.least(body.items.length)",
            },
        ),
        Call(
            LIST,
            400,
            "invalid_cursor",
            "a cursor of another query",
            query={"order": "asc", "cursor": "{{cursor}}"},
            steps=(_TASK, _TASK, _SECOND),
        ),
        Call(
            LIST,
            422,
            "validation_error",
            "too many at once",
            query={"limit": "101"},
            checks=_wrong("limit", "query"),
        ),
        Call(
            LIST,
            422,
            "validation_error",
            "an unknown parameter",
            query={"user_id": "somebody"},
            checks=_wrong("", "query"),
        ),
    ],
    PATCH_ALL: [
        Call(
            PATCH_ALL,
            200,
            "",
            "complete those that contain a text",
            steps=(_OF_SELECTION,),
            checks={"they are counted": "pm.expect(body.updated).to.be.at.least(1)", **_FIRST},
        ),
        Call(
            PATCH_ALL,
            200,
            "",
            "once, however often it is sent",
            sets=_KEY,
            steps=(
                _OF_SELECTION,
                Step("PATCH", _SELECTION, body={"completed": True}, headers=ONCE),
            ),
            headers=ONCE,
            checks=_REPLAYED,
        ),
    ],
    DELETE_ALL: [
        Call(
            DELETE_ALL,
            200,
            "",
            "delete those that contain a text",
            steps=(_OF_SELECTION,),
            checks={"they are counted": "pm.expect(body.deleted).to.be.at.least(1)", **_FIRST},
        ),
        Call(
            DELETE_ALL,
            200,
            "",
            "once, however often it is sent",
            sets=_KEY,
            steps=(_OF_SELECTION, Step("DELETE", _SELECTION, headers=ONCE)),
            headers=ONCE,
            checks=_REPLAYED,
        ),
    ],
    GET: [
        Call(
            GET,
            200,
            "",
            "one's own",
            checks={**_is("id", 'pm.variables.get("taskId")'), **_carries("ETag", '"\\"1\\""')},
        ),
        Call(GET, 404, "task_not_found", "another user's task", steps=(_OTHERS,)),
    ],
    PATCH: [
        Call(
            PATCH,
            200,
            "",
            "say that it is done",
            checks={
                **_is("completed", "true"),
                **_is("title", '"Buy milk"'),
                **_is("description", '"Two litres"'),
                **_carries("ETag", '"\\"2\\""'),
            },
        ),
        Call(
            PATCH,
            200,
            "",
            "clear the description, as a merge patch",
            body={"description": None},
            media_type="application/merge-patch+json",
            checks=_is("description", "null"),
        ),
        Call(
            PATCH,
            200,
            "",
            "nothing, and it changes nothing",
            body={},
            checks={
                **_carries("ETag", '"\\"1\\""'),
                "updated_at stays": "pm.expect(body.updated_at).to.eql(body.created_at)",
            },
        ),
        Call(PATCH, 200, "", "only if nobody else has changed it", headers=MATCH),
    ],
    PUT: [
        Call(PUT, 200, "", "all of it", headers=MATCH, checks=_carries("ETag", '"\\"2\\""')),
        Call(
            PUT,
            422,
            "validation_error",
            "a field left out",
            body={"title": "Buy milk", "completed": False},
            checks=_wrong("description", "body"),
        ),
    ],
    DELETE: [
        Call(DELETE, 204, "", "gone"),
        Call(DELETE, 204, "", "only if nobody else has changed it", headers=MATCH),
        Call(
            DELETE,
            404,
            "task_not_found",
            "a second time",
            steps=(_TASK, Step("DELETE", f"{TASKS}/{{{{taskId}}}}")),
        ),
    ],
    TOGGLE: [
        Call(TOGGLE, 200, "", "done now", checks={**_is("completed", "true"), **_FIRST}),
        Call(TOGGLE, 200, "", "only if nobody else has changed it", headers=MATCH),
        Call(
            TOGGLE,
            200,
            "",
            "once, however often it is sent",
            sets=_KEY,
            steps=(_TASK, Step(path=f"{TASKS}/{{{{taskId}}}}/toggle", headers=ONCE)),
            headers=ONCE,
            checks={**_is("completed", "true"), **_REPLAYED},
        ),
        Call(
            TOGGLE,
            422,
            "idempotency_key_reused",
            "a key that stands for a creation",
            sets=_KEY,
            steps=(_KEYED,),
            headers=ONCE,
        ),
    ],
}

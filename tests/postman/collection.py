"""The collection (v2.1) and its environment, from the document and the test data."""

import json
from collections.abc import Iterator
from typing import Any

from postman.calls import CONDITIONS, NOBODYS, TASKS, Call, calls
from postman.contract import Operation, operations, shape
from postman.scripts import AFTER_ALL, BEFORE_ALL, after, before

ABOUT = """\
Every operation and every answer of the API, each with its assertions. It is made by
`tests/postman`; docs/api.md says how to use it.

A request needs no other: what must be there first is made before it is sent. Requests whose names
end in `[...]` need a service in trouble and are skipped:

""" + "\n".join(f"- `[{name}]`: {why}" for name, (_, _, why) in CONDITIONS.items())
_SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_NO_TOKEN = {"type": "noauth"}


def collection(document: dict[str, Any]) -> dict[str, Any]:
    names = ("Live", "Ready", "Task", "TaskPage", "TasksUpdated", "TasksDeleted", "Problem")
    schemas = document["components"]["schemas"]
    return {
        "info": {
            "_postman_id": "5a3c1f0e-7d42-4c1b-9a64-0d7f8f5f2b11",
            "name": document["info"]["title"],
            "description": ABOUT,
            "schema": _SCHEMA,
        },
        "auth": _bearer("token"),
        "event": [_event("prerequest", [BEFORE_ALL]), _event("test", [AFTER_ALL])],
        "variable": [
            {"key": "invalidToken", "value": "eyJhbGciOiJub25lIn0.e30."},
            *({"key": name, "value": json.dumps(shape(document, schemas[name]))} for name in names),
        ],
        "item": [
            *(_folder(document, operation) for operation in operations(document)),
            _elsewhere(document),
        ],
    }


def environment() -> dict[str, Any]:
    """The values that a user fills in: `token` is enough, the others allow more requests."""
    values = {"baseUrl": "http://127.0.0.1:8000", "token": "", "otherToken": "", "expiredToken": ""}
    return {
        "id": "b8a7f9f0-3c0f-4c55-9d0e-6b0a3c0c7e12",
        "name": "tasks_backend dev",
        "values": [
            {
                "key": name,
                "value": value,
                "type": "default" if name == "baseUrl" else "secret",
                "enabled": True,
            }
            for name, value in values.items()
        ],
    }


def _folder(document: dict[str, Any], operation: Operation) -> dict[str, Any]:
    items = [
        _item(f"{operation.id}-{number}", call, operation, document)
        for number, call in enumerate(calls(operation), 1)
    ]
    folder = {
        "name": f"{operation.method} {operation.path}: {operation.summary}",
        "description": operation.description,
        "item": items,
    }
    return folder if operation.closed else {**folder, "auth": _NO_TOKEN}


def _item(id_: str, call: Call, operation: Operation, document: dict[str, Any]) -> dict[str, Any]:
    body = operation.body if call.body is None else call.body
    response = operation.responses[str(call.status)]
    path = operation.path.replace("{task_id}", call.task)
    request = _request(operation.method, path, call, body)
    return {
        "id": id_,
        "name": name(call),
        "event": list(_events(before(call), after(document, call, response))),
        "request": request,
        "response": [],
        "protocolProfileBehavior": {"disableBodyPruning": True},
    }


def name(call: Call) -> str:
    answer = " ".join(filter(None, (str(call.status), call.code)))
    condition = f" [{call.condition}]" if call.condition else ""
    return (f"{answer}: {call.note}" if call.note else answer) + condition


def _request(method: str, path: str, call: Call, body: Any) -> dict[str, Any]:
    headers = dict(call.headers)
    request: dict[str, Any] = {"method": method}
    if call.token != "token":
        request["auth"] = _bearer(call.token) if call.token else _NO_TOKEN
    if body is not None and body != "":
        headers["Content-Type"] = call.media_type
        raw = body if isinstance(body, str) else json.dumps(body, indent=4)
        request["body"] = {"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}}
    query = "&".join(f"{key}={value}" for key, value in call.query.items())
    request["header"] = [{"key": key, "value": value} for key, value in headers.items()]
    request["url"] = {
        "raw": "{{baseUrl}}" + path + (f"?{query}" if query else ""),
        "host": ["{{baseUrl}}"],
        "path": path.strip("/").split("/"),
        "query": [{"key": key, "value": value} for key, value in call.query.items()],
    }
    return request


def _elsewhere(document: dict[str, Any]) -> dict[str, Any]:
    """Requests outside of operations: an unknown address, wrong methods, the documentation."""
    items = []
    answers = document["components"]["responses"]
    for method, path, status, code, allow in (
        ("GET", "/api/v1/nothing", 404, "not_found", ""),
        ("PUT", TASKS, 405, "method_not_allowed", "DELETE, GET, HEAD, PATCH, POST"),
        ("POST", f"{TASKS}/{NOBODYS}", 405, "method_not_allowed", "DELETE, GET, HEAD, PATCH, PUT"),
        ("GET", f"{TASKS}/{NOBODYS}/toggle", 405, "method_not_allowed", "POST"),
        ("POST", "/livez", 405, "method_not_allowed", "GET, HEAD"),
        ("POST", "/readyz", 405, "method_not_allowed", "GET, HEAD"),
    ):
        allowed = f'pm.expect(pm.response.headers.get("Allow")).to.eql("{allow}")'
        checks = {"Allow is complete": allowed} if allow else {}
        call = Call("", status, code, f"{method} {path}", checks=checks)
        response = answers["NotFound" if status == 404 else "MethodNotAllowed"]
        items.append(_fixed(method, path, call, after(document, call, response)))
    for path, type_ in (("/openapi.json", "application/json"), ("/docs", "text/html")):
        call = Call("", 200, "", path)
        content = 'pm.expect(pm.response.headers.get("Content-Type"))'
        tests = [
            'pm.test("status is 200", () => pm.response.to.have.status(200));',
            f'pm.test("it is {type_}", () => {content}.to.include("{type_}"));',
        ]
        items.append(_fixed("GET", path, call, tests))
    return {"name": "Elsewhere", "item": items, "auth": _NO_TOKEN}


def _fixed(method: str, path: str, call: Call, tests: list[str]) -> dict[str, Any]:
    return {
        "id": f"{method.lower()}{path.replace('/', '-')}",
        "name": name(call),
        "event": list(_events([], tests)),
        "request": _request(method, path, call, None),
        "response": [],
    }


def _events(earlier: list[str], later: list[str]) -> Iterator[dict[str, Any]]:
    if earlier:
        yield _event("prerequest", earlier)
    yield _event("test", later)


def _event(listen: str, lines: list[str]) -> dict[str, Any]:
    exec_ = [line for text in lines for line in text.split("\n")]
    return {"listen": listen, "script": {"type": "text/javascript", "exec": exec_}}


def _bearer(variable: str) -> dict[str, Any]:
    value = {"key": "token", "value": f"{{{{{variable}}}}}", "type": "string"}
    return {"type": "bearer", "bearer": [value]}

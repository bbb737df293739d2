"""The one format of a failure (RFC 9457, FR-011)."""

import json
import re
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from pydantic_core import to_jsonable_python
from starlette.exceptions import HTTPException

from tasks_backend.errors import (
    CODE,
    ApiError,
    BadRequest,
    DeadlineExceeded,
    InternalError,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
)

LOCATIONS = ("body", "query", "path", "header", "cookie")
"""Where a field of a request can be."""

_OF_STATUS: dict[int, type[ApiError]] = {
    error.status: error
    for error in (
        BadRequest,
        NotFound,
        MethodNotAllowed,
        PayloadTooLarge,
        UnsupportedMediaType,
        ValidationFailed,
        InternalError,
        DeadlineExceeded,
    )
}
_PHRASES = {414: "URI Too Long", 416: "Range Not Satisfiable"}
"""Python before 3.13 has older phrases for these; a code must not depend on Python's version."""
_SET_BY_THE_SERVICE = {"type", "status", "instance", "request_id"}


class Problem(NamedTuple):
    """The code and the body of a problem response."""

    code: str
    body: bytes


def problem(error: HTTPException, instance: str, request_id: str) -> Problem:
    """Return the problem response to an error: always the same members, `errors` may be empty.

    An ApiError has these members. The `detail` of any other HTTPException may be:

    - a text: the problem's `detail`;
    - a mapping: its `detail` (or `message`), `title`, `code` and `errors` are the problem's, and its
      other items are further members (RFC 9457, 3.2);
    - a list: the problem's `errors`.

    Missing members come from the service's own failure with this status, or else from the status's
    phrase (RFC 9110).
    """
    members = _members(error)
    code: str = members.pop("code")
    content = {
        "type": f"/problems/{code.replace('_', '-')}",
        "title": members.pop("title"),
        "status": error.status_code,
        "detail": members.pop("detail"),
        "instance": instance,
        "code": code,
        "request_id": request_id,
        **members,
    }
    try:
        body = orjson.dumps(content)
    except TypeError:  # a lone surrogate or a number beyond 64 bits, of a plugin
        body = json.dumps(content).encode()
    return Problem(code, body)


def _members(error: HTTPException) -> dict[str, Any]:
    """Return the title, detail, code and errors of a problem, and its further members."""
    if isinstance(error, ApiError):
        title, detail, code = error.title, error.detail, error.code
        return {"title": title, "detail": detail, "code": code, "errors": list(error.errors)}
    phrase = _phrase(error.status_code)
    members: dict[str, Any] = {
        "title": phrase,
        "detail": phrase,
        "code": "".join(c if c.isalnum() else "_" for c in phrase.lower()),
        "errors": [],
    }
    if known := _OF_STATUS.get(error.status_code):
        members |= {"title": known.title, "detail": known.summary, "code": known.code}
    try:
        said = to_jsonable_python(error.detail, fallback=_nothing, inf_nan_mode="null")
    except ValueError:  # it contains itself, or bytes that are no text
        said = None
    if isinstance(said, dict):
        members |= _of_mapping(said)
    elif isinstance(said, list):
        members["errors"] = _entries(said)
    elif said and said != _default(error.status_code):
        members["detail"] = _text(said)
    return members


def _of_mapping(said: dict[str, Any]) -> dict[str, Any]:
    members = {name: value for name, value in said.items() if name not in _SET_BY_THE_SERVICE}
    if "detail" not in members and isinstance(members.get("message"), str):
        members["detail"] = members.pop("message")
    for name in ("title", "detail", "code"):
        if name in members:
            members[name] = _text(members[name])
    if not re.fullmatch(CODE, members.get("code", "")):
        members.pop("code", None)
    if "errors" in members:
        members["errors"] = _entries(members["errors"])
    return members


def _entries(said: Any) -> list[dict[str, str]]:
    """Return entries of `errors`. A mapping has messages by field."""
    if not isinstance(said, dict):
        return [_entry(entry) for entry in (said if isinstance(said, list) else [said])]
    return [
        _entry({"field": field, "message": message})
        for field, messages in said.items()
        for message in (messages if isinstance(messages, list) else [messages])
    ]


def _entry(said: Any) -> dict[str, str]:
    """Return one entry, also from pydantic's form, without its `input`, which is the client's text."""
    if not isinstance(said, dict):
        said = {"message": said}
    place = [str(part) for part in said.get("loc") or ()]
    location = place.pop(0) if place and place[0] in LOCATIONS else said.get("location")
    return {
        "field": _text(said.get("field", ".".join(place))),
        "location": location if location in LOCATIONS else "body",
        "code": _text(said.get("code", said.get("type", "invalid"))),
        "message": _text(said.get("message", said.get("msg", "is not valid"))),
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _nothing(_: object) -> None:
    """Return None in place of a value without a JSON form: its Python form is internal."""


def _phrase(status: int) -> str:
    return _PHRASES.get(status) or _default(status) or "Error"


def _default(status: int) -> str | None:
    """Return the `detail` of an HTTPException that is raised without one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return None

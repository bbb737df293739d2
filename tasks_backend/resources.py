"""The pieces of a resource: the tasks are made of them, and a plugin's own resource can be too.

| piece | for |
|---|---|
| `USER_ID`, `matches_version` | statements: the owner, and the version of `If-Match` |
| `SCHEMA`, `ensure_user` | the service's tables; the user's row, for messages that take a lock before it |
| `JsonBody`, `json_body` | a body whose media type is checked first, and whose content later |
| `IfMatch`, `etag` | conditional writes; `IfMatch.refusal` says why one did nothing |
| `KeyedWrite`, `Written`, `too_many_keys` | writes that clients may repeat with an `Idempotency-Key` |
| `encode_cursor`, `decode_cursor` | keyset pages over ids of `new_id` |
| `Flag`, `PageLimit`, `require_unique_parameters` | strict query parameters |
| `TaskId`, `require_task`, `owns_task` | routes below a task |
| `field_error` and the failures | answers in the contract's words |
| `Tag`, `body`, `header`, `json_response` | the OpenAPI document; `problems` is at `tasks_backend` |
"""

from tasks_backend.db.database import CallerDatabase
from tasks_backend.db.statements import SCHEMA, Statement, ensure_user
from tasks_backend.errors import (
    IdempotencyInProgress,
    IdempotencyKeyReused,
    InvalidCursor,
    MalformedJson,
    NotFound,
    QuotaExceeded,
    TaskForbidden,
    TaskNotFound,
    UnsupportedMediaType,
    ValidationFailed,
    VersionMismatch,
)
from tasks_backend.http.json_body import JsonBody, json_body
from tasks_backend.http.pagination import decode as decode_cursor
from tasks_backend.http.pagination import encode as encode_cursor
from tasks_backend.http.validation import field_error
from tasks_backend.openapi import Tag, body, header, json_response
from tasks_backend.tasks.conditions import IfMatch, etag
from tasks_backend.tasks.idempotency import KeyedWrite, Written, too_many_keys
from tasks_backend.tasks.ids import new_id
from tasks_backend.tasks.ownership import TaskId, require_task
from tasks_backend.tasks.queries import Flag, PageLimit, require_unique_parameters
from tasks_backend.tasks.statements import USER_ID, matches_version, owns_task

__all__ = [
    "SCHEMA",
    "USER_ID",
    "CallerDatabase",
    "Flag",
    "IdempotencyInProgress",
    "IdempotencyKeyReused",
    "IfMatch",
    "InvalidCursor",
    "JsonBody",
    "KeyedWrite",
    "MalformedJson",
    "NotFound",
    "PageLimit",
    "QuotaExceeded",
    "Statement",
    "Tag",
    "TaskForbidden",
    "TaskId",
    "TaskNotFound",
    "UnsupportedMediaType",
    "ValidationFailed",
    "VersionMismatch",
    "Written",
    "body",
    "decode_cursor",
    "encode_cursor",
    "ensure_user",
    "etag",
    "field_error",
    "header",
    "json_body",
    "json_response",
    "matches_version",
    "new_id",
    "owns_task",
    "require_task",
    "require_unique_parameters",
    "too_many_keys",
]

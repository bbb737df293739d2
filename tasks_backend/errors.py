"""Every way a request can fail, and the one shape that a failure takes (RFC 9457, FR-011).

    ApiError
    ├── BadRequest                 400  bad_request
    │   ├── MalformedJson          400  malformed_json
    │   └── InvalidCursor          400  invalid_cursor
    ├── Unauthorized               401
    │   ├── MissingToken           401  missing_token
    │   ├── InvalidToken           401  invalid_token
    │   └── ExpiredToken           401  expired_token
    ├── TaskForbidden              403  task_forbidden
    ├── NotFound                   404  not_found
    │   └── TaskNotFound           404  task_not_found
    ├── MethodNotAllowed           405  method_not_allowed
    ├── IdempotencyInProgress      409  idempotency_in_progress
    ├── QuotaExceeded              409  quota_exceeded
    ├── VersionMismatch            412  version_mismatch
    ├── PayloadTooLarge            413  payload_too_large
    ├── UnsupportedMediaType       415  unsupported_media_type
    ├── ValidationFailed           422  validation_error
    │   └── IdempotencyKeyReused   422  idempotency_key_reused
    ├── InternalError              500  internal_error
    ├── Unavailable                503
    │   ├── DatabaseUnavailable    503  database_unavailable
    │   ├── AuthUnavailable        503  auth_unavailable
    │   └── Overloaded             503  overloaded
    └── DeadlineExceeded           504  deadline_exceeded

A code is a promise to clients: it is chosen here and never follows the name of a class.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

import orjson
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
REALM = 'Bearer realm="tasks_backend"'


class ApiError(HTTPException):
    """A failure with its answer: raised anywhere, it becomes the response.

    It is an HTTPException because FastAPI turns any other exception that comes up while it reads
    a body into a 400 of its own.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    errors: Sequence[Mapping[str, str]] = ()

    def __init__(self, detail: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(self.status, detail or self.summary, dict(headers) if headers else None)


class BadRequest(ApiError):
    """The request cannot be understood."""

    status, code, title = 400, "bad_request", "Bad request"
    summary = "The request cannot be understood."


class MalformedJson(BadRequest):
    """The body is no JSON text (RFC 8259), or one that two readers could read differently."""

    code, title = "malformed_json", "Malformed JSON"
    summary = "The body is not valid JSON."


class InvalidCursor(BadRequest):
    """The cursor was not made by this service for this query."""

    code, title = "invalid_cursor", "Invalid cursor"
    summary = "The cursor does not belong to this query. Start again without one."


class Unauthorized(ApiError):
    """Nobody can be named as the caller; carries the challenge of RFC 6750, section 3."""

    status = 401
    challenge: ClassVar[str]

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": self.challenge})


class MissingToken(Unauthorized):
    """No bearer token came with the request: a challenge without an error (RFC 6750, 3.1)."""

    code, title = "missing_token", "Authentication required"
    summary = "Send a bearer token in the Authorization header."
    challenge = REALM


class InvalidToken(Unauthorized):
    """The token is malformed, forged, meant for somebody else, or signed with an unknown key."""

    code, title = "invalid_token", "Invalid token"
    summary = "The token is not valid."
    challenge = f'{REALM}, error="invalid_token", error_description="The token is not valid"'


class ExpiredToken(Unauthorized):
    """The token was good once. Get a new one and repeat the request."""

    code, title = "expired_token", "Expired token"
    summary = "The token has expired."
    challenge = f'{REALM}, error="invalid_token", error_description="The token has expired"'


class TaskForbidden(ApiError):
    """The task to be changed belongs to somebody else (US3-AC3, US4-AC2)."""

    status, code, title = 403, "task_forbidden", "Forbidden"
    summary = "This task belongs to another user."


class NotFound(ApiError):
    """Nothing is at this address."""

    status, code, title = 404, "not_found", "Not found"
    summary = "Nothing is at this address."


class TaskNotFound(NotFound):
    """No such task or, to a reader, somebody else's (US2-AC3): the two look the same."""

    code, title = "task_not_found", "Task not found"
    summary = "There is no such task."


class MethodNotAllowed(ApiError):
    """The address exists and takes other methods, which `Allow` lists."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"
    summary = "This address does not take this method."


class IdempotencyInProgress(ApiError):
    """A request with this idempotency key is still being worked on."""

    status, code, title = 409, "idempotency_in_progress", "Still in progress"
    summary = "A request with this idempotency key is still in progress. Repeat it shortly."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class QuotaExceeded(ApiError):
    """The user has as much as one user may have. It is a 409, which no client repeats by itself."""

    status, code, title = 409, "quota_exceeded", "Quota exceeded"
    summary = "You have as many tasks as a user may have. Delete some first."


class VersionMismatch(ApiError):
    """The task is no longer in a version that `If-Match` names (RFC 9110, 13.1.1)."""

    status, code, title = 412, "version_mismatch", "Version mismatch"
    summary = "The task has changed since. Read it again."


class PayloadTooLarge(ApiError):
    """The body is larger than the service takes."""

    status, code, title = 413, "payload_too_large", "Payload too large"
    summary = "The body is too large."


class UnsupportedMediaType(ApiError):
    """The body is of a type that this operation does not take."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"
    summary = "Send the body as application/json, not compressed."


class ValidationFailed(ApiError):
    """Fields of the request are invalid (FR-002). Each is named; none is repeated back."""

    status, code, title = 422, "validation_error", "Validation failed"
    summary = "The request is invalid."

    def __init__(self, errors: Sequence[Mapping[str, str]] = ()) -> None:
        noun = "field is" if len(errors) == 1 else "fields are"
        super().__init__(f"{len(errors)} {noun} invalid." if errors else None)
        self.errors = errors


class IdempotencyKeyReused(ValidationFailed):
    """The key was first used for another request."""

    code, title = "idempotency_key_reused", "Idempotency key reused"
    summary = "This idempotency key was used for another request."


class InternalError(ApiError):
    """A bug of ours. The log has the request id; the answer says no more."""

    status, code, title = 500, "internal_error", "Internal error"
    summary = "Something went wrong on our side."


class Unavailable(ApiError):
    """Something that the service needs is away for now. `Retry-After` is in seconds."""

    status, title = 503, "Service unavailable"
    retry_after: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": str(self.retry_after)})


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, or broke off (FR-012).

    After a write it may be unknown whether it happened; an idempotency key makes repeating safe.
    """

    code, summary = "database_unavailable", "The database cannot be reached. Repeat the request."


class AuthUnavailable(Unavailable):
    """No verification key can be had: nobody can be told apart, which is no fault of the token."""

    code, summary = "auth_unavailable", "Tokens cannot be verified at the moment."
    retry_after = 5


class Overloaded(Unavailable):
    """More is asked than can be worked on. Nothing was done."""

    code, summary = "overloaded", "The service is busy. Repeat the request."


class DeadlineExceeded(ApiError):
    """The work did not finish in time."""

    status, code, title = 504, "deadline_exceeded", "Deadline exceeded"
    summary = "The request took too long."


_GENERAL: dict[int, type[ApiError]] = {
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


def problem(error: HTTPException, instance: str, request_id: str) -> bytes:
    """Return the body of a failure's answer: always these members, `errors` empty if none apply.

    A status that a plugin or the framework chose gets its code and title from the table above
    or, where that has none, from the status's name (RFC 9110).
    """
    known, code = _known(error), code_of(error)
    body: dict[str, Any] = {
        "type": f"/problems/{code.replace('_', '-')}",
        "title": known.title if known else _phrase(error.status_code),
        "status": error.status_code,
        "detail": known.summary if isinstance(known, type) else str(error.detail),
        "instance": instance,
        "code": code,
        "request_id": request_id,
        "errors": list(getattr(error, "errors", ())),
    }
    return orjson.dumps(body)


def code_of(error: HTTPException) -> str:
    """Return the problem's code, as `problem` writes it."""
    known = _known(error)
    if known is not None:
        return known.code
    return "".join(c if c.isalnum() else "_" for c in _phrase(error.status_code).lower())


def _known(error: HTTPException) -> ApiError | type[ApiError] | None:
    return error if isinstance(error, ApiError) else _GENERAL.get(error.status_code)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"

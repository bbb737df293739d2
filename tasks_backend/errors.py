"""All failures of a request, and their common format (RFC 9457, FR-011).

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
    └── Unavailable                503
        ├── DatabaseUnavailable    503  database_unavailable
        ├── AuthUnavailable        503  auth_unavailable
        ├── Overloaded             503  overloaded
        └── DeadlineExceeded       504  deadline_exceeded

Clients rely on the codes: a code stays the same if its class is renamed. A plugin has subclasses of
its own.
"""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
REALM = 'Bearer realm="tasks_backend"'
CODE = "[a-z][a-z0-9]*(_[a-z0-9]+)*"
"""What every code matches: lower snake case."""


class ApiError(HTTPException):
    """A failure of a request: raised anywhere, it becomes the response.

    A subclass has a `status` (400 to 599), a `code` for programs in lower snake case, a `title` of a
    few words and a `summary`, the sentence for people. It may have `headers`. `problems(Subclass)`
    describes it in the OpenAPI document. Raises TypeError when a subclass is defined that lacks one of
    these, or that gives a code of the service another meaning.

    It is an HTTPException because FastAPI replaces any other exception that is raised while it
    reads a body by its own 400 response.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    headers: Mapping[str, str] | None = None
    errors: Sequence[Mapping[str, str]] = ()

    def __init__(
        self,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """`detail` replaces the summary, `headers` are added, `errors` are made by `field_error`."""
        all_headers = {**(type(self).headers or {}), **(headers or {})}
        super().__init__(self.status, detail or self.summary, all_headers or None)
        self.errors = errors

    def __init_subclass__(cls) -> None:
        """Check the definition; the service's own classes are checked by its tests."""
        super().__init_subclass__()
        if cls.__module__ == __name__:
            if "code" in vars(cls):
                _OWN_CODES[cls.code] = cls
            return
        for name in ("code", "title", "summary"):
            if not isinstance(getattr(cls, name, None), str) or not getattr(cls, name):
                raise TypeError(f"{cls.__name__} needs a text as {name}")
        status = getattr(cls, "status", None)
        if not isinstance(status, int) or not 400 <= status <= 599:  # noqa: PLR2004 - RFC 9110
            raise TypeError(f"{cls.__name__} needs a status from 400 to 599, not {status!r}")
        if not re.fullmatch(CODE, cls.code):
            raise TypeError(f"{cls.__name__}: the code {cls.code!r} is not in lower snake case")
        own = _OWN_CODES.get(cls.code)
        if own is not None and not (issubclass(cls, own) and status == own.status):
            raise TypeError(f"{cls.__name__}: the code {cls.code!r} is that of {own.__name__}")


_OWN_CODES: dict[str, type[ApiError]] = {}


class BadRequest(ApiError):
    """The request cannot be understood."""

    status, code, title = 400, "bad_request", "Bad request"
    summary = "The request cannot be understood."


class MalformedJson(BadRequest):
    """The body is not valid JSON (RFC 8259), or parsers could read it differently."""

    code, title = "malformed_json", "Malformed JSON"
    summary = "The body is not valid JSON."


class InvalidCursor(BadRequest):
    """The cursor was not made by this service for this query."""

    code, title = "invalid_cursor", "Invalid cursor"
    summary = "The cursor does not belong to this query. Start again without one."


class Unauthorized(ApiError):
    """The caller is not authenticated; carries the challenge of RFC 6750, section 3."""

    status = 401
    challenge: ClassVar[str]

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": self.challenge})


class MissingToken(Unauthorized):
    """The request has no bearer token: the challenge has no error (RFC 6750, 3.1)."""

    code, title = "missing_token", "Authentication required"
    summary = "Send a bearer token in the Authorization header."
    challenge = REALM


class InvalidToken(Unauthorized):
    """The token is malformed, forged, for another audience, or signed with an unknown key."""

    code, title = "invalid_token", "Invalid token"
    summary = "The token is not valid."
    challenge = f'{REALM}, error="invalid_token", error_description="The token is not valid"'

    def __init__(self, reason: str | None = None) -> None:
        """`reason` is a word for the log, never a part of the token; clients do not see it."""
        super().__init__()
        self.reason = reason


class ExpiredToken(Unauthorized):
    """The token has expired. Get a new one and repeat the request."""

    code, title = "expired_token", "Expired token"
    summary = "The token has expired."
    challenge = f'{REALM}, error="invalid_token", error_description="The token has expired"'


class TaskForbidden(ApiError):
    """The task to be changed belongs to another user (US3-AC3, US4-AC2)."""

    status, code, title = 403, "task_forbidden", "Forbidden"
    summary = "This task belongs to another user."


class NotFound(ApiError):
    """Nothing is at this address."""

    status, code, title = 404, "not_found", "Not found"
    summary = "Nothing is at this address."


class TaskNotFound(NotFound):
    """No such task or, for reads, another user's (US2-AC3): the two look the same."""

    code, title = "task_not_found", "Task not found"
    summary = "There is no such task."


class MethodNotAllowed(ApiError):
    """The address exists, but not with this method; `Allow` lists its methods."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"
    summary = "This address does not take this method."


class IdempotencyInProgress(ApiError):
    """A request with this idempotency key is still in progress."""

    status, code, title = 409, "idempotency_in_progress", "Still in progress"
    summary = "A request with this idempotency key is still in progress. Repeat it shortly."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class QuotaExceeded(ApiError):
    """The user has reached a quota. It is a 409, because clients do not retry it by themselves."""

    status, code, title = 409, "quota_exceeded", "Quota exceeded"
    summary = "You have as many tasks as a user may have. Delete some first."


class VersionMismatch(ApiError):
    """The version is not in `If-Match` (RFC 9110, 13.1.1)."""

    status, code, title = 412, "version_mismatch", "Version mismatch"
    summary = "It has changed since. Read it again."


class PayloadTooLarge(ApiError):
    """The body is larger than the limit."""

    status, code, title = 413, "payload_too_large", "Payload too large"
    summary = "The body is too large."


class UnsupportedMediaType(ApiError):
    """The operation does not accept the body's media type."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"
    summary = "Send the body as application/json, not compressed."


class ValidationFailed(ApiError):
    """Fields of the request are invalid (FR-002). Their names are returned, never their values."""

    status, code, title = 422, "validation_error", "Validation failed"
    summary = "The request is invalid."

    def __init__(self, errors: Sequence[Mapping[str, str]] = ()) -> None:
        noun = "field is" if len(errors) == 1 else "fields are"
        super().__init__(f"{len(errors)} {noun} invalid." if errors else None, errors=errors)


class UnstorableValue(ValidationFailed):
    """A value cannot be stored: a NUL in a text, a number beyond its column."""

    summary = "A value of the request cannot be stored."


class IdempotencyKeyReused(ValidationFailed):
    """The key was first used for another request."""

    code, title = "idempotency_key_reused", "Idempotency key reused"
    summary = "This idempotency key was used for another request."


class InternalError(ApiError):
    """A bug of the service. Details are only in the log, under the request id."""

    status, code, title = 500, "internal_error", "Internal error"
    summary = "Something went wrong on our side."


class Unavailable(ApiError):
    """The service cannot answer now; a repetition may succeed. `Retry-After` is in seconds."""

    status, title = 503, "Service unavailable"
    retry_after: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": str(self.retry_after)})


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, or the connection broke (FR-012).

    It may be unknown whether a write was committed; an idempotency key makes a retry safe.
    """

    code, summary = "database_unavailable", "The database cannot be reached. Repeat the request."


class AuthUnavailable(Unavailable):
    """No verification key is available; the token may be valid."""

    code, summary = "auth_unavailable", "Tokens cannot be verified at the moment."
    retry_after = 5


class Overloaded(Unavailable):
    """Too many requests are in progress. This one had no effect."""

    code, summary = "overloaded", "The service is busy. Repeat the request."


class DeadlineExceeded(Unavailable):
    """The work did not finish in time."""

    status, code, title = 504, "deadline_exceeded", "Deadline exceeded"
    summary = "The request took too long."

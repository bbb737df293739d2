"""The headers that make a write conditional or idempotent: `If-Match` and `Idempotency-Key`."""

import re
from dataclasses import dataclass
from typing import Any, Self

from fastapi import Request

from tasks_backend.errors import ApiError, ValidationFailed
from tasks_backend.http.validation import field_error

_ETAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*')
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,255}")
MAX_TAGS = 64
_MAX_VERSION = 2**63 - 1


def etag(version: int) -> str:
    """Return the strong entity tag of a version (RFC 9110, 8.8.3)."""
    return f'"{version}"'


@dataclass(frozen=True)
class IfMatch:
    """The task versions that may be changed; None for any.

    An invalid header matches no version. Its error is stored, because other errors may come first in
    the order of checks.
    """

    versions: tuple[int, ...] | None
    error: ApiError | None = None

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return the request's condition. Tags in another form match nothing.

        Tags are compared strongly, so a weak tag never matches (RFC 9110, 13.1.1).
        """
        values = request.headers.getlist("if-match")
        if not values:
            return cls(None)
        tags = ",".join(values)
        if tags.strip() == "*":
            return cls(None)
        if tags.count(",") >= MAX_TAGS:
            error = field_error("header", "If-Match", "too_many_tags", most=MAX_TAGS)
            return cls((), ValidationFailed([error]))
        versions = []
        for part in tags.split(","):
            match = _ETAG.fullmatch(part)
            if match and not match[1] and match[2].isascii() and match[2].isdigit():
                version = int(match[2][:20])
                if etag(version) == f'"{match[2]}"' and version <= _MAX_VERSION:
                    versions.append(version)
        return cls(tuple(versions))

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the statements."""
        return {"any_version": self.versions is None, "versions": list(self.versions or ())}

    def met_by(self, version: int) -> bool:
        """Return whether a task in this version may be changed."""
        return self.versions is None or version in self.versions


@dataclass(frozen=True)
class IdempotencyKey:
    """The key of an idempotent write (draft-ietf-httpapi-idempotency-key-header)."""

    value: str
    error: ApiError | None = None

    @classmethod
    def of(cls, request: Request) -> Self | None:
        """Return the request's key, or None if it has none.

        The error of an invalid key is stored: other errors may come first in the order of checks.
        """
        values = request.headers.getlist("idempotency-key")
        if not values:
            return None
        if len(values) == 1 and _VISIBLE_ASCII.fullmatch(values[0]):
            return cls(values[0])
        return cls(
            "", ValidationFailed([field_error("header", "Idempotency-Key", "visible_ascii")])
        )

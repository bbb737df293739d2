"""The headers that make a write conditional or idempotent: `If-Match` and `Idempotency-Key`."""

import re
from dataclasses import dataclass
from typing import Any, Self

from fastapi import Request

from tasks_backend.errors import ApiError, ValidationFailed, VersionMismatch
from tasks_backend.http.validation import field_error

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*+"')
_TAGS = re.compile(
    r"(?:[ \t]*+,)*+[ \t]*+TAG[ \t]*+(?:,[ \t]*+(?:TAG[ \t]*+)?)*+".replace("TAG", _TAG.pattern)
)
"""A list of entity tags (RFC 9110, 13.1.1 and 5.6.1). Possessive, so there is no backtracking."""
_VERSION = re.compile(r'"([1-9][0-9]{0,18})(?:--?(?:gzip|br|zstd|deflate))?"')
"""A tag of ours. A server that compresses a response may add the name of the content coding."""
_MAX_VERSION = 2**63 - 1
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,255}")
MAX_TAGS = 64


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
        """Return the request's condition.

        Tags that are not ours match nothing. A weak tag of ours matches: a server that compresses
        the response makes the tag weak, and the version is still the same.
        """
        values = request.headers.getlist("if-match")
        if not values:
            return cls(None)
        tags = ",".join(values)
        if tags.strip(" \t") == "*":
            return cls(None)
        if _TAG.sub("", tags).count(",") >= MAX_TAGS:  # a tag itself may contain commas
            return cls._invalid("too_many_tags", most=MAX_TAGS)
        if not _TAGS.fullmatch(tags):
            return cls._invalid("entity_tag")
        versions = (int(version) for version in _VERSION.findall(tags))
        return cls(tuple(version for version in versions if version <= _MAX_VERSION))

    @classmethod
    def _invalid(cls, code: str, **limits: object) -> Self:
        return cls((), ValidationFailed([field_error("header", "If-Match", code, **limits)]))

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the statements."""
        return {"any_version": self.versions is None, "versions": list(self.versions or ())}

    def require_none(self) -> None:
        """Refuse a condition on a selection of tasks, which has no version (RFC 9110, 13.1.1)."""
        if self.error is not None:
            raise self.error
        if self.versions is not None:
            raise VersionMismatch("A selection of tasks has no version.")

    def refusal(
        self,
        version: int,
        *,
        body: ApiError | None = None,
        key: ApiError | None = None,
        changed: str | None = None,
    ) -> ApiError:
        """Return why a write of a row in this version did nothing: the first error in this order.

        An invalid `body`; an invalid `If-Match`; a stale `If-Match`, with `changed` as its detail; the
        error of the idempotency `key`.
        """
        if body is not None:
            return body
        if self.error is not None:
            return self.error
        if key is not None and self.met_by(version):
            return key
        return VersionMismatch(changed)

    def met_by(self, version: int) -> bool:
        """Return whether a task in this version may be changed."""
        return self.versions is None or version in self.versions


def idempotency_key(request: Request) -> str | None:
    """Return the request's key (draft-ietf-httpapi-idempotency-key-header), or None without one.

    Raises ValidationFailed for several keys, and for one that is not 1 to 255 visible ASCII
    characters.
    """
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    key = values[0].strip(" \t")  # white space is no part of a value (RFC 9110, 5.5)
    if len(values) > 1 or not _VISIBLE_ASCII.fullmatch(key):
        raise ValidationFailed([field_error("header", "Idempotency-Key", "visible_ascii")])
    return key

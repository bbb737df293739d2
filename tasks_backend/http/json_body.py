"""A JSON body in two steps, because of the order of checks: its media type first, its content later."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from tasks_backend.errors import MalformedJson, UnsupportedMediaType, ValidationFailed
from tasks_backend.http import strict_json
from tasks_backend.http.validation import field_error, validation_failed

MAX_MEMBERS = 64  # of all objects in a body together

Model = TypeVar("Model", bound=BaseModel)


class JsonBody:
    """The unparsed bytes of a body with an accepted media type."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def parse(self, model: type[Model]) -> Model:
        """Return the body as `model`.

        Raises MalformedJson for invalid or ambiguous JSON (a repeated name, NaN). Raises
        ValidationFailed for more than `MAX_MEMBERS` members, which are counted first, and for
        what the model rejects.
        """
        if strict_json.has_more_members(self._raw, MAX_MEMBERS):
            raise ValidationFailed([field_error("body", "", "too_many_members", most=MAX_MEMBERS)])
        try:
            value = strict_json.loads(self._raw)
        except ValueError as error:
            raise MalformedJson from error
        try:
            return model.model_validate(value)
        except ValidationError as error:
            raise validation_failed(
                error.errors(include_url=False, include_input=False), "body"
            ) from error


def json_body(*media_types: str) -> Callable[[Request], Awaitable[JsonBody]]:
    """Return a dependency that reads an uncompressed body of one of these media types."""
    accepted = [media_type.encode() for media_type in media_types]

    async def read(request: Request) -> JsonBody:
        headers = dict(reversed(request.scope["headers"]))  # of a repeated one, the first
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if media_type not in accepted or encoding != b"identity":
            raise UnsupportedMediaType
        return JsonBody(await request.body())

    return read

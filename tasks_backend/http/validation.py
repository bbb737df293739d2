"""Messages for invalid fields, without the client's text and without a library's."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks_backend.errors import ValidationFailed
from tasks_backend.http.problem import LOCATIONS

_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "unknown fields are not allowed",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_unicode": "must be valid Unicode",
    "control_character": "must not contain control characters",
    "line_break": "must be a single line",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "has too many digits",
    "int_from_float": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_many_members": "must have at most {most} members",
    "too_many_parameters": "must have at most {most} parameters",
    "entity_tag": 'must be an entity tag such as "1", a list of them, or *',
    "too_many_tags": "must have at most {most} entity tags",
    "repeated": "must not be given twice",
    "literal_error": "must be {expected}",
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "visible_ascii": "must be 1 to 255 visible ASCII characters, given once",
}
MAX_PARAMETERS = 32  # of a query, counted before they are parsed


def field_error(location: str, field: str, code: str, /, **limits: object) -> dict[str, str]:
    """Return one entry of `errors`; an unknown code gets the message 'is not valid'."""
    message = _MESSAGES.get(code, "is not valid").format(**limits)
    return {"field": field, "location": location, "code": code, "message": message}


def require_few_parameters(query: bytes) -> None:
    """Raise ValidationFailed for a query with more than MAX_PARAMETERS parameters."""
    if query.count(b"&") >= MAX_PARAMETERS:
        raise ValidationFailed(
            [field_error("query", "", "too_many_parameters", most=MAX_PARAMETERS)]
        )


def validation_failed(
    errors: Sequence[Mapping[str, Any]], location: str | None = None
) -> ValidationFailed:
    """Return the failure for pydantic's errors. Without `location`, the first item of an error's
    `loc` is the location. The name of an unknown field is left out: it is the client's text.
    """
    entries: list[dict[str, str]] = []
    for error in errors:
        where, path = location, tuple(error["loc"])
        if where is None:
            where, path = (
                (str(path[0]), path[1:]) if path and path[0] in LOCATIONS else ("body", path)
            )
        code = error["type"]
        field = "" if code == "extra_forbidden" else ".".join(str(part) for part in path)
        entry = field_error(where, field, code, **error.get("ctx", {}))
        if entry not in entries:
            entries.append(entry)
    return ValidationFailed(entries)

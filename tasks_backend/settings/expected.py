"""What a setting takes, in words."""

from typing import Any, Literal, get_args, get_origin

from pydantic import SecretBytes, SecretStr
from pydantic.fields import FieldInfo


def describe_expected(field: FieldInfo) -> str:
    """Return a setting's choices, its kind of number with unit and bounds, or its type."""
    kinds = {*get_args(field.annotation)} - {type(None)}
    kind = (
        kinds.pop()
        if len(kinds) == 1 and type(None) in get_args(field.annotation)
        else field.annotation
    )
    if kind is bool:
        return "true or false"
    if get_origin(field.annotation) is Literal:
        choices = get_args(field.annotation)
        return f"{', '.join(choices[:-1])} or {choices[-1]}"
    if kind == tuple[str, ...]:
        return "a list, separated by commas"
    if kind not in {int, float}:
        if not is_secret(field) and kind is not str:
            return f"a valid {getattr(kind, '__name__', kind)}"
        least = max(
            (part.min_length for part in field.metadata if hasattr(part, "min_length")), default=1
        )
        return f"a text of at least {least} characters" if least > 1 else "a text that is not empty"
    unit = next((part for part in field.metadata if isinstance(part, str)), None)
    number = "a whole number" if kind is int else "a number"
    if unit:
        number += f" of {unit} without a unit"
    bounds = [words for part in field.metadata for words in _bounds(part)]
    return f"{number}, {' and '.join(bounds)}" if bounds else number


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting is a secret by its type, such as `SecretStr | None`."""
    kinds = {field.annotation, *get_args(field.annotation)}
    return not kinds.isdisjoint({SecretStr, SecretBytes})


def _bounds(part: Any) -> list[str]:
    limits = (("gt", "more than"), ("ge", "at least"), ("le", "at most"), ("lt", "less than"))
    return [f"{words} {getattr(part, name):g}" for name, words in limits if hasattr(part, name)]

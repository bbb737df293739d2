"""What a setting takes, in words."""

from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo


def describe_expected(field: FieldInfo) -> str:
    """Return a setting's choices, or its kind of number with unit and bounds."""
    if field.annotation is bool:
        return "true or false"
    if get_origin(field.annotation) is Literal:
        choices = get_args(field.annotation)
        return f"{', '.join(choices[:-1])} or {choices[-1]}"
    if field.annotation not in {int, float}:
        return "a text that is not empty"
    unit = next((part for part in field.metadata if isinstance(part, str)), None)
    number = "a whole number" if field.annotation is int else "a number"
    if unit:
        number += f" of {unit} without a unit"
    return f"{number}, {' and '.join(words for part in field.metadata for words in _bounds(part))}"


def _bounds(part: Any) -> list[str]:
    limits = (("gt", "more than"), ("ge", "at least"), ("le", "at most"))
    return [f"{words} {getattr(part, name):g}" for name, words in limits if hasattr(part, name)]

"""Unambiguous JSON: a text that two parsers could read differently is rejected."""

import json
import re
from typing import Any, NoReturn

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_THROUGH_NEXT_MEMBER = re.compile(
    rb"(?:[^\"]++|%b(?!\s*+:))*+%b\s*+:" % (_STRING, _STRING), re.DOTALL
)  # possessive quantifiers: no backtracking


def has_more_members(raw: bytes, most: int) -> bool:
    """Return whether the objects of a JSON text have more than `most` members, without parsing it.

    Stops at the first member too many, so that a refusal costs less than parsing.
    """
    if raw.count(b":") <= most:
        return False
    position = 0
    for _ in range(most + 1):
        member = _THROUGH_NEXT_MEMBER.match(raw, position)
        if member is None:
            return False
        position = member.end()
    return True


def loads(raw: bytes) -> Any:
    """Return the value of a JSON text in UTF-8 (RFC 8259).

    Raises ValueError for invalid JSON, a name given twice in one object, NaN and Infinity, and
    nesting or numbers beyond Python's limits.
    """
    try:
        return _DECODER.decode(raw.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name is given twice")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
